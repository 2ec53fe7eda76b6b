//! The door, inside a namespace.

use super::*;

#[tokio::test]
#[ignore = "is run in a namespace of its own by the test of its name"]
async fn door() {
    cable();
    sh("ip link set eni up; ip addr add 10.0.2.15/24 dev eni; ip addr add 10.0.2.16/24 dev eni");
    let client = Client::plug("10.0.2.50/24");
    let (_rest, _grpc, _other) = (server(8080), server(50051), server(9090));
    let door = our_door(Publish::Bridge, Some("10.0.2.15"));

    assert_eq!(state_of(&door).await, DoorState::Absent);
    assert!(client.reaches("10.0.2.15", 8080), "without a door everybody gets in");

    for _ in 0..2 {
        door.close().await.expect("closes");
        assert_eq!(state_of(&door).await, DoorState::Closed);
        assert!(client.kept_out("10.0.2.15", 8080));
        assert!(client.kept_out("10.0.2.15", 50051));
        assert!(client.reaches("10.0.2.15", 9090), "other ports are not ours");
        assert!(client.reaches("10.0.2.16", 8080), "other addresses are not ours");
        assert!(own_reaches("10.0.2.15", 8080), "the instance itself gets in");
    }
    for _ in 0..2 {
        door.open().await.expect("opens");
        assert_eq!(state_of(&door).await, DoorState::Open);
        assert!(client.reaches("10.0.2.15", 8080));
        assert!(client.reaches("10.0.2.15", 50051));
    }
    door.close().await.expect("closes again");
    assert!(client.kept_out("10.0.2.15", 8080));

    let other = our_door(Publish::Bridge, Some("10.0.2.16"));
    assert_eq!(state_of(&other).await, DoorState::Altered { chain: "quarantine".to_owned() });
    for (theirs, chain) in [
        ("insert rule inet weaviate_provisioner quarantine accept", "quarantine"),
        ("add rule inet weaviate_provisioner quarantine iif != lo tcp dport 8080 accept", "quarantine"),
        ("flush chain inet weaviate_provisioner metadata", "metadata"),
        ("insert rule inet weaviate_provisioner metadata accept", "metadata"),
    ] {
        sh(&format!("nft '{theirs}'"));
        assert_eq!(state_of(&door).await, DoorState::Altered { chain: chain.to_owned() }, "{theirs}");
        door.close().await.expect("closes");
        assert_eq!(state_of(&door).await, DoorState::Closed, "the control");
    }
}

#[tokio::test]
#[ignore = "is run in a namespace of its own by the test of its name"]
async fn watched_door() {
    let root = tempfile::tempdir().expect("a directory");
    let host = crate::disk::tests::host(root.path(), "[network]\neni = { private_ip = '10.0.2.15' }\n");
    let address = "10.0.2.15".parse().expect("an address");
    let ajar = |done: Result<DoorState, NetworkError>| match done {
        Err(NetworkError::Ajar { found }) => found.to_string(),
        other => panic!("{other:?}"),
    };
    let strict = async || check_closed(&host, address).await.map(|_| DoorState::Closed);
    assert!(ajar(strict().await).ends_with("is gone"));
    close(&host).await.expect("closes");
    assert_eq!(check_closed(&host, address).await.expect("is closed").address(), Some(address));
    assert_eq!(check_door(&host, address).await.expect("is closed"), DoorState::Closed);
    assert!(sh("cat /proc/sys/net/ipv4/ip_local_reserved_ports").contains("50051"));

    let opened = super::door(&host.settings, Some(address));
    opened.open().await.expect("opens");
    assert_eq!(ajar(strict().await), "it is open");
    let boot = instance::boot_id(&host).expect("reads");
    host.journal.write(|state| state.opened_in = Some(boot)).expect("writes");
    assert_eq!(check_door(&host, address).await.expect("by us"), DoorState::Open);
    sh("nft flush chain inet weaviate_provisioner metadata");
    assert!(ajar(check_door(&host, address).await).contains("metadata"));
    assert_eq!(check_door(&host, address).await.expect("was closed at once"), DoorState::Closed);
    assert_eq!(host.journal.read().opened_in, None);
    opened.open().await.expect("opens");
    assert_eq!(ajar(check_door(&host, address).await), "it is open", "nobody wrote that it was us");
    assert_eq!(check_door(&host, address).await.expect("was closed at once"), DoorState::Closed);
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
    // What is only passed on is not ours: others behind this machine are reached as before.
    sh("echo 1 > /proc/sys/net/ipv4/ip_forward; ip link add inner type veth peer name outer");
    sh("ip addr add 10.0.3.1/24 dev inner; ip link set inner up");
    let behind = Client::plug_by("outer", "10.0.3.2/24");
    behind.run("ip route add default via 10.0.3.1");
    client.run("ip route add 10.0.3.0/24 via 10.0.2.15");
    let _server = behind.listens(8080);
    assert!(client.reaches("10.0.3.2", 8080), "a packet that is not for this machine was dropped");
    // The container's own address is forwarded to as well, and is ours.
    sh("ip addr add 172.30.254.1/24 dev inner");
    behind.run("ip addr add 172.30.254.2/24 dev outer");
    client.run("ip route add 172.30.254.0/24 via 10.0.2.15");
    assert!(client.kept_out("172.30.254.2", 8080), "past the published address");
    our_door(Publish::Bridge, None).open().await.expect("opens");
    assert!(client.reaches("172.30.254.2", 8080), "the control");
}

#[tokio::test]
#[ignore = "is run in a namespace of its own by the test of its name"]
async fn door_of_host() {
    cable();
    sh("ip link set eni up; ip addr add 10.0.2.15/24 dev eni; ip addr add 10.0.2.16/24 dev eni");
    sh("ip addr add 169.254.169.254/32 dev lo");
    let client = Client::plug("10.0.2.50/24");
    let (_rest, _metrics, _raft, _metadata) = (server(8080), server(2112), server(8300), server(80));
    let _grpc = server(50051);
    let door = our_door(Publish::Host, Some("10.0.2.15"));
    door.close().await.expect("closes");
    assert!(client.kept_out("10.0.2.15", 8080));
    door.open().await.expect("opens");
    assert!(client.reaches("10.0.2.15", 8080));
    assert!(client.kept_out("10.0.2.16", 8080), "the server listens there too, and stays closed");
    assert!(client.reaches("10.0.2.15", 50051));
    Door { grpc: false, ..door.clone() }.open().await.expect("opens");
    assert!(client.kept_out("10.0.2.15", 50051), "gRPC is not for clients");
    assert!(client.reaches("10.0.2.15", 8080));
    door.open().await.expect("opens");
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

#[tokio::test]
#[ignore = "is run in a namespace, and without programs, by the test of its name"]
async fn without_nft() {
    let door = our_door(Publish::Bridge, None);
    for (done, operation) in [
        (door.close().await, "close"),
        (door.open().await, "open"),
        (door::door_state(std::slice::from_ref(&door)).await.map(drop), "list"),
    ] {
        let error = done.expect_err(operation);
        assert!(
            matches!(&error, NetworkError::Door { operation: named, .. } if *named == operation),
            "{error}"
        );
    }
    let root = tempfile::tempdir().expect("a directory");
    let roots =
        Roots { networkd: root.path().join("network"), run: root.path().join("run"), ..Roots::default() };
    let error = networkd::declare(&roots, "text").await.expect_err("no networkctl");
    assert!(matches!(error, NetworkError::Reload { .. }), "{error}");
}
