//! The hook against a small Auto Scaling on loopback.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;

use super::*;

#[derive(Default)]
struct Cloud {
    /// The lifecycle state of each look; `""` is no group. The last one stays.
    stages: Mutex<VecDeque<&'static str>>,
    /// Answers to Complete…: a code and its text, or taken.
    complete: Mutex<VecDeque<Option<(&'static str, &'static str)>>>,
    no_hook: bool,
    /// What was completed or beaten.
    calls: Mutex<Vec<String>>,
}

fn refusal(code: &str, message: &str) -> (StatusCode, String) {
    let status =
        if code == "ValidationError" { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR };
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    );
    (status, body)
}

async fn answer(State(cloud): State<Arc<Cloud>>, body: String) -> (StatusCode, String) {
    let action = body.split('&').find_map(|pair| pair.strip_prefix("Action=")).expect("an action");
    let result = match action {
        "DescribeAutoScalingInstances" => {
            let mut stages = cloud.stages.lock().expect("not poisoned");
            let stage = if stages.len() > 1 { stages.pop_front() } else { stages.front().copied() };
            match stage.expect("a script") {
                "" => "<AutoScalingInstances/>".to_owned(),
                stage => format!(
                    "<AutoScalingInstances><member><InstanceId>i-me</InstanceId><AutoScalingGroupName>asg-1</AutoScalingGroupName>\
                     <AvailabilityZone>a</AvailabilityZone><LifecycleState>{stage}</LifecycleState><HealthStatus>HEALTHY</HealthStatus>\
                     <ProtectedFromScaleIn>false</ProtectedFromScaleIn></member></AutoScalingInstances>"
                ),
            }
        }
        "DescribeLifecycleHooks" if cloud.no_hook => "<LifecycleHooks/>".to_owned(),
        "DescribeLifecycleHooks" => "<LifecycleHooks><member><LifecycleHookName>ready</LifecycleHookName>\
             <HeartbeatTimeout>1</HeartbeatTimeout><GlobalTimeout>100</GlobalTimeout></member></LifecycleHooks>"
            .to_owned(),
        _ => {
            assert!(body.contains("LifecycleHookName=ready") && body.contains("AutoScalingGroupName=asg-1"), "{body}");
            assert!(body.contains("InstanceId=i-me"), "{body}");
            let result = ["CONTINUE", "ABANDON"].into_iter().find(|result| body.contains(result));
            cloud.calls.lock().expect("not poisoned").push(result.unwrap_or("beat").to_owned());
            if let Some((code, message)) = cloud.complete.lock().expect("not poisoned").pop_front().flatten() {
                return refusal(code, message);
            }
            String::new()
        }
    };
    (
        StatusCode::OK,
        format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"),
    )
}

