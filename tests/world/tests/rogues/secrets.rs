//! Secrets in each place where they must not be.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use world::judge::Rule;
use world::ledger::Event;
use world::machine::Process;

use crate::rogue::{Rogue, condemned};

const IMAGE: &str = "10.0.8.10:5000/weaviate:1.39.0";
const STATE: &str = "/var/lib/weaviate-provisioner";
/// Longer than the watchers look away.
const A_WHILE: Duration = Duration::from_secs(1);

async fn end(mut process: Process) {
    tokio::time::sleep(A_WHILE).await;
    process.kill().await.expect("an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_each_place_is_found() {
    let rogue = Rogue::awake().await;
    let plant = |place: &str| rogue.stage.planted.plant(&format!("the secret for {place}"));
    let inside = |program: &str| rogue.stage.machine.command(program).expect("the machine runs");

    end(inside("sh").args(["-c", "sleep 60", "sh", &plant("argv")]).spawn().expect("a process")).await;
    end(inside("sleep").args(["60"]).env("WEAVIATE_KEY", plant("env")).spawn().expect("a process")).await;

    rogue.write(
        "/opt/rogue/container.env",
        &format!("AUTHENTICATION_APIKEY_ALLOWED_KEYS={}", plant("inspect")),
    );
    rogue.sh(&format!("docker create --env-file /opt/rogue/container.env {IMAGE}")).await;
    rogue.write("/opt/rogue/labels", &format!("key={}", plant("label")));
    rogue.sh(&format!("docker create --label-file /opt/rogue/labels {IMAGE}")).await;
    rogue.sh(&format!("docker run --detach --network host {IMAGE}")).await;
    let ask = format!("url = \"http://127.0.0.1:8080/v1/schema/{}\"", plant("the server's log"));
    rogue.write("/opt/rogue/ask", &ask);
    rogue
        .sh("for i in $(seq 100); do curl -s -m 2 -K /opt/rogue/ask && exit 0; sleep 0.1; done; exit 1")
        .await;

    rogue.write("/var/log/weaviate-provisioner.log", &format!("DEBUG key={}\n", plant("the log")));
    rogue.write(&format!("{STATE}/state.json"), &format!("{{\"note\":\"{}\"}}", plant("the journal")));
    rogue.write(&format!("{STATE}/report.json"), &format!("{{\"reason\":\"{}\"}}", plant("the report")));
    rogue.write("/run/weaviate-provisioner/env", &format!("KEY={}\n", plant("the environment file")));
    rogue.write(
        "/etc/weaviate-provisioner/config.toml",
        &format!("key = \"{}\"\n", plant("the configuration")),
    );
    let report = plant("the report in S3");
    rogue.stage.store.put("acme-weaviate", "prod/reports/i-1.json", report.as_bytes()).expect("a report");
    // Where it belongs: the server's own files.
    rogue.write("/run/weaviate-provisioner/weaviate/config.json", &plant("the server's file"));

    let verdict = rogue.verdict().await;
    for (secret, place) in [
        ("the secret for argv", "argv of sh"),
        ("the secret for env", "the environment of sleep"),
        ("the secret for inspect", "docker inspect"),
        ("the secret for label", "docker inspect"),
        ("the secret for the server's log", "the container's log"),
        ("the secret for the log", "the agent's log"),
        ("the secret for the journal", "state.json"),
        ("the secret for the report", "report.json"),
        ("the secret for the environment file", "/run/weaviate-provisioner/env"),
        ("the secret for the configuration", "/etc/weaviate-provisioner/config.toml"),
        ("the secret for the report in S3", "prod/reports/i-1.json"),
    ] {
        condemned(&verdict, Rule::Secret, &[secret, place]);
    }
    assert!(!verdict.iter().any(|sentence| sentence.contains("the server's file")), "{verdict:#?}");
    assert!(verdict.iter().all(|sentence| sentence.starts_with("secret:")), "{verdict:#?}");
}

/// What is gone at the end, lies deeper, looks otherwise, or was no secret yet when it was written.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_found_where_nobody_would_look() {
    let rogue = Rogue::awake().await;
    let plant = |place: &str| rogue.stage.planted.plant(&format!("the secret {place}"));

    // A program that has ended before anybody can look into /proc.
    rogue.write("/dev/shm/short", &plant("of a short life"));
    rogue.sh("blkid -L \"$(cat /dev/shm/short)\" || true").await;

    // A container that is gone at the end, and one that said it before the world knew. Between two looks of the world
    // a container can come and go: this one stays for one.
    rogue.write("/dev/shm/gone.env", &format!("KEY={}\n", plant("of a removed container")));
    rogue.sh(&format!("docker create --name gone --env-file /dev/shm/gone.env {IMAGE}")).await;
    rogue.found("of a removed container").await;
    rogue.sh("docker rm gone").await;
    rogue.sh(&format!("docker run --detach --network host {IMAGE}")).await;
    let late = "q8w7e6r5t4z3u2i1o0p9a8s7d6f5g4h3";
    rogue
        .sh(&format!("for i in $(seq 100); do curl -s -m 2 http://127.0.0.1:8080/v1/schema/{late} && exit 0; sleep 0.1; done; exit 1"))
        .await;
    rogue
        .seen("the question", |event| matches!(event, Event::Server { path, .. } if path.contains(late)))
        .await;
    rogue.stage.planted.know("the secret that was none yet", late);

    // Overwritten since.
    let temporary = "acme-weaviate/prod/latest_weaviate_backup.manifest.json.tmp";
    let key = plant("of a temporary object");
    assert_eq!(rogue.s3("PUT", temporary, &format!("{{\"note\":\"{key}\"}}")).await, "200");
    assert_eq!(rogue.s3("PUT", temporary, "{}").await, "200");

    rogue.sh("mkdir -p /workspace/weaviate; mount -t tmpfs volume /workspace/weaviate").await;
    rogue.write("/workspace/weaviate/identity.json", &format!("{{\"note\":\"{}\"}}", plant("of the volume")));
    rogue.write("/workspace/weaviate/data/config.json", &plant("of the server's data"));
    rogue.write(&format!("{STATE}/a/deeper/folder/note"), &plant("of a folder"));
    rogue.write("/var/log/another/agent.log", &plant("of another log"));
    rogue.write("/tmp/dump", &plant("of a dump"));
    let encoded = STANDARD.encode(format!("reader:{}", plant("in a header")));
    rogue.write("/var/log/basic.log", &format!("authorization: Basic {encoded}\n"));
    let digits: Vec<String> = plant("in digits").bytes().map(|byte| format!("{byte:02X}")).collect();
    let digits = digits.concat();
    rogue.write("/var/log/digits.log", &format!("key {digits}\n"));

    let verdict = rogue.verdict().await;
    for (secret, place) in [
        ("of a short life", "argv of a program that the agent ran"),
        ("of a removed container", "docker inspect"),
        ("that was none yet", "the container's log"),
        ("of a temporary object", "manifest.json.tmp in the bucket"),
        ("of the volume", "/workspace/weaviate/identity.json"),
        ("of a folder", "/var/lib/weaviate-provisioner/a/deeper/folder/note"),
        ("of another log", "/var/log/another/agent.log"),
        ("of a dump", "/tmp/dump"),
        ("in a header", "/var/log/basic.log in base64"),
        ("in digits", "/var/log/digits.log in hexadecimal digits"),
    ] {
        condemned(&verdict, Rule::Secret, &[&format!("the secret {secret}"), place]);
    }
    assert!(!verdict.iter().any(|sentence| sentence.contains("of the server's data")), "{verdict:#?}");
    assert!(verdict.iter().all(|sentence| sentence.starts_with("secret:")), "{verdict:#?}");
}

