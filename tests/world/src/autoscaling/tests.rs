//! The lifecycle over the wire: hooks, heartbeats, timeouts, warm pool, both orders of replacement.

use std::time::Duration;

use tokio::time::sleep;

use crate::cloud::resources::{InstanceState, Lifecycle};
use crate::cloud::spec::{GROUP, HOOK, InstanceSpec, NEW, OLD, Verdict};
use crate::cloud::{Answered, Cloud, Order};
use crate::endpoint::testing::{Client, cloud, element, forbidden};

const ACTION: [(&str, &str); 3] =
    [("AutoScalingGroupName", GROUP), ("LifecycleHookName", HOOK), ("InstanceId", NEW)];

async fn complete(cloud: &Cloud, result: &str) -> (u16, String) {
    let mut parameters = ACTION.to_vec();
    parameters.push(("LifecycleActionResult", result));
    Client::instance(cloud, NEW).autoscaling("CompleteLifecycleAction", &parameters).await
}

async fn heartbeat(cloud: &Cloud) -> (u16, String) {
    Client::instance(cloud, NEW).autoscaling("RecordLifecycleActionHeartbeat", &ACTION).await
}

async fn state(cloud: &Cloud) -> String {
    let (_, body) = Client::instance(cloud, NEW)
        .autoscaling("DescribeAutoScalingInstances", &[("InstanceIds.member.1", NEW)])
        .await;
    element(&body, "LifecycleState").to_owned()
}

fn hooks(entry: &str) -> String {
    format!("[[groups]]\n{entry}")
}

fn no_action(answer: &(u16, String)) -> bool {
    let text = format!("No active Lifecycle Action found with instance ID {NEW}");
    answer.0 == 400
        && element(&answer.1, "Code") == "ValidationError"
        && element(&answer.1, "Message") == text
}

#[tokio::test(start_paused = true)]
async fn a_launch_waits_for_its_hook_and_goes_into_service() {
    let cloud = cloud(&hooks("members = [{ state = \"Pending\" }]"), "");
    assert_eq!(state(&cloud).await, "Pending");
    assert!(no_action(&complete(&cloud, "CONTINUE").await), "before the wait");
    sleep(Duration::from_millis(400)).await;
    assert_eq!(state(&cloud).await, "Pending:Wait");
    assert_eq!(complete(&cloud, "CONTINUE").await.0, 200);
    assert_eq!(state(&cloud).await, "Pending:Proceed");
    assert!(no_action(&complete(&cloud, "CONTINUE").await), "after the answer");
    sleep(Duration::from_millis(400)).await;
    assert_eq!(state(&cloud).await, "InService");
    assert!(no_action(&heartbeat(&cloud).await));
    let actions = cloud.lifecycle_actions();
    assert_eq!(actions.len(), 1);
    let (verdict, by) = actions[0].outcome.clone().unwrap();
    assert_eq!(verdict, Verdict::Continue);
    assert!(matches!(by, Answered::Call { by } if by.ends_with(NEW)));
    assert!(forbidden(&cloud).is_empty());
}

#[tokio::test(start_paused = true)]
async fn heartbeats_restart_the_period_until_the_global_timeout() {
    let text = hooks("hooks = [{ heartbeat = 3.0, global = 10.0 }]");
    // Without a heartbeat the default result comes after one period.
    let idle = cloud(&text, "");
    sleep(Duration::from_millis(2900)).await;
    assert_eq!(state(&idle).await, "Pending:Wait");
    sleep(Duration::from_millis(200)).await;
    assert_eq!(idle.lifecycle_actions()[0].outcome, Some((Verdict::Abandon, Answered::HeartbeatTimeout)));
    assert!(no_action(&complete(&idle, "CONTINUE").await), "after the timeout");

    let beating = cloud(&text, "");
    for _ in 0..4 {
        sleep(Duration::from_secs(2)).await;
        assert_eq!(heartbeat(&beating).await.0, 200);
    }
    sleep(Duration::from_millis(1900)).await;
    assert_eq!(state(&beating).await, "Pending:Wait", "9.9 s, more than three periods");
    sleep(Duration::from_millis(200)).await;
    let action = &beating.lifecycle_actions()[0];
    assert_eq!(
        (action.heartbeats, action.outcome.clone()),
        (4, Some((Verdict::Abandon, Answered::GlobalTimeout)))
    );
}

#[tokio::test(start_paused = true)]
async fn the_default_result_may_be_continue() {
    let cloud = cloud(&hooks("hooks = [{ heartbeat = 1.0, default_result = \"CONTINUE\" }]"), "");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(state(&cloud).await, "InService");
}

#[tokio::test(start_paused = true)]
async fn abandon_terminates_the_instance() {
    let cloud = cloud("", "");
    assert_eq!(complete(&cloud, "ABANDON").await.0, 200);
    sleep(Duration::from_millis(400)).await;
    assert_eq!(cloud.instance_state(NEW), Some(InstanceState::ShuttingDown));
    sleep(Duration::from_secs(4)).await;
    assert_eq!(cloud.instance_state(NEW), Some(InstanceState::Terminated));
    assert_eq!(state(&cloud).await, "", "gone from the group");
}

