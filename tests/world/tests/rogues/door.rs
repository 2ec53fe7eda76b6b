//! Who gets in, and when.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use world::cloud::spec::{ENI, NEW};
use world::ledger::{Client, Event};

use crate::rogue::{Rogue, condemned, only};

const IMAGE: &str = "10.0.8.10:5000/weaviate:1.39.0";
const MANIFEST: &str = "acme-weaviate/prod/latest_weaviate_backup.manifest.json";
const PORTS: [u16; 2] = [8080, 50051];

/// How the rogue lets packets in.
#[derive(Clone, Copy)]
enum Door {
    /// The server listens on the address itself.
    Host,
    /// Docker forwards to it.
    Forwarded,
}

/// A server that answers on the machine only: the address is not there yet.
async fn serve(rogue: &Rogue, door: Door) {
    let network = match door {
        Door::Host => "--network host",
        // Published on all addresses, so before the ENI's own is there.
        Door::Forwarded => "--publish 8080:8080 --publish 50051:50051",
    };
    rogue.sh(&format!("docker run --detach {network} {IMAGE}")).await;
    rogue.sh("for i in $(seq 100); do curl -sf -m 2 http://127.0.0.1:8080/v1/meta && exit 0; sleep 0.1; done; exit 1").await;
}

/// What the judge takes for reading the counts.
async fn count(rogue: &Rogue) {
    rogue.sh("curl -sSf -m 5 http://127.0.0.1:8080/v1/schema").await;
}

async fn take_generation(rogue: &Rogue, owner: &str) {
    let manifest = format!(r#"{{"schema":1,"generation":9,"owner":"{owner}","nonce":"n"}}"#);
    assert_eq!(rogue.s3("PUT", MANIFEST, &manifest).await, "200");
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
            condemned(&verdict, &["door: a near client", port, "the counts had not been read"]);
            condemned(&verdict, &["door: a far client", port, "the counts had not been read"]);
            condemned(&verdict, &["door: a stranger client", port, "its group is not allowed"]);
        }
        assert_eq!(verdict.len(), 6, "{verdict:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_generation_is_taken() {
    let rogue = Rogue::awake().await;
    serve(&rogue, Door::Host).await;
    count(&rogue).await;
    open(&rogue).await;
    reached(&rogue, &[Client::Near, Client::Far]).await;
    only(&rogue.verdict().await, &["door:", "the generation had not been taken"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_generation_in_another_name() {
    let rogue = Rogue::awake().await;
    serve(&rogue, Door::Host).await;
    count(&rogue).await;
    take_generation(&rogue, "i-0aaaaaaaaaaaaaa01").await;
    open(&rogue).await;
    reached(&rogue, &[Client::Near]).await;
    only(&rogue.verdict().await, &["door:", "the generation had not been taken"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_reading_the_counts() {
    let rogue = Rogue::awake().await;
    serve(&rogue, Door::Host).await;
    take_generation(&rogue, NEW).await;
    open(&rogue).await;
    reached(&rogue, &[Client::Near]).await;
    only(&rogue.verdict().await, &["door:", "the counts had not been read"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_both_proofs_clients_may_come_in() {
    for door in [Door::Host, Door::Forwarded] {
        let rogue = Rogue::awake().await;
        serve(&rogue, door).await;
        count(&rogue).await;
        take_generation(&rogue, NEW).await;
        // Until the world has read the server's own line of it.
        let counted = |event: &Event| matches!(event, Event::Server { path, .. } if path == "/v1/schema");
        while !rogue.stage.ledger.events().iter().any(|seen| counted(&seen.event)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        open(&rogue).await;
        reached(&rogue, &[Client::Near, Client::Far]).await;
        assert_eq!(rogue.verdict().await, Vec::<String>::new());
    }
}
