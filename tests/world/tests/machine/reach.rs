//! Who reaches the door: the truth tables of policy routing and quarantine, with real packets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use world::ledger::{Client, Event, Ledger};
use world::machine::{Machine, MachineSpec, Os};
use world::vpc::{EniPlan, METADATA, Vpc, VpcPlan};

use crate::door::{BRIDGE, docker, import, publish, sh};

const DOOR: &str = "http://10.0.2.15:8080/";
const PATIENCE: Duration = Duration::from_millis(1200);

async fn world(os: Os) -> (Vpc, Machine) {
    let vpc = Vpc::build(&VpcPlan::default()).await.expect("a VPC");
    let machine =
        Machine::boot(&vpc, &MachineSpec { os, ..MachineSpec::default() }).await.expect("a machine");
    (vpc, machine)
}

/// Who gets the door's answer: near, far, stranger, the instance itself.
async fn who(vpc: &Vpc, machine: &Machine) -> [bool; 4] {
    let ask = |client| async move {
        let answer = vpc.request(client, "GET", DOOR, &[], Bytes::new(), PATIENCE).await;
        answer.is_ok_and(|(status, body)| status == 200 && body == "door")
    };
    let itself = async {
        let curl = machine.command("curl").expect("it runs").args(["-s", "-m", "1", DOOR]);
        curl.output(Duration::from_secs(5)).await.is_ok_and(|o| o.stdout == b"door")
    };
    let (near, far, stranger, itself) =
        tokio::join!(ask(Client::Near), ask(Client::Far), ask(Client::Stranger), itself);
    [near, far, stranger, itself]
}

/// The same, until it is what is expected: on a busy machine a first answer may come later than a client waits.
async fn settled(vpc: &Vpc, machine: &Machine, expected: [bool; 4]) -> [bool; 4] {
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        let seen = who(vpc, machine).await;
        if seen == expected || Instant::now() > end {
            return seen;
        }
    }
}

/// The rules and routes of one row, as `ip` words.
const RULES: [&[&str]; 4] = [
    &[],
    &[
        "rule add from 10.0.2.15 lookup 7113 pref 7113",
        "route add 10.0.2.0/24 dev ens6 table 7113",
        "route add default via 10.0.2.1 dev ens6 table 7113",
    ],
    &["rule add iif BRIDGE lookup 7113 pref 7114"],
    &["route add 172.31.254.0/24 dev BRIDGE table 7113"],
];

async fn route(machine: &Machine, upto: usize) {
    for line in RULES[..=upto].iter().copied().flatten() {
        sh(machine, &format!("ip {}", line.replace("BRIDGE", BRIDGE))).await;
    }
}