#[tokio::test(start_paused = true)]
async fn the_propagation_race_finds_no_action_once() {
    let cloud = cloud(&hooks("race = 1"), "");
    assert_eq!(state(&cloud).await, "Pending:Wait");
    assert!(no_action(&complete(&cloud, "CONTINUE").await));
    assert_eq!(complete(&cloud, "CONTINUE").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn termination_waits_for_its_hook() {
    let text = hooks(
        "hooks = [{ name = \"weaviate-ready\", transition = \"terminating\" }]\nmembers = [{ state = \"InService\" }]",
    );
    let cloud = cloud(&text, "");
    cloud.terminate_in_group(NEW);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(state(&cloud).await, "Terminating:Wait");
    assert_eq!(cloud.instance_state(NEW), Some(InstanceState::Running));
    assert_eq!(complete(&cloud, "CONTINUE").await.0, 200);
    assert_eq!(state(&cloud).await, "Terminating:Proceed");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(cloud.instance_state(NEW), Some(InstanceState::Terminated));
}

#[tokio::test(start_paused = true)]
async fn the_warm_pool_runs_the_hook_twice() {
    let cloud = cloud(&hooks("warm_pool = \"stopped\"\nmembers = []"), "");
    cloud.launch(&InstanceSpec::default(), Some(GROUP), true);
    cloud.until(|r| r.group_of(NEW).is_some_and(|(_, m)| m.state == Lifecycle::WarmedPendingWait)).await;
    assert_eq!(complete(&cloud, "CONTINUE").await.0, 200);
    cloud.until(|r| r.instance_state(NEW) == Some(InstanceState::Stopped)).await;
    assert_eq!(state(&cloud).await, "Warmed:Stopped");
    cloud.leave_warm_pool(NEW);
    cloud.until(|r| r.group_of(NEW).is_some_and(|(_, m)| m.state == Lifecycle::PendingWait)).await;
    assert_eq!(complete(&cloud, "CONTINUE").await.0, 200);
    cloud.until(|r| r.group_of(NEW).is_some_and(|(_, m)| m.state == Lifecycle::InService)).await;
    assert_eq!(cloud.instance_state(NEW), Some(InstanceState::Running));
    assert_eq!(cloud.lifecycle_actions().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn both_orders_of_replacement() {
    let text = hooks("hooks = []\nmembers = [{ instance = \"i-0aaaaaaaaaaaaaa01\", state = \"InService\" }]")
        + "\n[[instances]]\nid = \"i-0aaaaaaaaaaaaaa01\"\naddress = \"10.0.1.11\"\n";
    for order in [Order::TerminateFirst, Order::LaunchFirst] {
        let cloud = cloud(&text, "");
        cloud.replace(GROUP, OLD, &InstanceSpec::default(), order).await;
        let old = cloud.instance_state(OLD);
        let expected = match order {
            Order::TerminateFirst => InstanceState::Terminated,
            Order::LaunchFirst => InstanceState::Running,
        };
        assert_eq!(old, Some(expected), "{order:?}");
        cloud.until(|r| r.group_of(NEW).is_some_and(|(_, m)| m.state == Lifecycle::InService)).await;
        cloud.until(|r| r.group_of(OLD).is_none()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_without_a_group_is_no_error_and_other_groups_are_forbidden() {
    let cloud = cloud("groups = []", "");
    assert_eq!(state(&cloud).await, "");
    let client = Client::instance(&cloud, NEW);
    let (code, body) = client
        .autoscaling(
            "CompleteLifecycleAction",
            &[
                ("AutoScalingGroupName", "others"),
                ("LifecycleHookName", HOOK),
                ("InstanceId", NEW),
                ("LifecycleActionResult", "CONTINUE"),
            ],
        )
        .await;
    assert_eq!((code, element(&body, "Code")), (403, "AccessDenied"));
    assert_eq!(forbidden(&cloud), ["iam"]);
    let answer = complete(&cloud, "CONTINUE").await;
    assert_eq!((answer.0, element(&answer.1, "Message")), (400, "Group weaviate-0 not found"));
}

#[tokio::test(start_paused = true)]
async fn hooks_and_groups_are_described() {
    let cloud = cloud("", "");
    let client = Client::instance(&cloud, NEW);
    let (_, body) = client.autoscaling("DescribeLifecycleHooks", &[("AutoScalingGroupName", GROUP)]).await;
    assert_eq!((element(&body, "HeartbeatTimeout"), element(&body, "DefaultResult")), ("300", "ABANDON"));
    assert_eq!(element(&body, "GlobalTimeout"), "30000");
    let (_, body) =
        client.autoscaling("DescribeAutoScalingGroups", &[("AutoScalingGroupNames.member.1", GROUP)]).await;
    assert_eq!(
        (element(&body, "MinHealthyPercentage"), element(&body, "MaxHealthyPercentage")),
        ("0", "100")
    );
    assert_eq!(element(&body, "InstanceId"), NEW);
}
