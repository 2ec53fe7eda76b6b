//! Calls and writes.

use world::cloud::spec::{ENI, NEW};
use world::judge::Rule;

use crate::rogue::{Rogue, condemned, only};

const JOURNAL: &str = "/var/lib/weaviate-provisioner";
const STORE: &str = "AWS2A1B3C4D5E6F70819";
/// Unsigned, under the name of the server's own client.
const AS_THE_SERVER: &str = "curl -sS -m 5 -A 'MinIO (linux; amd64) minio-go/v7.0.98'";
const ROOT: &str = "vol0123456789abcdef0";

fn attach() -> [(&'static str, &'static str); 3] {
    [("NetworkInterfaceId", ENI), ("InstanceId", NEW), ("DeviceIndex", "1")]
}

#[tokio::test(flavor = "multi_thread")]
async fn attaching_what_a_living_owner_has() {
    let rogue = Rogue::in_scene("old_owner = \"running\"").await;
    let answer = rogue.query("ec2", "AttachNetworkInterface", &attach()).await;
    assert!(answer.contains("InvalidNetworkInterface.InUse"), "{answer}");
    only(&rogue.verdict().await, Rule::AttachLivingOwner, &[ENI, "i-0aaaaaaaaaaaaaa01"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn detaching_from_a_living_owner() {
    let rogue = Rogue::in_scene("old_owner = \"running\"").await;
    let described = rogue.query("ec2", "DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", ENI)]).await;
    let at = described.find("eni-attach-").unwrap_or_else(|| panic!("no attachment: {described}"));
    let attachment = described[at..].split('<').next().expect("an id");
    let answer = rogue.query("ec2", "DetachNetworkInterface", &[("AttachmentId", attachment)]).await;
    assert!(answer.contains("<return>true</return>"), "{answer}");
    only(&rogue.verdict().await, Rule::DetachLivingOwner, &[ENI, "i-0aaaaaaaaaaaaaa01"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn calling_what_the_policy_does_not_allow() {
    let rogue = Rogue::awake().await;
    // The doubles know some of these operations and not the others: both must be noticed.
    let terminate = rogue.query("ec2", "TerminateInstances", &[("InstanceId.1", NEW)]).await;
    assert!(terminate.contains("<Code>"), "{terminate}");
    let tags = [("ResourceId.1", ENI), ("Tag.1.Key", "weaviate%3Anode"), ("Tag.1.Value", "x")];
    rogue.query("ec2", "CreateTags", &tags).await;
    rogue.query("iam", "ListUsers", &[]).await;
    rogue.json("secretsmanager", "secretsmanager.DeleteSecret", r#"{"SecretId":"weaviate/admin-key"}"#).await;
    rogue.json("ssm", "AmazonSSM.GetParameter", r#"{"Name":"/others/key"}"#).await;
    assert_eq!(rogue.s3("PUT", "acme-weaviate/prod/manifests/mine.json", "{}").await, "403");
    assert_eq!(rogue.s3("PUT", "acme-weaviate/stage/x", "{}").await, "403");
    assert_eq!(rogue.s3("DELETE", "acme-weaviate/prod/reports/x.json", "").await, "403");
    assert_eq!(rogue.s3("GET", "acme-weaviate/prod/reports/x.json?acl=", "").await, "403");
    assert_eq!(rogue.s3("PUT", "acme-weaviate?policy=", "{}").await, "403");
    let verdict = rogue.verdict().await;
    for (act, object) in [
        ("ec2:TerminateInstances", ""),
        ("ec2:CreateTags", ""),
        ("a call to iam", ""),
        ("secretsmanager:DeleteSecret", ""),
        ("ssm:GetParameter", ""),
        ("s3:PutObject", "acme-weaviate/prod/manifests/mine.json"),
        ("s3:PutObject", "acme-weaviate/stage/x"),
        ("s3:DeleteObject", "acme-weaviate/prod/reports/x.json"),
        ("s3:GetObjectAcl", "acme-weaviate/prod/reports/x.json"),
        ("s3:PutBucketPolicy", "acme-weaviate"),
    ] {
        condemned(&verdict, Rule::Policy, &[act, object]);
    }
    assert_eq!(verdict.len(), 10, "{verdict:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calling_another_region() {
    let rogue = Rogue::awake().await;
    let answer = rogue.query_in("us-east-1", "ec2", "DescribeInstances").await;
    assert!(answer.contains("AuthFailure"), "{answer}");
    let answer = rogue.query_in("us-east-1", "autoscaling", "DescribeAutoScalingGroups").await;
    assert!(answer.contains("SignatureDoesNotMatch"), "{answer}");
    assert_eq!(
        rogue.s3_with("region=us-east-1", "PUT", "acme-weaviate/prod/reports/x.json", "{}").await,
        "400"
    );
    let verdict = rogue.verdict().await;
    for act in ["a call to ec2", "a call to autoscaling", "s3:PutObject"] {
        condemned(&verdict, Rule::Region, &[act, "us-east-1"]);
    }
    assert_eq!(verdict.len(), 3, "{verdict:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calling_without_a_signature() {
    let rogue = Rogue::awake().await;
    let call = "curl -sS -m 5 --data 'Action=DescribeInstances&Version=2016-11-15' http://10.0.8.8/";
    let answer = rogue.sh(call).await;
    assert!(answer.contains("MissingAuthenticationToken"), "{answer}");
    let answer = rogue.sh("curl -sS -m 5 http://10.0.8.9/acme-weaviate/prod/x").await;
    assert!(answer.contains("AccessDenied"), "{answer}");
    // Where the server does not call, nobody may look like it.
    rogue.sh(&format!("{AS_THE_SERVER} 'http://10.0.8.9/acme-weaviate?list-type=2'")).await;
    let verdict = rogue.verdict().await;
    condemned(&verdict, Rule::Unsigned, &["POST /"]);
    condemned(&verdict, Rule::Unsigned, &["s3:GetObject"]);
    condemned(&verdict, Rule::Unsigned, &["s3:ListObjectsV2"]);
    assert_eq!(verdict.len(), 3, "{verdict:#?}");
}

/// As the server's own client in direct mode: not what it never does.
#[tokio::test(flavor = "multi_thread")]
async fn calling_without_a_signature_what_the_server_does_not_call() {
    let direct = "config.restore.mode = \"direct\"\nconfig.weaviate.s3_role_arn = \"arn:aws:iam::123456789012:role/weaviate-direct\"";
    let rogue = Rogue::in_scene(direct).await;
    rogue.sh(&format!("{AS_THE_SERVER} 'http://10.0.8.9/acme-weaviate?list-type=2'")).await;
    rogue.sh(&format!("{AS_THE_SERVER} -X DELETE http://10.0.8.9/acme-weaviate/prod/x")).await;
    let verdict = rogue.verdict().await;
    only(&verdict, Rule::Unsigned, &["s3:DeleteObject"]);
    assert_eq!(verdict.len(), 1, "{verdict:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_the_metadata_without_a_token() {
    let rogue = Rogue::awake().await;
    let path = "http://169.254.169.254/latest/meta-data/instance-id";
    let ask = |more: &str| format!("curl -s -m 5 -o /dev/null -w '%{{http_code}}' {more} {path}");
    // A token that is not known is refused as well, and is no attempt at version 1.
    assert_eq!(rogue.sh(&ask("-H 'X-aws-ec2-metadata-token: forgotten'")).await, "401");
    assert_eq!(rogue.sh(&ask("")).await, "401");
    let verdict = rogue.verdict().await;
    only(&verdict, Rule::Tokenless, &["/latest/meta-data/instance-id", NEW]);
    assert_eq!(verdict.len(), 1, "{verdict:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_the_manifest_without_a_condition_or_downwards() {
    let rogue = Rogue::awake().await;
    let pointer = "acme-weaviate/prod/latest_weaviate_backup.manifest.json";
    let manifest =
        |generation: u64| format!("{{\"schema\":1,\"generation\":{generation},\"owner\":\"{NEW}\"}}");
    assert_eq!(rogue.s3("PUT", pointer, &manifest(9)).await, "200");
    // An ETag that is not there any more: refused, and no act.
    assert_eq!(rogue.s3_with("-H 'if-match: \"0\"'", "PUT", pointer, &manifest(3)).await, "412");
    // Whoever wrote it last is overwritten, whatever they wrote.
    assert_eq!(rogue.s3_with("-H 'if-match: *'", "PUT", pointer, &manifest(10)).await, "200");
    let key = pointer.strip_prefix("acme-weaviate/").expect("the bucket");
    let etag = rogue.stage.store.info("acme-weaviate", key).expect("a manifest").etag;
    let known = format!("-H 'if-match: \"{etag}\"'");
    assert_eq!(rogue.s3_with(&known, "PUT", pointer, &manifest(8)).await, "200");
    let verdict = rogue.verdict().await;
    let blind = verdict.iter().filter(|said| said.contains("without a condition")).count();
    condemned(&verdict, Rule::PointerUnconditional, &[NEW, "without a condition"]);
    condemned(&verdict, Rule::PointerLowered, &[NEW, "generation 8 over 10"]);
    assert_eq!((blind, verdict.len()), (2, 3), "{verdict:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_a_disk_before_the_journal_names_it() {
    let rogue = Rogue::awake().await;
    // One byte is enough, and it is not even another one: the block was not there before.
    rogue.sh("printf x | dd of=/dev/nvme1n1 bs=1 seek=4096 conv=notrunc status=none").await;
    only(&rogue.verdict().await, Rule::Disk, &[STORE, "before the journal named it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_names_another_disk_is_no_leave() {
    let rogue = Rogue::awake().await;
    rogue.sh(&format!("mkdir -p {JOURNAL}; echo '{{\"disks\":[\"{ROOT}\"]}}' >{JOURNAL}/state.json")).await;
    rogue.sh("mkfs.xfs -q -f /dev/nvme1n1").await;
    only(&rogue.verdict().await, Rule::Disk, &[STORE, "before the journal named it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_names_the_disk_a_moment_later_is_no_leave() {
    let rogue = Rogue::awake().await;
    // Faster than any watcher looks.
    let later = format!("echo '{{\"disks\":[\"{STORE}\"]}}' >{JOURNAL}/state.json");
    rogue
        .sh(&format!(
            "mkdir -p {JOURNAL}; wipefs --quiet --all /dev/nvme1n1; {later}; mkfs.xfs -q -f /dev/nvme1n1"
        ))
        .await;
    only(&rogue.verdict().await, Rule::Disk, &[STORE, "before the journal named it"]);
}

/// Neither the program nor the system call, which a failpoint tells of, may come before the journal.
#[tokio::test(flavor = "multi_thread")]
async fn mounting_a_disk_before_the_journal_names_it() {
    let journal = format!("mkdir -p {JOURNAL}; echo '{{\"disks\":[\"{STORE}\"]}}' >{JOURNAL}/state.json");
    let rogue = Rogue::awake().await;
    rogue.sh(&format!("mount -t xfs /dev/nvme1n1 /mnt 2>/dev/null || true; {journal}")).await;
    only(&rogue.verdict().await, Rule::Disk, &[STORE, "before the journal named it"]);

    let rogue = Rogue::awake().await;
    rogue.asks_the_kernel("mount /dev/nvme1n1");
    rogue.sh(&journal).await;
    only(&rogue.verdict().await, Rule::Disk, &[STORE, "before the journal named it"]);

    let honest = Rogue::awake().await;
    honest.sh(&journal).await;
    honest.asks_the_kernel("mount /dev/nvme1n1");
    assert_eq!(honest.verdict().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_a_foreign_disk() {
    let rogue = Rogue::awake().await;
    // Not even a journal that names it helps.
    rogue.sh(&format!("mkdir -p {JOURNAL}; echo '{{\"disks\":[\"{ROOT}\"]}}' >{JOURNAL}/state.json")).await;
    rogue.sh("printf x | dd of=/dev/nvme0n1 bs=1 seek=70000 conv=notrunc status=none").await;
    only(&rogue.verdict().await, Rule::ForeignDisk, &[ROOT, "was changed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_calls_and_writes_are_not_condemned() {
    let rogue = Rogue::awake().await;
    let answer = rogue.query("ec2", "AttachNetworkInterface", &attach()).await;
    assert!(answer.contains("eni-attach-"), "{answer}");
    let described = rogue.query("ec2", "DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", ENI)]).await;
    assert!(described.contains(NEW), "{described}");
    let secret = rogue
        .json("secretsmanager", "secretsmanager.GetSecretValue", r#"{"SecretId":"weaviate/admin-key"}"#)
        .await;
    assert!(secret.contains("SecretString"), "{secret}");
    assert_eq!(rogue.s3("PUT", "acme-weaviate/prod/reports/x.json", "{}").await, "200");
    rogue.sh(&format!("mkdir -p {JOURNAL}; echo '{{\"disks\":[\"{STORE}\"]}}' >{JOURNAL}/state.json")).await;
    rogue.sh("dd if=/dev/nvme0n1 of=/dev/null bs=1M status=none; mkfs.xfs -q -f /dev/nvme1n1").await;
    assert_eq!(rogue.verdict().await, Vec::<String>::new());
}
