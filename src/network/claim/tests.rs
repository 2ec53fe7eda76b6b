//! The machine against a small EC2 on loopback: it answers from a script, one entry per look.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;

use super::*;
use crate::explain::{Class, Explain as _};

/// The interface as one DescribeNetworkInterfaces shows it: holder, attachment status, DeleteOnTermination.
#[derive(Clone, Copy)]
enum Shown {
    Free,
    Held(&'static str, &'static str, bool),
    Missing,
    Throttled,
}

#[derive(Default)]
struct Cloud {
    /// Taken one by one; the last one stays.
    looks: Mutex<VecDeque<Shown>>,
    owners: Mutex<VecDeque<&'static str>>,
    /// Answers to AttachNetworkInterface: code and text, or taken.
    attach: Mutex<VecDeque<Option<(&'static str, &'static str)>>>,
    calls: Mutex<Vec<String>>,
    /// Whose state was asked for.
    asked: Mutex<Vec<&'static str>>,
}

fn next<T: Copy>(script: &Mutex<VecDeque<T>>) -> Option<T> {
    let mut script = script.lock().expect("not poisoned");
    if script.len() > 1 { script.pop_front() } else { script.front().copied() }
}

fn refusal(code: &str, message: &str) -> (StatusCode, String) {
    let status = if code == "RequestLimitExceeded" {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::BAD_REQUEST
    };
    let body = format!(
        "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>1</RequestID></Response>"
    );
    (status, body)
}

fn interface(shown: Shown) -> (StatusCode, String) {
    let (status, attachment) = match shown {
        Shown::Missing => return refusal("InvalidNetworkInterfaceID.NotFound", "does not exist"),
        Shown::Throttled => return refusal("RequestLimitExceeded", "Request limit exceeded."),
        Shown::Free => ("available", String::new()),
        Shown::Held(holder, status, delete) => (
            "in-use",
            format!(
                "<attachment><attachmentId>eni-attach-{holder}</attachmentId><instanceId>{holder}</instanceId>\
                 <deviceIndex>1</deviceIndex><status>{status}</status><deleteOnTermination>{delete}</deleteOnTermination></attachment>"
            ),
        ),
    };
    let body = format!(
        "<DescribeNetworkInterfacesResponse><networkInterfaceSet><item><networkInterfaceId>eni-0fixed</networkInterfaceId>\
         <subnetId>subnet-2</subnetId><vpcId>vpc-1</vpcId><availabilityZone>eu-central-1a</availabilityZone>\
         <macAddress>02:00:00:00:02:15</macAddress><privateIpAddress>10.0.2.15</privateIpAddress>\
         <status>{status}</status>{attachment}</item></networkInterfaceSet></DescribeNetworkInterfacesResponse>"
    );
    (StatusCode::OK, body)
}

fn instance(id: &str, state: &str) -> (StatusCode, String) {
    let body = format!(
        "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>{id}</instanceId>\
         <instanceState><code>0</code><name>{state}</name></instanceState><networkInterfaceSet><item><attachment>\
         <deviceIndex>0</deviceIndex></attachment></item></networkInterfaceSet></item></instancesSet></item>\
         </reservationSet></DescribeInstancesResponse>"
    );
    (StatusCode::OK, body)
}

async fn answer(State(cloud): State<Arc<Cloud>>, body: String) -> (StatusCode, String) {
    let action = body.split('&').find_map(|pair| pair.strip_prefix("Action=")).expect("an action");
    let has = |text: &str| body.contains(text);
    if action == "DescribeInstances" {
        cloud.asked.lock().expect("not poisoned").push(if has("i-me") { "i-me" } else { "i-old" });
    }
    match action {
        "DescribeNetworkInterfaces" => interface(next(&cloud.looks).expect("a script")),
        "DescribeInstances" if has("i-me") => instance("i-me", "running"),
        "DescribeInstances" => instance("i-old", next(&cloud.owners).expect("a script")),
        _ => {
            let mut note = action.to_owned();
            for part in ["DeviceIndex=1", "eni-attach-i-old", "eni-attach-i-me", "DeleteOnTermination=false"]
            {
                if has(part) {
                    note = format!("{note} {part}");
                }
            }
            cloud.calls.lock().expect("not poisoned").push(note);
            let scripted = cloud.attach.lock().expect("not poisoned").pop_front().flatten();
            match scripted {
                Some((code, message)) if action == "AttachNetworkInterface" => refusal(code, message),
                _ => (
                    StatusCode::OK,
                    format!(
                        "<{action}Response><attachmentId>eni-attach-i-me</attachmentId><return>true</return></{action}Response>"
                    ),
                ),
            }
        }
    }
}

