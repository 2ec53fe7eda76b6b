//! Which interface is ours: one table of what is refused, and by which name.

use std::net::Ipv4Addr;

use super::*;
use crate::network::eni::{Attachment, AttachmentStatus};

fn sight() -> Sight {
    Sight {
        id: "eni-1".to_owned(),
        address: Ipv4Addr::new(10, 0, 2, 15),
        mac: "02:00:00:00:02:15".to_owned(),
        subnet_id: "subnet-2".to_owned(),
        vpc_id: "vpc-1".to_owned(),
        zone: "eu-central-1a".to_owned(),
        available: true,
        managed_by: None,
        attachment: None,
        tags: [(DEPLOYMENT_TAG, "acme"), (NODE_TAG, "weaviate-0")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        security_groups: Vec::new(),
    }
}

fn held(instance: Option<&str>, device_index: i32) -> Attachment {
    Attachment {
        id: "eni-attach-1".to_owned(),
        instance: instance.map(str::to_owned),
        status: AttachmentStatus::Attached,
        device_index,
        delete_on_termination: false,
    }
}

fn choice(found: Vec<Sight>) -> Result<Sight, NetworkError> {
    let selector = EniSelector::PrivateIp(Ipv4Addr::new(10, 0, 2, 15));
    let own = Own {
        selector: &selector,
        vpc_id: "vpc-1",
        zone: "eu-central-1a",
        primary_mac: "02:00:00:00:01:10",
        deployment: "acme",
        node: "weaviate-0",
    };
    choose(&own, found)
}

#[test]
fn the_one_that_fits_is_chosen() {
    let elsewhere = Sight { vpc_id: "vpc-2".to_owned(), id: "eni-2".to_owned(), ..sight() };
    let of_another = Sight { attachment: Some(held(Some("i-0old"), 1)), ..sight() };
    for found in [vec![sight()], vec![elsewhere, sight()], vec![of_another]] {
        assert_eq!(choice(found).expect("fits").id, "eni-1");
    }
}

#[test]
fn every_refusal_names_its_cause() {
    let tagged = |tag: &str, value: Option<&str>| {
        let mut sight = sight();
        sight.tags.remove(tag);
        if let Some(value) = value {
            sight.tags.insert(tag.to_owned(), value.to_owned());
        }
        vec![sight]
    };
    let rows: Vec<(Vec<Sight>, &str)> = vec![
        (vec![], "no network interface has the private address 10.0.2.15"),
        (
            vec![sight(), Sight { id: "eni-2".to_owned(), ..sight() }],
            "2 network interfaces have the private address 10.0.2.15: eni-1, eni-2",
        ),
        (vec![Sight { vpc_id: "vpc-2".to_owned(), ..sight() }], "eni-1 is in vpc-2, this instance in vpc-1"),
        (
            vec![Sight { zone: "eu-central-1b".to_owned(), ..sight() }],
            "eni-1 is in eu-central-1b, this instance in eu-central-1a",
        ),
        (
            vec![Sight { mac: "02:00:00:00:01:10".to_owned(), ..sight() }],
            "eni-1 cannot be claimed: it is this instance's primary interface",
        ),
        (
            vec![Sight { managed_by: Some("amazon-elb".to_owned()), ..sight() }],
            "eni-1 cannot be claimed: it is kept by amazon-elb",
        ),
        (
            vec![Sight { attachment: Some(held(Some("i-0old"), 0)), ..sight() }],
            "eni-1 cannot be claimed: it is the primary interface of i-0old",
        ),
        (
            vec![Sight { address: Ipv4Addr::new(10, 0, 2, 9), ..sight() }],
            "eni-1 cannot be claimed: 10.0.2.15 is a secondary address of it, its primary one is 10.0.2.9",
        ),
        (tagged(DEPLOYMENT_TAG, None), "eni-1 lacks the tag weaviate:deployment=\"acme\""),
        (tagged(NODE_TAG, Some("other")), "eni-1 has the tag weaviate:node=\"other\", not \"weaviate-0\""),
    ];
    for (found, expected) in rows {
        let error = choice(found).expect_err(expected);
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.class(), Class::Final, "{expected}");
        assert!(!error.remedy().is_empty());
    }
}

#[test]
fn only_a_bridge_can_hide_a_part_of_the_vpc() {
    let root = tempfile::tempdir().expect("a directory");
    for (publish, refused) in [("bridge", true), ("host", false)] {
        let host = crate::disk::tests::host(root.path(), &format!("[network]\npublish = {publish:?}\n"));
        let there: Cidr = "172.30.0.0/16".parse().expect("a network");
        let elsewhere: Cidr = "10.0.0.0/16".parse().expect("a network");
        let done = check_overlap(&host.settings.network, &[elsewhere, there]);
        assert_eq!(
            matches!(&done, Err(NetworkError::Overlap { range, .. }) if *range == there),
            refused,
            "{done:?}"
        );
        assert!(check_overlap(&host.settings.network, &[elsewhere]).is_ok());
    }
}

#[tokio::test]
async fn a_leaf_that_comes_late_is_waited_for_and_nonsense_is_named() {
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::extract::Path;
    use axum::http::StatusCode;

    static ASKED: AtomicU32 = AtomicU32::new(0);
    async fn leaf(Path(path): Path<String>) -> (StatusCode, &'static str) {
        match ASKED.fetch_add(1, Ordering::SeqCst) {
            0 | 2 => (StatusCode::NOT_FOUND, ""),
            _ if path.ends_with("vpc-id") => (StatusCode::OK, "vpc-1"),
            _ if path.contains("02:01") => (StatusCode::OK, "10.0.0.0/16\n10.1.0.0/16"),
            _ => (StatusCode::OK, "ten"),
        }
    }
    let app = axum::Router::new()
        .route("/latest/api/token", axum::routing::put(async || "token"))
        .route("/latest/meta-data/{*path}", axum::routing::get(leaf));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let metadata = Metadata::new(&base).expect("a client");
    let (id, ranges) = vpc(&metadata, "02:01").await.expect("both leaves come");
    assert_eq!((id.as_str(), ranges.len()), ("vpc-1", 2));
    let error = vpc(&metadata, "02:02").await.expect_err("no network");
    assert!(matches!(&error, NetworkError::Misunderstood { found, .. } if found == "ten"), "{error}");
    drop(metadata);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("an address");
    let metadata = Metadata::new(&format!("http://{nobody}")).expect("a client");
    tokio::time::pause();
    let error = vpc(&metadata, "02:01").await.expect_err("nobody answers");
    assert!(matches!(&error, NetworkError::Metadata(_)), "{error}");
}

#[test]
fn networks_overlap_when_one_holds_the_other() {
    for (one, other, expected) in [
        ("10.0.0.0/16", "10.0.2.0/24", true),
        ("172.30.254.0/24", "172.30.0.0/16", true),
        ("172.30.254.0/24", "172.31.0.0/16", false),
        ("10.0.0.0/24", "10.0.1.0/24", false),
        ("0.0.0.0/0", "10.0.1.0/24", true),
    ] {
        let (one, other): (Cidr, Cidr) = (one.parse().expect("a network"), other.parse().expect("a network"));
        assert_eq!(overlap(one, other), expected, "{one} {other}");
        assert_eq!(overlap(other, one), expected, "{other} {one}");
    }
}
