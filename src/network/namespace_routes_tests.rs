//! Address, routes, rules and links, inside a namespace.

use super::*;

fn machine() -> (Wanted, Netlink) {
    cable();
    sh(
        "ip link add weaviate0 type bridge; ip link set weaviate0 up; ip addr add 172.30.254.1/24 dev weaviate0",
    );
    machine_of(Some("weaviate0"))
}

fn machine_of(bridge: Option<&str>) -> (Wanted, Netlink) {
    let index = |name: &str| {
        let text = sh(&format!("ip -o link show {name}"));
        text.split(':').next().and_then(|index| index.trim().parse().ok()).expect("an index")
    };
    let wanted = Wanted {
        address: "10.0.2.15".parse().expect("an address"),
        subnet: "10.0.2.0/24".parse().expect("a network"),
        gateway: "10.0.2.1".parse().expect("an address"),
        link: index("eni"),
        bridge: bridge.map(|name| Bridge {
            link: index(name),
            name: name.to_owned(),
            subnet: "172.30.254.0/24".parse().expect("a network"),
        }),
        table: 8080,
        priority: 80,
    };
    (wanted, Netlink::connect().expect("a socket"))
}

#[tokio::test]
#[ignore = "is run in a namespace of its own by the test of its name"]
async fn early() {
    cable();
    let root = tempfile::tempdir().expect("a directory");
    let over = "[network]\neni = { private_ip = '10.0.2.15' }\npriority = 90\n";
    let mut host = crate::disk::tests::host(root.path(), over);
    host.roots.networkd = root.path().join("network");
    let eni = LocatedEni::for_tests();
    for (theirs, undo, expected) in [
        (
            "ip route add 192.0.2.0/24 dev lo table 8080",
            "ip route flush table 8080",
            "routing table 8080 is used by others: a route to 192.0.2.0/24 by lo",
        ),
        (
            "ip rule add from 192.0.2.1 lookup main priority 90",
            "ip rule del priority 90",
            "rule priority 90 is used by others: a rule from 192.0.2.1/32 into table 254",
        ),
        (
            "ip rule add from 10.0.2.15 lookup 8080 priority 80",
            "ip rule del priority 80",
            "routing table 8080 is used by others: the rule of priority 80",
        ),
    ] {
        sh(theirs);
        let error = place_address(&host, &eni).await.expect_err(expected);
        assert_eq!((error.to_string().as_str(), error.class()), (expected, Class::Final));
        assert!(!sh("ip -4 addr").contains("10.0.2.15"), "the address was put there");
        sh(undo);
    }
    // The same rule where a networkd file of ours declares it: an older configuration of this very node.
    sh("ip rule add from 10.0.2.15 lookup 8080 priority 80");
    let (mut older, _) = machine_of(None);
    older.priority = 80;
    std::fs::create_dir_all(&host.roots.networkd).expect("makes");
    std::fs::write(host.roots.networkd.join(networkd::FILE), networkd::render(&older, MAC)).expect("writes");
    place_address(&host, &eni).await.expect("nobody else is in the way");
    assert!(sh("ip -4 addr").contains("10.0.2.15/32"));
}

#[tokio::test]
#[ignore = "is run in a namespace of its own by the test of its name"]
async fn leftovers() {
    let (wanted, netlink) = machine();
    apply(&netlink, &wanted, &[]).await.expect("applies");
    let host = Wanted { bridge: None, table: 9090, priority: 90, ..wanted.clone() };
    apply(&netlink, &host, &[]).await.expect("cleans what it set before");
    assert_eq!(sh("ip route show table 8080 2>/dev/null || true").trim(), "");
    assert_eq!(sh("ip route show table 9090").trim().lines().count(), 2);
    let rules = sh("ip rule");
    assert!(rules.contains("90:\tfrom 10.0.2.15 lookup 9090"), "{rules}");
    assert_eq!(rules.trim().lines().count(), 4, "{rules}");
    apply(&netlink, &wanted, &[]).await.expect("and back");
    assert_eq!(sh("ip rule").trim().lines().count(), 5);
}

