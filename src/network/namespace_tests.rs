//! The kernel's real answers, in a network namespace of each test's own.
//!
//! A test runs this very binary again under `unshare --net`, with the ignored test that does the work: a
//! namespace entered by a thread would poison the other tests of the process.

use std::process::{Command, Stdio};

use super::*;
use crate::explain::{Class, Explain as _};
use crate::report::Status;

const MAC: &str = "02:00:00:00:02:15";

fn in_namespace(name: &str) {
    let program = std::env::current_exe().expect("this binary");
    let name = format!("network::expose::tests::inside::{name}");
    let output = Command::new("unshare")
        .args(["--net", "--"])
        .arg(program)
        .args(["--exact", &name, "--ignored", "--nocapture"])
        .stdin(Stdio::null())
        .output()
        .expect("unshare runs; these tests need root");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{name}: {said}");
}

#[test]
fn the_door_keeps_clients_out_until_it_is_opened() {
    in_namespace("door");
}

#[test]
fn the_door_before_the_address_is_known() {
    in_namespace("door_without_address");
}

#[test]
fn the_door_of_the_hosts_network() {
    in_namespace("door_of_host");
}

#[test]
fn address_routes_and_rules_are_set_once() {
    in_namespace("routes");
}

#[test]
fn others_in_our_place_are_refused_before_anything_changes() {
    in_namespace("foreign");
}

#[test]
fn the_link_is_found_by_its_mac_when_it_appears() {
    in_namespace("late_link");
}

#[test]
fn the_ways_of_replies_are_the_kernels() {
    in_namespace("ways");
}

mod inside {
    use super::*;