async fn client(cloud: Arc<Cloud>) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let app = Router::new().fallback(answer).with_state(cloud);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(aws_sdk_ec2::config::BehaviorVersion::latest())
        .region(aws_sdk_ec2::config::Region::new("eu-central-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("AKID", "secret", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(aws_sdk_ec2::config::retry::RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

type Refusal = Option<(&'static str, &'static str)>;
/// Name, looks, states of the owner, answers to the attachment, whether it was reused, calls that changed something.
type Row = (&'static str, Vec<Shown>, Vec<&'static str>, Vec<Refusal>, bool, Vec<&'static str>);

/// What came of it, and the calls that change something.
async fn run(
    looks: &[Shown],
    owners: &[&'static str],
    attach: &[Refusal],
) -> (Result<(String, bool), NetworkError>, Vec<String>) {
    let cloud = Arc::new(Cloud {
        looks: Mutex::new(looks.to_vec().into()),
        owners: Mutex::new(owners.to_vec().into()),
        attach: Mutex::new(attach.to_vec().into()),
        ..Cloud::default()
    });
    let done = claim(&cloud).await;
    let calls = cloud.calls.lock().expect("not poisoned").clone();
    (done, calls)
}

async fn claim(cloud: &Arc<Cloud>) -> Result<(String, bool), NetworkError> {
    let ec2 = client(Arc::clone(cloud)).await;
    let (status, eni) = (Status::default(), LocatedEni::for_tests());
    let patience = Patience {
        owner: Duration::from_secs(3),
        link: Duration::from_secs(2),
        unseen: Duration::from_millis(1500),
    };
    let machine = Machine { ec2: &ec2, status: &status, me: "i-me", eni: &eni, patience };
    let closed = std::cell::Cell::new(false);
    let close = async || {
        if !closed.replace(true) {
            cloud.calls.lock().expect("not poisoned").push(CLOSE.to_owned());
        }
        Ok(())
    };
    machine.run(close).await
}

const MINE: Shown = Shown::Held("i-me", "attached", false);
/// The door, at the first look that does not show it here.
const CLOSE: &str = "closes the door";
const ATTACH: &str = "AttachNetworkInterface DeviceIndex=1";

#[tokio::test]
async fn each_way_to_the_interface_makes_its_calls_and_no_others() {
    let old = |status| Shown::Held("i-old", status, false);
    let rows: [Row; 11] = [
        ("ours already", vec![MINE], vec![], vec![], true, vec![]),
        (
            "free",
            vec![Shown::Free, Shown::Held("i-me", "attaching", false), MINE],
            vec![],
            vec![],
            false,
            vec![CLOSE, ATTACH],
        ),
        (
            "its owner ends",
            vec![old("attached"), old("attached"), old("detaching"), Shown::Free, MINE],
            vec!["shutting-down"],
            vec![],
            false,
            vec![CLOSE, ATTACH],
        ),
        (
            "its owner is stopped",
            vec![old("attached"), old("attached"), old("detaching"), Shown::Free, MINE],
            vec!["stopped"],
            vec![],
            false,
            vec![CLOSE, "DetachNetworkInterface eni-attach-i-old", ATTACH],
        ),
        (
            "an old answer said stopped",
            vec![old("attached"), old("attached"), Shown::Free, MINE],
            vec!["stopped", "stopping"],
            vec![],
            false,
            vec![CLOSE, ATTACH],
        ),
        (
            "it would die with us",
            vec![Shown::Held("i-me", "attached", true), MINE],
            vec![],
            vec![],
            true,
            vec!["ModifyNetworkInterfaceAttribute eni-attach-i-me DeleteOnTermination=false"],
        ),
        (
            "the index was taken, then the instance not seen",
            vec![Shown::Free, Shown::Free, Shown::Free, MINE],
            vec![],
            vec![
                Some((
                    "InvalidParameterValue",
                    "Instance 'i-me' already has an interface attached at device index '1'.",
                )),
                Some(("InvalidInstanceID.NotFound", "The instance ID 'i-me' does not exist")),
                None,
            ],
            false,
            vec![CLOSE, ATTACH, ATTACH, ATTACH],
        ),
        (
            "not seen for a moment",
            vec![Shown::Missing, Shown::Free, Shown::Missing, MINE],
            vec![],
            vec![],
            false,
            vec![CLOSE, ATTACH],
        ),
        (
            // Nobody else has it then, and what was lost is an answer.
            "a throttled look at our own",
            vec![Shown::Throttled, Shown::Missing, MINE],
            vec![],
            vec![],
            true,
            vec![],
        ),
        (
            "it leaves us",
            vec![Shown::Held("i-me", "detaching", false), Shown::Free, MINE],
            vec![],
            vec![],
            false,
            vec![CLOSE, ATTACH],
        ),
        (
            "throttled looks",
            vec![Shown::Throttled, Shown::Free, Shown::Throttled, MINE],
            vec![],
            vec![],
            false,
            vec![CLOSE, ATTACH],
        ),
    ];
    for (name, looks, owners, attach, reused, expected) in rows {
        let (done, calls) = run(&looks, &owners, &attach).await;
        let (id, before) = done.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((id.as_str(), before), ("eni-attach-i-me", reused), "{name}");
        assert_eq!(calls, expected, "{name}");
    }
}

#[tokio::test]
async fn while_an_owner_ends_a_look_is_one_call() {
    let held = Shown::Held("i-old", "attached", false);
    let looks = [vec![held; 6], vec![Shown::Free, MINE]].concat();
    let cloud = Arc::new(Cloud {
        looks: Mutex::new(looks.into()),
        owners: Mutex::new(VecDeque::from(["shutting-down"])),
        ..Cloud::default()
    });
    claim(&cloud).await.expect("claims");
    let asked = cloud.asked.lock().expect("not poisoned").clone();
    let times = |who| asked.iter().filter(|asked| **asked == who).count();
    // Once a second; a busy machine may need more than one for six looks.
    assert!((1..4).contains(&times("i-old")), "{asked:?}");
    assert_eq!(times("i-me"), 1, "the device index is known before the interface is free: {asked:?}");
}

#[tokio::test]
async fn a_living_owner_keeps_it_and_is_named() {
    for state in ["running", "pending", "stopping", "shutting-down"] {
        let (done, calls) = run(&[Shown::Held("i-old", "attached", false)], &[state], &[]).await;
        let error = done.expect_err(state);
        let said = error.to_string();
        assert!(said.starts_with(&format!("eni-0fixed is still held by i-old ({state}) after ")), "{said}");
        assert_eq!(error.class(), Class::Retry);
        assert_eq!(calls, [CLOSE], "{state}: nothing of EC2 was touched");
    }
}

#[tokio::test]
async fn refusals_that_no_wait_cures_end_it_at_once() {
    for (code, message, expected) in [
        (
            "AttachmentLimitExceeded",
            "limit",
            "i-me cannot have eni-0fixed attached: it already has as many network interfaces as its type allows",
        ),
        (
            "InvalidParameterCombination",
            "You may not attach a network interface to an instance if they are not in the same availability zone",
            "EC2 does not attach eni-0fixed to i-me",
        ),
        ("OperationNotPermitted", "no", "EC2 does not attach eni-0fixed to i-me"),
        (
            "UnauthorizedOperation",
            "no",
            "ec2:AttachNetworkInterface is not allowed (UnauthorizedOperation): no",
        ),
    ] {
        let (done, calls) = run(&[Shown::Free], &[], &[Some((code, message))]).await;
        let error = done.expect_err(code);
        assert_eq!((error.to_string().as_str(), error.class()), (expected, Class::Final));
        assert_eq!(calls, [CLOSE, ATTACH], "{code}: once");
    }
}

#[tokio::test]
async fn an_attachment_that_never_ends_and_a_setting_that_is_not_kept_are_errors() {
    let (done, _) = run(&[Shown::Held("i-me", "attaching", false)], &[], &[]).await;
    assert!(matches!(done, Err(NetworkError::NotAttached { .. })), "{done:?}");
    let (done, calls) = run(&[Shown::Held("i-me", "attached", true)], &[], &[]).await;
    assert!(matches!(done, Err(NetworkError::DeletedOnTermination { .. })), "{done:?}");
    assert_eq!(calls.len(), 3);
}

#[tokio::test]
async fn an_interface_that_is_gone_is_named() {
    let (done, _) = run(&[Shown::Missing], &[], &[]).await;
    let error = done.expect_err("it is gone");
    assert_eq!(error.to_string(), "no network interface has the id eni-0fixed");
}