async fn unroute(machine: &Machine) {
    sh(
        machine,
        "ip rule del pref 7113 || true; ip rule del pref 7114 || true; ip route flush table 7113 || true",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_routing_decides_who_gets_an_answer() {
    for proxy in ["--userland-proxy=true", "--userland-proxy=false"] {
        let (vpc, machine) = world(Os::HandsOff).await;
        let eni = EniPlan::default();
        machine.plug(&eni).await.expect("an ENI");
        sh(&machine, "ip addr add 10.0.2.15/24 dev ens6 && ip link set ens6 up").await;
        // The subnet's route belongs to the table, not to main.
        sh(&machine, "ip route del 10.0.2.0/24 dev ens6").await;
        machine.start_docker(&[proxy]).await.expect("an engine");
        import(&machine);
        publish(&machine);
        for rp_filter in ["0", "1", "2"] {
            sh(
                &machine,
                &format!("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo {rp_filter} >$f; done"),
            )
            .await;
            // near, far, stranger, itself
            for (upto, expected) in [
                (0, [false, false, false, true]),
                (1, [false, false, false, false]),
                (2, [true, true, false, false]),
                (3, [true, true, false, true]),
            ] {
                unroute(&machine).await;
                route(&machine, upto).await;
                let seen = settled(&vpc, &machine, expected).await;
                assert_eq!(
                    seen, expected,
                    "{proxy}, rp_filter {rp_filter}, row {upto}: near, far, stranger, itself"
                );
            }
        }
        machine.destroy().await.expect("an end without remains");
    }
}

const QUARANTINE: &str = "nft -f - <<'END'
table inet weaviate_provisioner {
  chain quarantine {
    type filter hook prerouting priority -310; policy accept;
    iif != \"lo\" ip daddr 10.0.2.15 tcp dport { 8080, 50051 } counter drop
  }
}
END";

#[tokio::test(flavor = "multi_thread")]
async fn the_quarantine_table_opens_and_closes_the_door() {
    let (vpc, machine) = world(Os::HandsOff).await;
    sh(&machine, "ip addr add 10.0.2.15/32 dev lo").await;
    machine.start_docker(&[]).await.expect("an engine");
    import(&machine);
    publish(&machine);
    let expected = [false, false, false, true];
    assert_eq!(settled(&vpc, &machine, expected).await, expected, "the address is on lo");

    let ledger = Arc::new(Ledger::default());
    let knockers = vpc.knock(&ledger, "10.0.2.15".parse().expect("an address"), &[8080, 50051]);
    let reached = |client, port| {
        let events = ledger.events();
        events.iter().filter(|seen| seen.event == Event::Reached { client, port }).count()
    };
    sh(&machine, QUARANTINE).await;
    machine.plug(&EniPlan::default()).await.expect("an ENI");
    let script = "ip addr add 10.0.2.15/24 dev ens6 noprefixroute; ip link set ens6 up; ip addr del 10.0.2.15/32 dev lo";
    sh(&machine, script).await;
    route(&machine, 3).await;
    let expected = [false, false, false, true];
    assert_eq!(settled(&vpc, &machine, expected).await, expected, "all routes, still closed");
    assert!(ledger.events().is_empty(), "{:?}", ledger.events());

    let opened = Instant::now();
    sh(&machine, "nft flush chain inet weaviate_provisioner quarantine").await;
    let expected = [true, true, false, true];
    assert_eq!(settled(&vpc, &machine, expected).await, expected, "exposed");
    while [8080, 50051].iter().any(|p| reached(Client::Near, *p) == 0 || reached(Client::Far, *p) == 0) {
        assert!(opened.elapsed() < Duration::from_secs(5), "{:?}", ledger.events());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("the knockers saw the open door after {:?}", opened.elapsed());

    sh(&machine, QUARANTINE).await;
    let expected = [false, false, false, true];
    assert_eq!(settled(&vpc, &machine, expected).await, expected, "withdrawn");
    let before = ledger.events().len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(ledger.events().len(), before, "nobody else came in");
    knockers.stop().await;
    assert_eq!(reached(Client::Stranger, 8080) + reached(Client::Stranger, 50051), 0);

    sh(&machine, "nft flush chain inet weaviate_provisioner quarantine").await;
    machine.unplug("eni-0weaviate").await.expect("a detachment");
    assert!(!sh(&machine, "ip -o link").await.contains("ens6"));
    assert_eq!(who(&vpc, &machine).await[..3], [false, false, false], "detached");
    machine.destroy().await.expect("an end without remains");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_os_that_configures_the_eni_lets_clients_in() {
    for (os, rule) in
        [(Os::AmazonLinux2023, "from 10.0.2.15 lookup 10001"), (Os::Ubuntu2404, "from 10.0.2.15 lookup 101")]
    {
        let (vpc, machine) = world(os).await;
        machine.plug(&EniPlan::default()).await.expect("an ENI");
        assert!(sh(&machine, "ip rule").await.contains(rule));
        // A server on the host network is reached at once; so the quarantine must not wait for anything.
        let script = "python3 -m http.server -b 10.0.2.15 8080 >/dev/null 2>&1";
        let _server =
            machine.command("/bin/sh").expect("it runs").args(["-c", script]).spawn().expect("a server");
        let target: SocketAddr = "10.0.2.15:8080".parse().expect("an address");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !vpc.reaches(Client::Near, target, PATIENCE).await {
            assert!(Instant::now() < deadline, "near never got in with {os:?}");
        }
        assert!(vpc.reaches(Client::Far, target, PATIENCE).await);
        assert!(!vpc.reaches(Client::Stranger, target, PATIENCE).await);
        machine.reboot().await.expect("a reboot");
        assert!(sh(&machine, "ip rule").await.contains(rule), "it does so again at boot");
        machine.destroy().await.expect("an end without remains");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_answers_the_instance_and_not_one_hop_further() {
    let (vpc, machine) = world(Os::HandsOff).await;
    let listener = vpc.listen(SocketAddr::new(METADATA.into(), 80)).expect("a listener");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener of this runtime");
    let service = tokio::spawn(async move {
        while let Ok((mut stream, peer)) = listener.accept().await {
            let body = peer.ip().to_string();
            let answer = format!("HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let own = sh(&machine, "curl -s -m 3 http://169.254.169.254/").await;
    assert_eq!(own, "10.0.1.10", "the service sees who asks");
    machine.start_docker(&[]).await.expect("an engine");
    import(&machine);
    sh(&machine, "ip addr add 10.0.2.15/32 dev lo").await;
    publish(&machine);
    let ask = "curl -s -m 5 http://10.0.2.15:8080/metadata";
    assert_eq!(sh(&machine, ask).await, "out of reach", "one hop further");
    let target = SocketAddr::new(METADATA.into(), 80);
    assert!(!vpc.reaches(Client::Near, target, PATIENCE).await, "no instance, no metadata");
    docker(&machine, &["rm", "-f", "door"]);
    service.abort();
    machine.destroy().await.expect("an end without remains");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_worlds_do_not_know_of_each_other() {
    let ((one, first), (two, second)) = tokio::join!(world(Os::AmazonLinux2023), world(Os::AmazonLinux2023));
    for machine in [&first, &second] {
        machine.plug(&EniPlan::default()).await.expect("an ENI");
    }
    let script = "exec python3 -m http.server -b 10.0.2.15 8080 >/dev/null 2>&1";
    let _server = first.command("/bin/sh").expect("it runs").args(["-c", script]).spawn().expect("a server");
    let target: SocketAddr = "10.0.2.15:8080".parse().expect("an address");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !one.reaches(Client::Near, target, PATIENCE).await {
        assert!(Instant::now() < deadline, "near never got in");
    }
    assert!(!two.reaches(Client::Near, target, PATIENCE).await);
    sh(&first, "echo first >/etc/mark").await;
    assert_eq!(sh(&second, "cat /etc/mark 2>/dev/null || true").await, "");
    first.power_cut().await.expect("a cut");
    sh(&second, "true").await;
    first.destroy().await.expect("an end without remains");
    second.destroy().await.expect("an end without remains");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_row_holds_in_a_shared_subnet() {
    let vpc = Vpc::build(&VpcPlan::default()).await.expect("a VPC");
    let mut spec = MachineSpec::default();
    spec.primary.address = [10, 0, 2, 10].into();
    spec.primary.gateway = [10, 0, 2, 1].into();
    let machine = Machine::boot(&vpc, &spec).await.expect("a machine");
    machine.plug(&EniPlan::default()).await.expect("an ENI");
    sh(&machine, "ip addr add 10.0.2.15/24 dev ens6 noprefixroute && ip link set ens6 up").await;
    machine.start_docker(&[]).await.expect("an engine");
    import(&machine);
    publish(&machine);
    let expected = [false, false, false, true];
    assert_eq!(settled(&vpc, &machine, expected).await, expected, "no rules");
    route(&machine, 3).await;
    let expected = [true, true, false, true];
    assert_eq!(settled(&vpc, &machine, expected).await, expected, "two rules, three routes");
    machine.destroy().await.expect("an end without remains");
}

/// The address on lo lets a container start early, and alone keeps nobody out once the OS helps along.
#[tokio::test(flavor = "multi_thread")]
async fn the_address_on_lo_alone_leaks() {
    let (behind_rule, plain) = ([true, false, false, false], [true, false, false, true]);
    // Far stays out only because its answers leave by the primary NIC: the agent's own routes let it in.
    for (os, proxy, expected) in [
        (Os::AmazonLinux2023, "--userland-proxy=true", behind_rule),
        (Os::Ubuntu2404, "--userland-proxy=false", behind_rule),
        (Os::Debian12, "--userland-proxy=true", plain),
    ] {
        let (vpc, machine) = world(os).await;
        sh(&machine, "ip addr add 10.0.2.15/32 dev lo").await;
        machine.start_docker(&[proxy]).await.expect("an engine");
        import(&machine);
        publish(&machine);
        machine.plug(&EniPlan::default()).await.expect("an ENI");
        assert_eq!(settled(&vpc, &machine, expected).await, expected, "{os:?} {proxy}");
        machine.destroy().await.expect("an end without remains");
    }
}
