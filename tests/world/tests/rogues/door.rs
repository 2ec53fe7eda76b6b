//! Who gets in, and when.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use world::cloud::spec::{ENI, NEW};
use world::judge::Rule;
use world::ledger::{Client, Event};
use world::registry::{Image, ImageOptions};
use world::stage::Programs;

use crate::rogue::{Rogue, condemned, only, programs};

const IMAGE: &str = "10.0.8.10:5000/weaviate:1.39.0";
const MANIFEST: &str = "acme-weaviate/prod/latest_weaviate_backup.manifest.json";
const PORTS: [u16; 2] = [8080, 50051];
const SERVER: &str = "http://127.0.0.1:8080";

/// How the rogue lets packets in.
#[derive(Clone, Copy)]
enum Door {
    /// The server listens on the address itself.
    Host,
    /// Docker forwards to it.
    Forwarded,
}

/// A server that answers on the machine only, because the address is not there yet, and holds what the manifest in the
/// bucket names.
async fn serve(rogue: &Rogue, door: Door) {
    let network = match door {
        Door::Host => "--network host",
        // Published on all addresses, so before the ENI's own is there.
        Door::Forwarded => "--publish 8080:8080 --publish 50051:50051",
    };
    rogue
        .sh(&format!(
            "docker run --name node --detach --env PERSISTENCE_DATA_PATH=/tmp {network} {IMAGE}
             for i in $(seq 100); do curl -sf -m 2 {SERVER}/v1/meta && break; sleep 0.1; done
             post() {{ curl -sSf -m 5 -X POST -H 'content-type: application/json' -d \"$2\" {SERVER}$1; }}
             post /v1/schema '{{\"class\":\"Article\",\"vectorizer\":\"none\"}}'
             post /v1/schema '{{\"class\":\"Empty\",\"vectorizer\":\"none\"}}'
             post /v1/schema '{{\"class\":\"Chunk\",\"vectorizer\":\"none\",\"multiTenancyConfig\":{{\"enabled\":true}}}}'
             post /v1/schema/Chunk/tenants '[{{\"name\":\"alpha\"}},{{\"name\":\"beta\"}}]'"
        ))
        .await;
}

/// Everything that full-1 holds and that can be counted.
const ALL: [(&str, &str); 4] = [("Article", ""), ("Chunk", "alpha"), ("Chunk", "beta"), ("Empty", "")];

/// Counts these, and waits until the world has read the server's own lines of it.
async fn count(rogue: &Rogue, shards: &[(&str, &str)]) {
    for (class, tenant) in shards {
        let of = if tenant.is_empty() { String::new() } else { format!("(tenant:\\\"{tenant}\\\")") };
        let query = format!("{{ Aggregate {{ {class}{of} {{ meta {{ count }} }} }} }}");
        let answer = rogue
            .sh(&format!(
                "curl -sSf -m 5 -H 'content-type: application/json' -d '{{\"query\":\"{query}\"}}' {SERVER}/v1/graphql"
            ))
            .await;
        assert!(answer.contains("\"count\""), "{answer}");
        let counted = |event: &Event| match event {
            Event::Server { details, .. } => {
                details["class"] == *class
                    && details["tenant"].as_str().unwrap_or_default() == *tenant
                    && details["count"].is_u64()
            }
            _ => false,
        };
        rogue.seen("the count", counted).await;
    }
}

async fn read_schema(rogue: &Rogue) {
    rogue.sh(&format!("curl -sSf -m 5 {SERVER}/v1/schema {SERVER}/v1/objects?class=Article")).await;
    rogue
        .seen("the question", |event| matches!(event, Event::Server { path, .. } if path == "/v1/objects"))
        .await;
}

/// The next generation of what lies in the bucket, by a conditional write as it must be.
async fn take_generation(rogue: &Rogue, owner: &str) {
    let key = MANIFEST.strip_prefix("acme-weaviate/").expect("the bucket");
    let before = rogue.stage.store.read("acme-weaviate", key).expect("a manifest");
    let etag = rogue.stage.store.info("acme-weaviate", key).expect("a manifest").etag;
    let mut manifest: serde_json::Value = serde_json::from_slice(&before).expect("JSON");
    manifest["generation"] = (manifest["generation"].as_u64().expect("a number") + 1).into();
    manifest["owner"] = owner.into();
    let condition = format!("-H 'if-match: \"{etag}\"'");
    assert_eq!(rogue.s3_with(&condition, "PUT", MANIFEST, &manifest.to_string()).await, "200");
}

/// The ENI with its address, two tables of routes, and no quarantine.
async fn open(rogue: &Rogue) {
    let attach = [("NetworkInterfaceId", ENI), ("InstanceId", NEW), ("DeviceIndex", "1")];
    let answer = rogue.query("ec2", "AttachNetworkInterface", &attach).await;
    assert!(answer.contains("eni-attach-"), "{answer}");
    rogue
        .sh("for i in $(seq 200); do ip link show ens6 >/dev/null 2>&1 && break; sleep 0.1; done
             nft delete table inet weaviate_provisioner
             ip link set ens6 up
             ip addr add 10.0.2.15/32 dev ens6
             ip route add 10.0.2.0/24 dev ens6 table 7113
             ip route add default via 10.0.2.1 dev ens6 table 7113
             ip rule add from 10.0.2.15 lookup 7113 pref 7113
             ip rule add iif docker0 lookup 7113 pref 7114
             ip route add 172.17.0.0/16 dev docker0 table 7113")
        .await;
}

/// Somebody opened the security group too far.
async fn admit_the_stranger(rogue: &Rogue) {
    let admit = || {
        for port in PORTS {
            let element = format!("{{ 10.0.4.66 . 10.0.2.15 . {port} }}");
            let done =
                Command::new("nft").args(["add", "element", "inet", "vpc", "allowed", &element]).status()?;
            anyhow::ensure!(done.success(), "nft: {done}");
        }
        Ok(())
    };
    rogue.stage.vpc.router().enter(admit).await.expect("a wider group");
}

/// Waits until all of these have knocked with success.
async fn reached(rogue: &Rogue, clients: &[Client]) {
    let wanted: BTreeSet<(Client, u16)> =
        clients.iter().flat_map(|client| PORTS.map(|port| (*client, port))).collect();
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let events = rogue.stage.ledger.events();
        let seen: BTreeSet<(Client, u16)> = events
            .iter()
            .filter_map(|seen| match seen.event {
                Event::Reached { client, port } => Some((client, port)),
                _ => None,
            })
            .collect();
        if seen.is_superset(&wanted) {
            return;
        }
        assert!(Instant::now() < end, "the door is not open: {seen:?} got in, not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A door that was opened after both proofs.
async fn opened(scene: &str, door: Door) -> Rogue {
    open_rightly(Rogue::in_scene(scene).await, door).await
}

async fn open_rightly(rogue: Rogue, door: Door) -> Rogue {
    serve(&rogue, door).await;
    count(&rogue, &ALL).await;
    take_generation(&rogue, NEW).await;
    open(&rogue).await;
    reached(&rogue, &[Client::Near, Client::Far]).await;
    rogue
}

/// Waits until the judge sees this, or for longer than it would need.
async fn judged(rogue: &Rogue, rule: Rule) {
    let end = Instant::now() + Duration::from_secs(20);
    let begins = format!("{rule}:");
    while !world::judge::forbidden(&rogue.stage.ledger.events()).iter().any(|act| act.starts_with(&begins)) {
        assert!(Instant::now() < end, "the judge has not seen {rule}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_on_each_port_before_any_proof() {
    for door in [Door::Host, Door::Forwarded] {
        let rogue = Rogue::awake().await;
        admit_the_stranger(&rogue).await;
        serve(&rogue, door).await;
        open(&rogue).await;
        reached(&rogue, &[Client::Near, Client::Far, Client::Stranger]).await;
        let verdict = rogue.verdict().await;
        for port in ["port 8080", "port 50051"] {
            condemned(
                &verdict,
                Rule::DoorUncounted,
                &["a near client", port, "the counts had not been read"],
            );
            condemned(&verdict, Rule::DoorUncounted, &["a far client", port, "the counts had not been read"]);
            condemned(&verdict, Rule::DoorStranger, &["a stranger client", port, "its group is not allowed"]);
        }
        assert_eq!(verdict.len(), 6, "{verdict:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_generation_is_taken() {
    let rogue = Rogue::awake().await;
    serve(&rogue, Door::Host).await;
    count(&rogue, &ALL).await;
    open(&rogue).await;
    reached(&rogue, &[Client::Near, Client::Far]).await;
    only(&rogue.verdict().await, Rule::DoorUntaken, &["the generation had not been taken"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_generation_in_another_name() {
    let rogue = Rogue::awake().await;
    serve(&rogue, Door::Host).await;
    count(&rogue, &ALL).await;
    take_generation(&rogue, "i-0aaaaaaaaaaaaaa01").await;
    open(&rogue).await;
    reached(&rogue, &[Client::Near]).await;
    only(&rogue.verdict().await, Rule::DoorUntaken, &["the generation had not been taken"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_reading_every_count() {
    // Not even all but one are enough, and what the schema or a list of objects says is no count.
    for counted in [0, 1, ALL.len() - 1] {
        let rogue = Rogue::awake().await;
        serve(&rogue, Door::Host).await;
        read_schema(&rogue).await;
        count(&rogue, &ALL[..counted]).await;
        take_generation(&rogue, NEW).await;
        open(&rogue).await;
        reached(&rogue, &[Client::Near]).await;
        only(&rogue.verdict().await, Rule::DoorUncounted, &["the counts had not been read"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_server_was_started_again() {
    let rogue = opened("", Door::Host).await;
    rogue.sh("docker restart --time 1 node").await;
    judged(&rogue, Rule::DoorUncounted).await;
    only(&rogue.verdict().await, Rule::DoorUncounted, &["the counts had not been read"]);
}

/// The door is closed, in the rogue's own way.
const SHUT: &str = "nft add table inet shut; \
    nft add chain inet shut door '{ type filter hook prerouting priority -310; }'; \
    nft add rule inet shut door iifname ens6 tcp dport '{ 8080, 50051 }' drop";

/// Somebody publishes when this instance asks who it is.
const PUBLISHES: &str = r#"
[[meanwhile]]
after = "ec2:DescribeInstances"
then = { do = "publish", backup = "incr-1" }
"#;

/// The fence is lost, and the instance is told.
async fn lose(rogue: &Rogue) {
    rogue.query("ec2", "DescribeInstances", &[]).await;
    let another = |event: &Event| match event {
        Event::Published { parameters, .. } => parameters.get("BackupId").is_some_and(|id| id == "incr-1"),
        _ => false,
    };
    rogue.seen("the publication", another).await;
    assert_eq!(rogue.s3("GET", MANIFEST, "").await, "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_fence_was_lost() {
    let rogue = opened(PUBLISHES, Door::Host).await;
    lose(&rogue).await;
    judged(&rogue, Rule::DoorLost).await;
    only(&rogue.verdict().await, Rule::DoorLost, &["the fence was lost"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_fence_and_closes_is_not_condemned() {
    let rogue = opened(PUBLISHES, Door::Host).await;
    lose(&rogue).await;
    rogue.sh(SHUT).await;
    // Longer than the judge has patience with an open door.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(rogue.verdict().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_both_proofs_clients_may_come_in() {
    for door in [Door::Host, Door::Forwarded] {
        assert_eq!(opened("", door).await.verdict().await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_started_again_and_counted_may_be_reached() {
    let rogue = opened("", Door::Host).await;
    rogue.sh(&format!("{SHUT}; docker restart --time 1 node")).await;
    let started = async || loop {
        let events = rogue.stage.ledger.events();
        if events.iter().filter(|seen| matches!(seen.event, Event::ServerStart { .. })).count() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    tokio::time::timeout(Duration::from_secs(20), started()).await.expect("the server starts again");
    count(&rogue, &ALL).await;
    let before = rogue.stage.ledger.events().len();
    rogue.sh("nft delete table inet shut").await;
    let entered = async || {
        while !rogue.stage.ledger.events()[before..]
            .iter()
            .any(|seen| matches!(seen.event, Event::Reached { .. }))
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), entered()).await.expect("a client gets in");
    assert_eq!(rogue.verdict().await, Vec::<String>::new());
}

/// An image whose log tells nothing, under a name of its own, as `docker save` wrote it.
fn silent(folder: &Path) -> Programs {
    let honest = programs();
    let binary = std::fs::read(&honest.server).expect("the stand-in");
    let options =
        ImageOptions { environment: vec!["STAND_IN_SILENT=1".to_owned()], ..ImageOptions::default() };
    let archive = folder.join("saved.tar");
    let image = Image::of_binary(&binary, &options).expect("an image");
    image.archive(&archive, "somebody/server:dev").expect("an archive");
    Programs { archive: Some(archive), ..honest }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_of_itself_is_judged_all_the_same() {
    let folder = tempfile::tempdir().expect("a directory");
    let programs = silent(folder.path());
    for door in [Door::Host, Door::Forwarded] {
        let rogue = open_rightly(Rogue::with(&programs, "").await, door).await;
        rogue.sh("docker restart --time 1 node").await;
        judged(&rogue, Rule::DoorUncounted).await;
        only(&rogue.verdict().await, Rule::DoorUncounted, &["the counts had not been read"]);

        let rogue = open_rightly(Rogue::with(&programs, "").await, door).await;
        assert_eq!(rogue.verdict().await, Vec::<String>::new());
    }
    let rogue = Rogue::with(&programs, "").await;
    serve(&rogue, Door::Host).await;
    read_schema(&rogue).await;
    count(&rogue, &ALL[1..]).await;
    take_generation(&rogue, NEW).await;
    open(&rogue).await;
    reached(&rogue, &[Client::Near]).await;
    only(&rogue.verdict().await, Rule::DoorUncounted, &["the counts had not been read"]);
}