    fn sh(line: &str) -> String {
        let output = Command::new("sh").args(["-ec", line]).output().expect("sh runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A client at the other end of the ENI's cable, in a namespace that ends with its process.
    struct Client(std::process::Child);

    impl Drop for Client {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    impl Client {
        fn plug(address: &str) -> Self {
            let child = Command::new("unshare")
                .args(["--net", "--kill-child", "--", "sleep", "60"])
                .stdin(Stdio::null())
                .spawn()
                .expect("unshare runs");
            let client = Self(child);
            let pid = client.0.id();
            // `unshare` execs after it made the namespace: until then it is ours.
            let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
            let end = std::time::Instant::now() + Duration::from_secs(5);
            while std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|theirs| theirs == own) {
                assert!(std::time::Instant::now() < end, "the client has its namespace");
                std::thread::yield_now();
            }
            sh(&format!("ip link set far netns {pid}"));
            sh(&format!(
                "nsenter --net=/proc/{pid}/ns/net sh -ec \
                 'ip link set lo up; ip link set far up; ip addr add {address} dev far'"
            ));
            client
        }

        fn reaches(&self, address: &str, port: u16) -> bool {
            self.connects(address, port, "10")
        }

        /// A dropped packet gets no answer at all: what has none after this time has none. Each use stands
        /// beside a control that gets in.
        fn kept_out(&self, address: &str, port: u16) -> bool {
            !self.connects(address, port, "2")
        }

        fn connects(&self, address: &str, port: u16, seconds: &str) -> bool {
            let pid = self.0.id();
            Command::new("nsenter")
                .arg(format!("--net=/proc/{pid}/ns/net"))
                .args(["timeout", seconds, "bash", "-c"])
                .arg(format!("exec 3<>/dev/tcp/{address}/{port}"))
                .stderr(Stdio::null())
                .status()
                .expect("nsenter runs")
                .success()
        }
    }

    fn cable() {
        sh(&format!("ip link add eni address {MAC} type veth peer name far; ip link set lo up"));
    }

    fn server(port: u16) -> std::net::TcpListener {
        std::net::TcpListener::bind(("0.0.0.0", port)).expect("binds")
    }

    fn own_reaches(address: &str, port: u16) -> bool {
        let address = format!("{address}:{port}").parse().expect("an address");
        std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
    }

    fn our_door(publish: Publish, address: Option<&str>) -> Door {
        Door {
            publish,
            address: address.map(|text| text.parse().expect("an address")),
            bridge: "weaviate0".to_owned(),
            bridge_subnet: "172.30.254.0/24".parse().expect("a network"),
            uid: 1000,
        }
    }

    #[tokio::test]
    #[ignore = "is run in a namespace of its own by the test of its name"]
    async fn door() {
        use crate::network::door::door_state;
        cable();
        sh("ip link set eni up; ip addr add 10.0.2.15/24 dev eni; ip addr add 10.0.2.16/24 dev eni");
        let client = Client::plug("10.0.2.50/24");
        let (_rest, _grpc, _other) = (server(8080), server(50051), server(9090));
        let door = our_door(Publish::Bridge, Some("10.0.2.15"));

        assert_eq!(door_state().await.expect("lists"), DoorState::Absent);
        assert!(client.reaches("10.0.2.15", 8080), "without a door everybody gets in");

        for _ in 0..2 {
            door.close().await.expect("closes");
            assert_eq!(door_state().await.expect("lists"), DoorState::Closed { metadata_closed: true });
            assert!(client.kept_out("10.0.2.15", 8080));
            assert!(client.kept_out("10.0.2.15", 50051));
            assert!(client.reaches("10.0.2.15", 9090), "other ports are not ours");
            assert!(client.reaches("10.0.2.16", 8080), "other addresses are not ours");
            assert!(own_reaches("10.0.2.15", 8080), "the instance itself gets in");
        }
        for _ in 0..2 {
            door.open().await.expect("opens");
            assert_eq!(door_state().await.expect("lists"), DoorState::Open { metadata_closed: true });
            assert!(client.reaches("10.0.2.15", 8080));
            assert!(client.reaches("10.0.2.15", 50051));
        }
        door.close().await.expect("closes again");
        assert!(client.kept_out("10.0.2.15", 8080));
    }

    #[tokio::test]
    #[ignore = "is run in a namespace of its own by the test of its name"]
    async fn door_without_address() {
        cable();
        sh("ip link set eni up; ip addr add 10.0.2.15/24 dev eni; ip addr add 10.0.2.16/24 dev eni");
        let client = Client::plug("10.0.2.50/24");
        let (_rest, _other) = (server(8080), server(9090));
        assert!(client.reaches("10.0.2.16", 8080));
        our_door(Publish::Bridge, None).close().await.expect("closes");
        assert!(client.kept_out("10.0.2.15", 8080));
        assert!(client.kept_out("10.0.2.16", 8080), "any address may turn out to be the one");
        assert!(client.reaches("10.0.2.15", 9090));
    }

    #[tokio::test]
    #[ignore = "is run in a namespace of its own by the test of its name"]
    async fn door_of_host() {
        cable();
        sh("ip link set eni up; ip addr add 10.0.2.15/24 dev eni; ip addr add 10.0.2.16/24 dev eni");
        sh("ip addr add 169.254.169.254/32 dev lo");
        let client = Client::plug("10.0.2.50/24");
        let (_rest, _metrics, _raft, _metadata) = (server(8080), server(2112), server(8300), server(80));
        let door = our_door(Publish::Host, Some("10.0.2.15"));
        door.close().await.expect("closes");
        assert!(client.kept_out("10.0.2.15", 8080));
        door.open().await.expect("opens");
        assert!(client.reaches("10.0.2.15", 8080));
        assert!(client.kept_out("10.0.2.16", 8080), "the server listens there too, and stays closed");
        assert!(client.kept_out("10.0.2.15", 2112));
        assert!(client.kept_out("10.0.2.15", 8300));
        let as_user = |uid: &str| {
            Command::new("setpriv")
                .args(["--reuid", uid, "--clear-groups", "timeout", "1", "bash", "-c"])
                .arg("exec 3<>/dev/tcp/169.254.169.254/80")
                .stderr(Stdio::null())
                .status()
                .expect("setpriv runs")
                .success()
        };
        assert!(!as_user("1000"), "the container's user has no way to the metadata service");
        assert!(as_user("1001"), "others have");
    }

    fn machine() -> (Wanted, Netlink) {
        cable();
        sh(
            "ip link add weaviate0 type bridge; ip link set weaviate0 up; ip addr add 172.30.254.1/24 dev weaviate0",
        );
        let index = |name: &str| {
            let text = sh(&format!("ip -o link show {name}"));
            text.split(':').next().and_then(|index| index.trim().parse().ok()).expect("an index")
        };
        let wanted = Wanted {
            address: "10.0.2.15".parse().expect("an address"),
            subnet: "10.0.2.0/24".parse().expect("a network"),
            gateway: "10.0.2.1".parse().expect("an address"),
            link: index("eni"),
            bridge: Some(Bridge {
                link: index("weaviate0"),
                name: "weaviate0".to_owned(),
                subnet: "172.30.254.0/24".parse().expect("a network"),
            }),
            table: 8080,
            priority: 80,
        };
        (wanted, Netlink::connect().expect("a socket"))
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

        let first = apply(&netlink, &wanted).await.expect("applies");
        assert_eq!(first.len(), 8, "up, address, three routes, two rules, off lo: {first:?}");
        assert_eq!(apply(&netlink, &wanted).await.expect("applies"), [], "the second time changes nothing");
        assert_eq!(place(&netlink, wanted.address).await.expect("is there").link(), "eni");

        assert!(!sh("ip -o -4 addr show dev lo").contains("10.0.2.15"));
        let address = sh("ip -o -4 addr show dev eni");
        assert!(address.contains("10.0.2.15/32") && address.contains("valid_lft forever"), "{address}");
        let table = sh("ip route show table 8080");
        for route in [
            "default via 10.0.2.1 dev eni",
            "10.0.2.0/24 dev eni proto static scope link",
            "172.30.254.0/24 dev weaviate0 proto static scope link",
        ] {
            assert!(table.contains(route), "{route} in {table}");
        }
        assert_eq!(table.trim().lines().count(), 3, "{table}");
        let rules = sh("ip rule");
        assert!(rules.contains("80:\tfrom 10.0.2.15 lookup 8080"), "{rules}");
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
            let changes = apply(&netlink, &wanted).await.expect(drift);
            assert!(changes.len() >= mended, "{drift}: {changes:?}");
            assert_eq!(apply(&netlink, &wanted).await.expect(drift), [], "{drift}");
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
                "rule priority 81 is used by others: a rule into table 10001",
            ),
            (
                "ip rule add priority 100 fwmark 1 lookup 8080; ip rule add priority 101 lookup 8080",
                "ip rule del priority 100; ip rule del priority 101",
                "routing table 8080 is used by others: the rule of priority 101",
            ),
            (
                "ip route add 10.9.0.0/16 dev lo table 8080",
                "ip route del 10.9.0.0/16 dev lo table 8080",
                "routing table 8080 is used by others: a route by lo",
            ),
        ] {
            sh(theirs);
            let before = (sh("ip rule"), sh("ip -4 addr"));
            let error = apply(&netlink, &wanted).await.expect_err(expected);
            assert_eq!((error.to_string().as_str(), error.class()), (expected, Class::Final));
            assert_eq!((sh("ip rule"), sh("ip -4 addr")), before, "nothing was changed");
            sh(undo);
        }
        assert!(apply(&netlink, &wanted).await.is_ok(), "the control: nobody in the way");
    }

    #[tokio::test]
    #[ignore = "is run in a namespace of its own by the test of its name"]
    async fn late_link() {
        let netlink = Netlink::connect().expect("a socket");
        let status = Status::default();
        let soon = Duration::from_millis(150);
        let error = netlink.await_link(&status, "eni-1", MAC, soon).await.expect_err("no such link");
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
        apply(&netlink, &wanted).await.expect("applies");
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
        assert_eq!(apply(&netlink, &wanted).await.expect("ours come first"), []);
        let to_container = netlink.way(container, wanted.address, None).await.expect("a way");
        assert_eq!(to_container.link, bridge, "the instance's own connections find the container");
    }
}
