//! What the machine itself must keep shut: the metadata service for its containers, and every address but the fixed one.

use std::time::{Duration, Instant};

use world::judge::Rule;
use world::ledger::Event;

use crate::rogue::{Rogue, condemned, only};

const IMAGE: &str = "10.0.8.10:5000/weaviate:1.39.0";
const USER: &str = "--user 1000:1000 --tmpfs /tmp --env PERSISTENCE_DATA_PATH=/tmp/data";

/// Waits until the world has seen it.
async fn forbidden(rogue: &Rogue, words: &[&str]) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let seen = rogue.stage.ledger.events().into_iter().any(|seen| match seen.event {
            Event::Forbidden { rule, details } => {
                let sentence = format!("{rule}: {details}");
                words.iter().all(|word| sentence.contains(word))
            }
            _ => false,
        });
        if seen {
            return;
        }
        assert!(Instant::now() < end, "nobody saw {words:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the world has tried the metadata service as so many containers.
async fn tried(rogue: &Rogue, containers: usize) {
    let end = Instant::now() + Duration::from_secs(20);
    let tries = || {
        let events = rogue.stage.ledger.events();
        let tried =
            |event: &Event| matches!(event, Event::Mark { what } if what.starts_with(world::stage::TRIED));
        events.iter().filter(|seen| tried(&seen.event)).count()
    };
    while tries() < containers {
        assert!(Instant::now() < end, "the world tried it {} times", tries());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A server as the agent's would be, and one look of the world at it.
async fn serve(rogue: &Rogue, network: &str) {
    let run = format!("docker run --detach {network} {USER} {IMAGE}");
    let listens =
        "for i in $(seq 100); do docker logs $id 2>&1 | grep -q listening && exit 0; sleep 0.1; done; exit 1";
    rogue.sh(&format!("id=$({run}); {listens}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_reaches_the_metadata_service() {
    let rogue = Rogue::in_scene("machine.hop_limit = 2").await;
    serve(&rogue, "").await;
    forbidden(&rogue, &["metadata", "user 1000"]).await;
    only(
        &rogue.verdict().await,
        Rule::Metadata,
        &["a container's process of user 1000 reached 169.254.169.254"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_on_the_hosts_network_that_reaches_it_within_one_hop() {
    let rogue = Rogue::awake().await;
    serve(&rogue, "--network host").await;
    forbidden(&rogue, &["metadata", "user 1000"]).await;
    only(
        &rogue.verdict().await,
        Rule::Metadata,
        &["a container's process of user 1000 reached 169.254.169.254"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_kept_from_it_is_not_condemned() {
    let rogue = Rogue::in_scene("machine.hop_limit = 2").await;
    rogue
        .sh("echo 'table inet honest {
               chain forward { type filter hook forward priority -10; iifname docker0 ip daddr 169.254.169.254 drop; }
               chain output { type filter hook output priority -10; meta skuid 1000 ip daddr 169.254.169.254 drop; }
             }' | nft -f -")
        .await;
    serve(&rogue, "").await;
    serve(&rogue, "--network host").await;
    // The machine itself may ask: it was never the service that was away.
    rogue.sh("timeout 2 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80'").await;
    tried(&rogue, 2).await;
    assert_eq!(rogue.verdict().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_on_another_address_and_its_inner_ports() {
    let rogue = Rogue::in_scene("machine.wide_groups = true").await;
    rogue.sh(&format!("docker run --detach --network host {IMAGE}")).await;
    for target in ["10.0.1.10:8080", "10.0.1.10:50051", "10.0.1.10:7946", "10.0.1.10:8300"] {
        forbidden(&rogue, &["a near client", target]).await;
        forbidden(&rogue, &["a far client", target]).await;
    }
    let verdict = rogue.verdict().await;
    condemned(&verdict, Rule::Wall, &["a far client reached 10.0.1.10:8080, which is never for clients"]);
    assert!(!verdict.iter().any(|said| said.contains("stranger")), "{verdict:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wide_groups_before_a_machine_that_is_shut_condemn_nobody() {
    let rogue = Rogue::in_scene("machine.wide_groups = true").await;
    rogue
        .sh("echo 'table inet honest {
               chain input { type filter hook prerouting priority -310; iif != lo ip daddr { 10.0.1.10, 10.0.2.15 } tcp dport { 8080, 50051, 2112, 7946, 7947, 8300 } drop; }
             }' | nft -f -")
        .await;
    rogue.sh(&format!("docker run --detach --network host {IMAGE}")).await;
    rogue.sh("for i in $(seq 100); do curl -sf -m 2 http://10.0.1.10:8080/v1/meta && exit 0; sleep 0.1; done; exit 1").await;
    // Forty knocks of each client at each port.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(rogue.verdict().await, Vec::<String>::new());
}