/// The role's own credentials are secrets as well, although the world did not plant them.
#[tokio::test(flavor = "multi_thread")]
async fn the_roles_credentials_are_secrets_too() {
    let rogue = Rogue::awake().await;
    rogue
        .sh("imds=http://169.254.169.254/latest
             token=$(curl -sSf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $imds/api/token)
             at=$imds/meta-data/iam/security-credentials
             role=$(curl -sSf -H \"X-aws-ec2-metadata-token: $token\" $at/)
             answer=$(curl -sSf -H \"X-aws-ec2-metadata-token: $token\" $at/$role)
             key=$(printf '%s' \"$answer\" | sed -n 's/.*\"SecretAccessKey\" *: *\"\\([^\"]*\\)\".*/\\1/p')
             test -n \"$key\"
             printf 'key=%s\\n' \"$key\" >>/var/log/weaviate-provisioner.log
             AWS_SECRET_ACCESS_KEY=$key sleep 1")
        .await;
    let verdict = rogue.verdict().await;
    condemned(&verdict, Rule::Secret, &["the agent's log"]);
    condemned(&verdict, Rule::Secret, &["the environment of sleep"]);
    // The log is read as the agent's, and as a file of the root volume.
    condemned(&verdict, Rule::Secret, &["/var/log/weaviate-provisioner.log"]);
    assert_eq!(verdict.len(), 3, "{verdict:#?}");
}