#[tokio::test]
#[ignore = "is run in a namespace of its own by the test of its name"]
async fn routes() {
    let (wanted, netlink) = machine();
    let client = Client::plug("10.0.2.1/24");
    for _ in 0..2 {
        let placed = place(&netlink, wanted.address).await.expect("places");
        assert_eq!(placed.link(), "lo");
    }
    assert_eq!(sh("ip -o -4 addr show dev lo").matches("10.0.2.15/32").count(), 1);

    let first = apply(&netlink, &wanted, &[]).await.expect("applies");
    assert_eq!(first.len(), 8, "up, address, three routes, two rules, off lo: {first:?}");
    assert_eq!(apply(&netlink, &wanted, &[]).await.expect("applies"), [], "the second time changes nothing");
    assert_eq!(place(&netlink, wanted.address).await.expect("is there").link(), "eni");

    assert!(!sh("ip -o -4 addr show dev lo").contains("10.0.2.15"));
    let address = sh("ip -o -4 addr show dev eni");
    assert!(address.contains("10.0.2.15/32") && address.contains("valid_lft forever"), "{address}");
    let table = sh("ip route show table 8080");
    for route in [
        "default via 10.0.2.1 dev eni",
        "10.0.2.0/24 dev eni proto 87 scope link",
        "172.30.254.0/24 dev weaviate0 proto 87 scope link",
    ] {
        assert!(table.contains(route), "{route} in {table}");
    }
    assert_eq!(table.trim().lines().count(), 3, "{table}");
    let rules = sh("ip rule");
    assert!(rules.contains("80:\tfrom 10.0.2.15 lookup 8080 proto 87"), "{rules}");
    assert!(rules.contains("81:\tfrom all iif weaviate0 lookup 8080"), "{rules}");
    assert_eq!(rules.trim().lines().count(), 5, "ours and the kernel's three: {rules}");
    let main = sh("ip route show table main");
    assert!(!main.contains("eni"), "the ENI's subnet is not in main: {main}");

    let _server = server(8080);
    assert!(client.reaches("10.0.2.15", 8080));
    assert!(own_reaches("10.0.2.15", 8080));

    for (drift, mended) in [
        ("ip rule del priority 81", 1),
        ("ip route flush table 8080", 3),
        ("ip addr flush dev eni", 1),
        ("ip addr add 10.0.2.15/32 dev lo", 1),
        ("ip rule add priority 80 from 10.0.2.99 lookup 8080", 1),
    ] {
        sh(drift);
        let changes = apply(&netlink, &wanted, &[]).await.expect(drift);
        assert!(changes.len() >= mended, "{drift}: {changes:?}");
        assert_eq!(apply(&netlink, &wanted, &[]).await.expect(drift), [], "{drift}");
        assert!(client.reaches("10.0.2.15", 8080), "{drift}");
    }
}

#[tokio::test]
#[ignore = "is run in a namespace of its own by the test of its name"]
async fn foreign() {
    let (wanted, netlink) = machine();
    sh("ip link set eni up");
    for (theirs, undo, expected) in [
        (
            "ip rule add priority 81 from 10.0.2.15 lookup 10001",
            "ip rule del priority 81",
            "rule priority 81 is used by others: a rule from 10.0.2.15/32 into table 10001",
        ),
        (
            "ip rule add priority 100 fwmark 1 lookup 8080; ip rule add priority 101 lookup 8080",
            "ip rule del priority 100; ip rule del priority 101",
            "routing table 8080 is used by others: the rule of priority 101",
        ),
        (
            "ip route add 10.9.0.0/16 dev lo table 8080",
            "ip route del 10.9.0.0/16 dev lo table 8080",
            "routing table 8080 is used by others: a route to 10.9.0.0/16 by lo",
        ),
    ] {
        sh(theirs);
        let before = (sh("ip rule"), sh("ip -4 addr"));
        let error = apply(&netlink, &wanted, &[]).await.expect_err(expected);
        assert_eq!((error.to_string().as_str(), error.class()), (expected, Class::Final));
        assert_eq!((sh("ip rule"), sh("ip -4 addr")), before, "nothing was changed");
        sh(undo);
    }
    assert!(apply(&netlink, &wanted, &[]).await.is_ok(), "the control: nobody in the way");
}

#[tokio::test]
#[ignore = "is run in a namespace of its own by the test of its name"]
async fn late_link() {
    let netlink = Netlink::connect().expect("a socket");
    let status = Status::default();
    let soon = Duration::from_millis(150);
    let error = netlink.await_link(&status, "eni-1", MAC, soon).await.expect_err("no such link");
    assert!(matches!(error, NetworkError::LinkAbsent { .. }), "{error}");
    assert!(error.to_string().contains(&format!("eni-1 ({MAC})")), "{error}");
    assert_eq!(error.class(), Class::Retry);
    let awaited = netlink.await_link(&status, "eni-1", MAC, Duration::from_secs(5));
    let plugged = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cable();
        // A VLAN carries the MAC of what it lies on, and a bridge that of its first port.
        sh(&format!("ip link add br9 address {MAC} type bridge"));
    };
    let (link, ()) = tokio::join!(awaited, plugged);
    assert_eq!(link.expect("appears").name, "eni");
}