async fn group_of(cloud: &Arc<Cloud>) -> Group {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let app = Router::new().fallback(answer).with_state(Arc::clone(cloud));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let config = aws_sdk_autoscaling::Config::builder()
        .behavior_version(aws_sdk_autoscaling::config::BehaviorVersion::latest())
        .region(aws_sdk_autoscaling::config::Region::new("eu-central-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("AKID", "secret", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(aws_sdk_autoscaling::config::retry::RetryConfig::disabled())
        .build();
    let client = aws_sdk_autoscaling::Client::from_conf(config);
    Group { client, instance: "i-me".to_owned(), hook: "ready".to_owned() }
}

const NO_ACTION: Option<(&str, &str)> =
    Some(("ValidationError", "No active Lifecycle Action found with instance ID i-me"));

async fn run(cloud: Cloud, answer: Answer) -> (Result<Option<String>, SignalError>, Vec<String>) {
    let cloud = Arc::new(cloud);
    let group = group_of(&cloud).await;
    let done = offer(&group, &Status::default(), answer, Duration::from_secs(3)).await;
    let calls = cloud.calls.lock().expect("not poisoned").clone();
    (done, calls)
}

fn scripted(stages: &[&'static str], complete: &[Option<(&'static str, &'static str)>]) -> Cloud {
    Cloud {
        stages: Mutex::new(stages.to_vec().into()),
        complete: Mutex::new(complete.to_vec().into()),
        ..Cloud::default()
    }
}

#[tokio::test]
async fn the_answer_is_offered_until_it_is_taken() {
    let contention = Some(("ResourceContention", "You already have a pending update"));
    for (name, stages, complete, times) in [
        ("at once", &["Pending:Wait"][..], &[][..], 1),
        ("not waiting yet", &["Pending", "Pending", "Pending:Wait"], &[], 1),
        ("the propagation race", &["Pending:Wait"], &[NO_ACTION, NO_ACTION], 3),
        ("contention", &["Pending:Wait"], &[contention], 2),
        ("a warm pool", &["Warmed:Pending:Wait"], &[], 1),
    ] {
        let (done, calls) = run(scripted(stages, complete), Answer::Continue).await;
        assert_eq!(done.expect(name), None, "{name}: taken");
        assert_eq!(calls, vec!["CONTINUE"; times], "{name}");
    }
    let (done, calls) = run(scripted(&["Pending:Wait"], &[NO_ACTION]), Answer::Abandon).await;
    assert_eq!((done.expect("taken"), calls), (None, vec!["ABANDON".to_owned(); 2]));
}

#[tokio::test]
async fn nobody_who_does_not_wait_is_told() {
    for (stages, complete, why, calls) in [
        (&[""][..], &[][..], "the instance is in no Auto Scaling group", 0),
        (&["InService"], &[], "the instance is InService already", 0),
        // The answer was taken although its own answer was lost, or the hook timed out.
        (&["Pending:Wait", "Pending:Proceed"], &[NO_ACTION], "the instance is Pending:Proceed already", 1),
    ] {
        let (done, made) = run(scripted(stages, complete), Answer::Continue).await;
        assert_eq!(done.expect(why).as_deref(), Some(why));
        assert_eq!(made.len(), calls, "{why}");
    }
}

#[tokio::test]
async fn what_cannot_be_answered_says_why() {
    let (done, _) = run(scripted(&["Terminating:Wait"], &[]), Answer::Continue).await;
    let error = done.expect_err("ending");
    assert_eq!(
        (error.to_string().as_str(), error.class()),
        ("i-me cannot go on: its group has it in Terminating:Wait", Class::Final)
    );

    let cloud = Cloud { no_hook: true, ..scripted(&["Pending"], &[]) };
    let (done, _) = run(cloud, Answer::Continue).await;
    let error = done.expect_err("no such hook");
    assert_eq!(
        (error.to_string().as_str(), error.class()),
        ("the Auto Scaling group asg-1 has no lifecycle hook ready", Class::Final)
    );

    let (done, calls) = run(scripted(&["Pending:Wait"], &[NO_ACTION; 9]), Answer::Continue).await;
    let error = done.expect_err("never taken");
    assert!(
        error.to_string().starts_with("the lifecycle hook ready of asg-1 has not taken CONTINUE"),
        "{error}"
    );
    assert_eq!(error.class(), Class::Retry);
    assert!(calls.len() > 1);

    let denied = Some(("AccessDenied", "no"));
    let (done, calls) = run(scripted(&["Pending:Wait"], &[denied]), Answer::Continue).await;
    assert_eq!((done.expect_err("denied").class(), calls.len()), (Class::Final, 1));
}

/// With a hook of one second a beat is due every third of one.
async fn beats(stages: &[&'static str], moves: bool, held: bool) -> usize {
    beats_of(scripted(stages, &[]), moves, held).await
}

async fn beats_of(cloud: Cloud, moves: bool, held: bool) -> usize {
    let cloud = Arc::new(cloud);
    let group = group_of(&cloud).await;
    let (status, held) = (Status::default(), AtomicBool::new(held));
    let work = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if moves {
                status.alive();
            }
        }
    };
    tokio::select! {
        () = heartbeat::beat(&group, &status, None, &held) => {}
        () = work => {}
        () = tokio::time::sleep(Duration::from_millis(1500)) => {}
    }
    cloud.calls.lock().expect("not poisoned").iter().filter(|call| *call == "beat").count()
}

#[tokio::test]
async fn beats_are_sent_while_something_moves() {
    let moving = beats(&["Pending:Wait"], true, false).await;
    assert!((2..=5).contains(&moving), "{moving}");
    assert_eq!(beats(&["Pending:Wait"], false, false).await, 1, "a boot that hangs is not kept alive");
    let held = beats(&["Pending:Wait"], false, true).await;
    assert!((2..=5).contains(&held), "a person is to find it: {held}");
    let denied = Cloud {
        complete: Mutex::new(VecDeque::from([Some(("AccessDenied", "no")); 2])),
        ..scripted(&["Pending:Wait"], &[])
    };
    let given_back = beats_of(denied, true, false).await;
    assert!(given_back > 2, "a permission that comes back is used: {given_back}");
    assert_eq!(beats(&["InService"], true, false).await, 0, "nobody waits");
    assert_eq!(beats(&[""], true, false).await, 0, "no group");
}
