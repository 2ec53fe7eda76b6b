//! The metadata service over the wire: tokens, leaves, rotating credentials.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use jiff::Timestamp;
use tokio::time::sleep;

use crate::cloud::Cloud;
use crate::cloud::resources::Lifecycle;
use crate::cloud::spec::{ENI, NEW, ROLE};
use crate::endpoint::testing::{Client, ask, cloud};
use crate::ledger::Event;

async fn put(cloud: &Cloud, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = Request::put(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    ask(cloud.imds(NEW), request.body(Body::empty()).unwrap()).await
}

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

async fn token(cloud: &Cloud) -> String {
    put(cloud, "/latest/api/token", &[(TTL, "21600")]).await.1
}

async fn get(cloud: &Cloud, path: &str, token: &str) -> (u16, String) {
    let request = Request::get(path).header("x-aws-ec2-metadata-token", token);
    ask(cloud.imds(NEW), request.body(Body::empty()).unwrap()).await
}

async fn leaf(cloud: &Cloud, path: &str) -> (u16, String) {
    let token = token(cloud).await;
    get(cloud, &format!("/latest/{path}"), &token).await
}

#[tokio::test(start_paused = true)]
async fn the_rules_of_tokens() {
    let cloud = cloud("", "");
    for (path, headers, status) in [
        ("/latest/api/token", vec![(TTL, "60")], 200),
        ("/latest/api/token", vec![], 400),
        ("/latest/api/token", vec![(TTL, "0")], 400),
        ("/latest/api/token", vec![(TTL, "21601")], 400),
        ("/latest/api/token", vec![(TTL, "60"), ("x-forwarded-for", "10.0.0.1")], 403),
        ("/2021-03-23/api/token", vec![(TTL, "60")], 403),
    ] {
        assert_eq!(put(&cloud, path, &headers).await.0, status, "{path} {headers:?}");
    }
    let path = "/latest/meta-data/instance-id";
    let (_, token) = put(&cloud, "/latest/api/token", &[(TTL, "60")]).await;
    assert_eq!(get(&cloud, path, &token).await, (200, NEW.to_owned()));
    assert_eq!(get(&cloud, path, "wrong").await.0, 401);
    assert_eq!(get(&cloud, path, "").await.0, 401);
    sleep(Duration::from_secs(61)).await;
    assert_eq!(get(&cloud, path, &token).await.0, 401, "expired");
}

#[tokio::test(start_paused = true)]
async fn leaves_listings_and_what_is_not_there() {
    let cloud = cloud("", "");
    for (path, expected) in [
        ("meta-data/placement/availability-zone", "eu-central-1a"),
        ("meta-data/placement/region", "eu-central-1"),
        ("meta-data/instance-type", "c8gd.xlarge"),
        ("meta-data/mac", "02:00:0a:00:01:0a"),
        ("meta-data/tags/instance/weaviate:node", "weaviate-0"),
        ("meta-data/tags/instance/aws:autoscaling:groupName", "weaviate-0"),
        ("meta-data/autoscaling/target-lifecycle-state", "InService"),
        ("meta-data/placement/", "availability-zone\navailability-zone-id\nregion"),
        ("meta-data/iam/security-credentials/", ROLE),
        ("meta-data/network/interfaces/macs/", "02:00:0a:00:01:0a/"),
    ] {
        assert_eq!(leaf(&cloud, path).await, (200, expected.to_owned()), "{path}");
    }
    for path in ["meta-data/spot/instance-action", "meta-data/none", "user-data", "meta-data/events"] {
        assert_eq!(leaf(&cloud, path).await.0, 404, "{path}");
    }
    let (_, document) = leaf(&cloud, "dynamic/instance-identity/document").await;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(
        (document["region"].as_str(), document["instanceId"].as_str()),
        (Some("eu-central-1"), Some(NEW))
    );
}

#[tokio::test(start_paused = true)]
async fn a_plugged_interface_appears_late_and_its_number_later() {
    let cloud = cloud("", "");
    let to = [("NetworkInterfaceId", ENI), ("InstanceId", NEW), ("DeviceIndex", "1")];
    assert_eq!(Client::instance(&cloud, NEW).ec2("AttachNetworkInterface", &to).await.0, 200);
    let number = "meta-data/network/interfaces/macs/02:00:0a:00:02:0f/device-number";
    assert_eq!(leaf(&cloud, number).await.0, 404);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(leaf(&cloud, number).await, (200, "0".to_owned()));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(leaf(&cloud, number).await, (200, "1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn notices_and_the_target_state_follow_the_case() {
    let cloud = cloud("", "");
    let at: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    cloud.spot_notice(NEW, "terminate", at);
    cloud.rebalance_notice(NEW, at);
    let expected = r#"{"action":"terminate","time":"2026-11-21T10:00:00Z"}"#;
    assert_eq!(leaf(&cloud, "meta-data/spot/instance-action").await, (200, expected.to_owned()));
    assert_eq!(
        leaf(&cloud, "meta-data/spot/termination-time").await,
        (200, "2026-11-21T10:00:00Z".to_owned())
    );
    let expected = r#"{"noticeTime":"2026-11-21T10:00:00Z"}"#;
    assert_eq!(leaf(&cloud, "meta-data/events/recommendations/rebalance").await, (200, expected.to_owned()));
    for (state, target) in
        [(Lifecycle::TerminatingWait, "Terminated"), (Lifecycle::WarmedPendingWait, "Warmed:Stopped")]
    {
        cloud.put(NEW, state);
        assert_eq!(leaf(&cloud, "meta-data/autoscaling/target-lifecycle-state").await.1, target);
    }
}

#[tokio::test]
async fn credentials_work_rotate_and_expire() {
    let path = format!("meta-data/iam/security-credentials/{ROLE}");
    let key = async |cloud: &Cloud| {
        let (_, text) = leaf(cloud, &path).await;
        let body: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["Code"], "Success");
        body["AccessKeyId"].as_str().unwrap().to_owned()
    };
    let steady = cloud("", "");
    let first = key(&steady).await;
    assert_eq!(key(&steady).await, first);
    let rotating = cloud("credentials = { lifetime = 100.0, rotate_before = 100.0 }", "");
    let (one, two) = (key(&rotating).await, key(&rotating).await);
    assert_ne!(one, two);

    let client = Client::instance(&steady, NEW);
    assert_eq!(client.credential.access_key, first);
    assert_eq!(client.ec2("DescribeInstances", &[]).await.0, 200);
    steady.expire_credentials(NEW);
    assert_eq!(client.ec2("DescribeInstances", &[]).await.0, 400);
    assert_ne!(key(&steady).await, first);
}

#[tokio::test(start_paused = true)]
async fn faults_hit_by_path() {
    let faults = r#"[[fault]]
        call = "imds:GetMetadata"
        with = { path = "instance-id" }
        times = 1
        effect = { kind = "error", status = 401, code = "", message = "" }"#;
    let cloud = cloud("", faults);
    assert_eq!(leaf(&cloud, "meta-data/instance-type").await.0, 200);
    assert_eq!(leaf(&cloud, "meta-data/instance-id").await.0, 401);
    assert_eq!(leaf(&cloud, "meta-data/instance-id").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_reset_says_whether_it_acted() {
    for (acted, expected) in [(false, 0), (true, 200)] {
        let faults =
            format!("[[fault]]\ncall = \"imds:PutToken\"\neffect = {{ kind = \"reset\", acted = {acted} }}");
        let cloud = cloud("", &faults);
        token(&cloud).await;
        let recorded = cloud.ledger().events().into_iter().find_map(|seen| match seen.event {
            Event::Call { status, .. } => Some(status),
            _ => None,
        });
        assert_eq!(recorded, Some(expected), "acted: {acted}");
    }
}