#[tokio::test]
#[ignore = "is run in a namespace of its own by the test of its name"]
async fn ways() {
    let (wanted, netlink) = machine();
    sh("ip link add primary type veth peer name nobody; ip link set primary up; ip link set nobody up");
    sh("ip addr add 10.0.1.10/24 dev primary; ip route add default via 10.0.1.1 dev primary");
    sh("ip link set far up; echo 1 > /proc/sys/net/ipv4/ip_forward");
    let far: Ipv4Addr = "192.0.2.1".parse().expect("an address");
    place(&netlink, wanted.address).await.expect("places");
    let primary = netlink.links().await.expect("lists").into_iter().find(|l| l.name == "primary");
    let before = netlink.way(far, wanted.address, None).await.expect("a way");
    assert_eq!(Some(before.link), primary.map(|link| link.index), "without our rules by the primary one");
    apply(&netlink, &wanted, &[]).await.expect("applies");
    let from_address = netlink.way(far, wanted.address, None).await.expect("a way");
    assert_eq!(from_address.link, wanted.link);
    let bridge = wanted.bridge.as_ref().expect("a bridge").link;
    let container = "172.30.254.2".parse().expect("an address");
    let of_container = netlink.way(far, container, Some(bridge)).await.expect("a way");
    assert_eq!(of_container.link, wanted.link);
    // cloud-init on Ubuntu 24.04 and ec2-net-utils on Amazon Linux install this, with a table without the bridge.
    sh(
        "ip route add default via 10.0.2.1 dev eni onlink table 101; ip rule add from 10.0.2.15 lookup 101 pref 101",
    );
    assert_eq!(apply(&netlink, &wanted, &[]).await.expect("ours come first"), []);
    let to_container = netlink.way(container, wanted.address, None).await.expect("a way");
    assert_eq!(to_container.link, bridge, "the instance's own connections find the container");

    let clients = ["10.0.2.1".parse().expect("an address"), "10.0.2.4".parse().expect("an address"), far];
    let bridge = Some(("weaviate0", container));
    let ways = Ways { address: wanted.address, mac: MAC, clients, bridge };
    check_ways(&netlink, &ways).await.expect("all of them are right");
    for (spoilt, wrong) in [
        (
            "ip rule del priority 80",
            "packets from 10.0.2.15 to 172.30.254.2 would leave by eni, not by weaviate0",
        ),
        (
            "ip rule del priority 81",
            "packets from 172.30.254.2 to 192.0.2.1 would leave by primary, not by eni",
        ),
        (
            "ip route del 172.30.254.0/24 dev weaviate0 table 8080",
            "packets from 10.0.2.15 to 172.30.254.2 would leave by eni, not by weaviate0",
        ),
    ] {
        sh(spoilt);
        let only_far = Ways { clients: [far; 3], ..ways.clone() };
        let error = check_ways(&netlink, &only_far).await.expect_err(spoilt);
        assert!(matches!(&error, NetworkError::WrongWay { .. }), "{spoilt}: {error}");
        assert_eq!(error.to_string(), wrong, "{spoilt}");
        apply(&netlink, &wanted, &[]).await.expect("mends");
        check_ways(&netlink, &ways).await.expect("the control");
    }
}

#[tokio::test]
#[ignore = "is run in a namespace of its own by the test of its name"]
async fn trouble() {
    let netlink = Netlink::connect().expect("a socket");
    let error = netlink.set_up(9999).await.expect_err("no such link");
    assert!(matches!(error, NetworkError::Netlink { .. }), "{error}");
    let error = netlink.await_bridge("weaviate0", Duration::from_millis(100)).await.expect_err("no bridge");
    assert!(matches!(error, NetworkError::BridgeAbsent { .. }), "{error}");
    stayed(&[]).expect("nothing is left to change");
    let error = stayed(&[Change::SetUp { link: 3 }]).expect_err("it was set, and is not");
    assert!(matches!(error, NetworkError::Undone { .. }) && error.class() == Class::Retry, "{error}");
    assert_eq!(error.to_string(), "a change of the network did not stay: sets link 3 up");
    let root = tempfile::tempdir().expect("a directory");
    let host = crate::disk::tests::host(root.path(), "");
    // No file takes the place of a directory, not even root's.
    std::fs::create_dir_all(host.roots.state.join("state.json.tmp/x")).expect("makes");
    host.journal.write(|state| state.opened_in = None).expect_err("spoilt");
    let error = withdraw(&host).await.expect_err("nothing may say that the door is open");
    assert!(matches!(error, NetworkError::State(_)), "{error}");
}
