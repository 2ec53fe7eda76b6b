//! The kernel's real answers, in a network namespace of each test's own.
//!
//! A test runs the ignored test that does the work in a process of its own.

use std::process::{Command, Stdio};

use super::*;
use crate::explain::{Class, Explain as _};
use crate::network::probe::{Ways, check_ways};
use crate::report::Status;
use crate::tests::alone::alone;

#[path = "namespace_door_tests.rs"]
mod inside_door;
#[path = "namespace_routes_tests.rs"]
mod inside_routes;

const MAC: &str = "02:00:00:00:02:15";

fn in_namespace(name: &str) {
    alone(&format!("network::expose::tests::{name}"), &["--net"], None);
}

#[test]
fn the_door_keeps_clients_out_until_it_is_opened() {
    in_namespace("inside_door::door");
}

#[test]
fn a_door_that_somebody_else_changed_is_no_door() {
    in_namespace("inside_door::watched_door");
}

#[test]
fn others_in_our_place_are_refused_before_the_address_is_placed() {
    in_namespace("inside_routes::early");
}

#[test]
fn what_an_older_configuration_left_in_the_kernel_is_cleaned() {
    in_namespace("inside_routes::leftovers");
}

#[test]
fn the_door_before_the_address_is_known() {
    in_namespace("inside_door::door_without_address");
}

#[test]
fn the_door_of_the_hosts_network() {
    in_namespace("inside_door::door_of_host");
}

#[test]
fn address_routes_and_rules_are_set_once() {
    in_namespace("inside_routes::routes");
}

#[test]
fn others_in_our_place_are_refused_before_anything_changes() {
    in_namespace("inside_routes::foreign");
}

#[test]
fn the_link_is_found_by_its_mac_when_it_appears() {
    in_namespace("inside_routes::late_link");
}

#[test]
fn the_ways_of_replies_are_the_kernels() {
    in_namespace("inside_routes::ways");
}

#[test]
fn what_the_kernel_or_the_system_does_not_do_is_named() {
    in_namespace("inside_routes::trouble");
    let nowhere = tempfile::tempdir().expect("a directory");
    alone("network::expose::tests::inside_door::without_nft", &["--net"], Some(nowhere.path()));
}

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
        Self::plug_by("far", address)
    }

    /// A command in its namespace.
    fn run(&self, line: &str) {
        sh(&format!("nsenter --net=/proc/{}/ns/net sh -ec '{line}'", self.0.id()));
    }

    /// A server in its namespace, which ends with the guard.
    fn listens(&self, port: u16) -> Self {
        let pid = self.0.id();
        let mut child = Command::new("nsenter")
            .arg(format!("--net=/proc/{pid}/ns/net"))
            .args(["python3", "-uc"])
            .arg(format!("import socket; s = socket.create_server((\"\", {port})); print(1); [s.accept() for _ in iter(int, 1)]"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter runs");
        let said = child.stdout.as_mut().map(|out| std::io::Read::read(out, &mut [0; 1]));
        assert!(matches!(said, Some(Ok(1))), "it listens");
        Self(child)
    }

    fn plug_by(end: &str, address: &str) -> Self {
        let child = Command::new("unshare")
            .args(["--net", "--kill-child", "--", "sleep", "60"])
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare runs");
        let client = Self(child);
        let pid = client.0.id();
        // `unshare` execs after it made the namespace: until then it is ours.
        let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
        let until = std::time::Instant::now() + Duration::from_secs(5);
        while std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|theirs| theirs == own) {
            assert!(std::time::Instant::now() < until, "the client has its namespace");
            std::thread::yield_now();
        }
        sh(&format!("ip link set {end} netns {pid}"));
        sh(&format!(
            "nsenter --net=/proc/{pid}/ns/net sh -ec \
             'ip link set lo up; ip link set {end} up; ip addr add {address} dev {end}'"
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
        grpc: true,
    }
}

async fn state_of(door: &Door) -> DoorState {
    door::door_state(std::slice::from_ref(door)).await.expect("lists")
}
