//! What all services share: signatures, faults on the wire, unknown calls.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};

use super::Service::{AutoScaling, Ec2, SecretsManager, Ssm, Sts};
use super::testing::{Client, ask, cloud, element, forbidden};
use crate::cloud::spec::{ENI, NEW};
use crate::ledger::Event;

const ATTACH: [(&str, &str); 3] = [("NetworkInterfaceId", ENI), ("InstanceId", NEW), ("DeviceIndex", "1")];

#[tokio::test]
async fn wrong_credentials_get_each_services_own_code() {
    let cloud = cloud("", "");
    let good = Client::instance(&cloud, NEW);
    let client = |change: fn(&mut crate::iam::Credential)| {
        let mut client = Client::instance(&cloud, NEW);
        change(&mut client.credential);
        client
    };
    let unknown = client(|c| c.access_key = "ASIANOBODY".into());
    let forged = client(|c| c.secret = "guessed".into());
    let tokenless = client(|c| c.session_token = None);
    let rows = [
        (Ec2, [(401, "AuthFailure"), (401, "AuthFailure"), (401, "AuthFailure")]),
        (
            AutoScaling,
            [(403, "InvalidClientTokenId"), (403, "SignatureDoesNotMatch"), (403, "InvalidClientTokenId")],
        ),
        (Sts, [(403, "InvalidClientTokenId"), (403, "SignatureDoesNotMatch"), (403, "InvalidClientTokenId")]),
    ];
    for (service, expected) in rows {
        for (client, (status, code)) in [&unknown, &forged, &tokenless].into_iter().zip(expected) {
            let (got, body) = client.query(service, "GetCallerIdentity", &[]).await;
            assert_eq!((got, element(&body, "Code")), (status, code), "{service}");
        }
    }
    for service in [SecretsManager, Ssm] {
        let (status, body) = unknown.json(service, "GetParameter", json!({})).await;
        assert!(status == 400 && body.contains("UnrecognizedClientException"), "{body}");
        let (status, body) = forged.json(service, "GetParameter", json!({})).await;
        assert!(status == 400 && body.contains("InvalidSignatureException"), "{body}");
    }
    let (status, body) = good.query(Sts, "GetCallerIdentity", &[]).await;
    let arn = format!("arn:aws:sts::123456789012:assumed-role/weaviate-node/{NEW}");
    assert_eq!((status, element(&body, "Arn")), (200, arn.as_str()));

    let unsigned = axum::http::Request::post("/").body(axum::body::Body::from("Action=X")).unwrap();
    let (status, body) = ask(cloud.endpoint(), unsigned).await;
    assert_eq!((status, element(&body, "Code")), (403, "MissingAuthenticationToken"));
}

#[tokio::test]
async fn roles_are_lent_where_the_policy_says_so() {
    let text = r#"[roles.backup]
        tags = { "weaviate:deployment" = "acme-prod" }
        policy = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:DescribeSubnets","Resource":"*"}}'
        [roles.foreign]"#;
    let cloud = cloud(text, "");
    let client = Client::instance(&cloud, NEW);
    let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    let assume = async |name: &str, seconds: &str| {
        let arn = role(name);
        let parameters = [("RoleArn", arn.as_str()), ("RoleSessionName", "s"), ("DurationSeconds", seconds)];
        client.query(Sts, "AssumeRole", &parameters).await
    };
    let (status, body) = assume("backup", "900").await;
    assert_eq!(status, 200, "{body}");
    let lent = Client::of(&cloud, element(&body, "AccessKeyId"));
    assert_eq!(lent.ec2("DescribeSubnets", &[]).await.0, 200);
    assert_eq!(lent.ec2("DescribeInstances", &[]).await.0, 403);
    let (status, body) = assume("backup", "7200").await;
    assert_eq!((status, element(&body, "Code")), (400, "ValidationError"));
    assert_eq!(forbidden(&cloud).len(), 1, "the role's own denial only");
    for name in ["foreign", "nobody"] {
        let (status, body) = assume(name, "900").await;
        assert_eq!((status, element(&body, "Code")), (403, "AccessDenied"), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn scripted_faults_are_obeyed() {
    let script = |effect: &str| {
        format!("[[fault]]\ncall = \"ec2:AttachNetworkInterface\"\ntimes = 1\neffect = {effect}")
    };
    let rows = [
        ("{ kind = \"throttled\" }", 503, "RequestLimitExceeded", false),
        ("{ kind = \"denied\" }", 403, "UnauthorizedOperation", false),
        (
            "{ kind = \"error\", status = 500, code = \"InternalError\", message = \"m\" }",
            500,
            "InternalError",
            false,
        ),
        ("{ kind = \"absent\" }", 400, "InvalidNetworkInterfaceID.NotFound", false),
        ("{ kind = \"reset\" }", 200, "", false),
        ("{ kind = \"reset\", acted = true }", 200, "", true),
        ("{ kind = \"latency\", ms = 40 }", 200, "", true),
        ("{ kind = \"truncated\", bytes = 9 }", 200, "", true),
    ];
    for (effect, status, code, acted) in rows {
        let cloud = cloud("", &script(effect));
        let start = Instant::now();
        let (got, body) = Client::instance(&cloud, NEW).ec2("AttachNetworkInterface", &ATTACH).await;
        assert_eq!((got, element(&body, "Code")), (status, code), "{effect}");
        assert_eq!(cloud.eni(ENI).unwrap().attachment.is_some(), acted, "{effect}");
        assert!(forbidden(&cloud).is_empty(), "{effect}");
        let latency = if effect.contains("latency") { 40 } else { 0 };
        assert_eq!(start.elapsed(), Duration::from_millis(latency), "{effect}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_recorded_and_a_client_that_hangs_up_has_acted() {
    let faults = r#"[[fault]]
        call = "ec2:DescribeSubnets"
        effect = { kind = "silent" }
        [[fault]]
        call = "ec2:AttachNetworkInterface"
        effect = { kind = "latency", ms = 100 }"#;
    let cloud = cloud("", faults);
    let client = Client::instance(&cloud, NEW);
    assert!(timeout(Duration::from_mins(1), client.ec2("DescribeSubnets", &[])).await.is_err());
    let last = cloud.ledger().events().pop().map(|seen| seen.event);
    assert!(matches!(last, Some(Event::Call { status: 0, code: Some(code), caller: Some(caller), .. })
        if code == "Silent" && caller == NEW));
    assert!(timeout(Duration::from_millis(50), client.ec2("AttachNetworkInterface", &ATTACH)).await.is_err());
    cloud.until(|r| r.enis[ENI].attachment.is_some()).await;
}

#[tokio::test]
async fn every_call_and_every_move_is_in_the_ledger() {
    let cloud = cloud("", "");
    let (status, _) = Client::instance(&cloud, NEW).ec2("AttachNetworkInterface", &ATTACH).await;
    assert_eq!(status, 200);
    let events: Vec<Event> = cloud.ledger().events().into_iter().map(|seen| seen.event).collect();
    assert!(events.iter().any(|event| matches!(event, Event::State { of, from, to }
        if of == ENI && from == "available" && *to == format!("attaching {NEW}"))));
    assert!(events.iter().any(
        |event| matches!(event, Event::Call { service, operation, caller, parameters, status: 200, .. }
        if service == "ec2" && operation == "AttachNetworkInterface" && caller.as_deref() == Some(NEW)
            && parameters["DeviceIndex"] == "1")
    ));
}
