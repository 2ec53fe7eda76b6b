//! The calls to Auto Scaling.

use std::time::Duration;

use aws_sdk_autoscaling::Client;

use super::SignalError;
use super::decide::{Answer, Stage};
use crate::aws::{CallError, failed};

/// The group of an instance, and where the instance stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub group: String,
    pub stage: Stage,
}

/// How long a hook waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Restarted by each heartbeat.
    pub heartbeat: Duration,
    /// Whatever the heartbeats: at most 48 hours or 100 times the heartbeat's.
    pub global: Duration,
}

/// `InstanceMaintenancePolicy`: the least and the most healthy instances in percent, where the group has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    pub healthy: Option<(i32, i32)>,
}

impl Replacement {
    /// One fixed ENI goes from the old instance to the new one, so the old one must end first: 0 and 100. Otherwise
    /// the new one waits for an address whose owner waits for the new one.
    pub fn warning(self, group: &str) -> Option<String> {
        let found = match self.healthy {
            Some((0, 100)) => return None,
            Some((least, most)) => format!("its InstanceMaintenancePolicy is {least}/{most}"),
            None => "it has no InstanceMaintenancePolicy".to_owned(),
        };
        Some(format!(
            "the group {group} may launch before it terminates: {found}, and one fixed ENI needs 0/100"
        ))
    }
}

/// Whether the service took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    /// "No active Lifecycle Action": before the hook, after it, or before the group's parts agree.
    NoAction,
}

/// Auto Scaling, for one instance.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) client: Client,
    pub(super) instance: String,
    pub(super) hook: String,
}

impl Group {
    /// Where the instance stands; `None` in no group: that is an empty list, not an error.
    pub(super) async fn member(&self) -> Result<Option<Member>, SignalError> {
        let answer = self.client.describe_auto_scaling_instances().instance_ids(&self.instance).send().await;
        let answer = answer.map_err(|error| failed("autoscaling:DescribeAutoScalingInstances", &error))?;
        let found = answer
            .auto_scaling_instances()
            .iter()
            .find(|found| found.instance_id() == Some(self.instance.as_str()));
        Ok(found.map(|found| Member {
            group: found.auto_scaling_group_name().unwrap_or_default().to_owned(),
            stage: Stage::read(found.lifecycle_state().unwrap_or_default()),
        }))
    }

    pub(super) async fn timeouts(&self, group: &str) -> Result<Timeouts, SignalError> {
        let call = self
            .client
            .describe_lifecycle_hooks()
            .auto_scaling_group_name(group)
            .lifecycle_hook_names(&self.hook);
        let absent = || SignalError::NoHook { group: group.to_owned(), hook: self.hook.clone() };
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let error = failed("autoscaling:DescribeLifecycleHooks", &error);
                // A name that is not there is a ValidationError with some services, an empty list with others.
                return Err(if error.code == "ValidationError" { absent() } else { error.into() });
            }
        };
        let hooks = answer.lifecycle_hooks();
        let hook = hooks.iter().find(|hook| hook.lifecycle_hook_name() == Some(self.hook.as_str()));
        let hook = hook.ok_or_else(absent)?;
        // The API's default is an hour (PutLifecycleHook).
        let heartbeat = seconds(hook.heartbeat_timeout()).unwrap_or(Duration::from_hours(1));
        let longest = (heartbeat * 100).min(Duration::from_hours(48));
        Ok(Timeouts { heartbeat, global: seconds(hook.global_timeout()).unwrap_or(longest) })
    }

    /// In which order the group replaces an instance.
    pub(super) async fn replacement(&self, group: &str) -> Result<Replacement, SignalError> {
        let call = self.client.describe_auto_scaling_groups().auto_scaling_group_names(group);
        let answer = call.send().await;
        let answer = answer.map_err(|error| failed("autoscaling:DescribeAutoScalingGroups", &error))?;
        let policy =
            answer.auto_scaling_groups().first().and_then(|group| group.instance_maintenance_policy());
        Ok(Replacement {
            healthy: policy.and_then(|policy| {
                Some((policy.min_healthy_percentage()?, policy.max_healthy_percentage()?))
            }),
        })
    }

    pub(super) async fn complete(&self, group: &str, answer: Answer) -> Result<Taken, SignalError> {
        let call = self
            .client
            .complete_lifecycle_action()
            .auto_scaling_group_name(group)
            .lifecycle_hook_name(&self.hook)
            .instance_id(&self.instance)
            .lifecycle_action_result(answer.as_str());
        let sent = call.send().await;
        taken(sent.map_err(|error| failed("autoscaling:CompleteLifecycleAction", &error)))
    }

    pub(super) async fn beat(&self, group: &str) -> Result<Taken, SignalError> {
        let call = self
            .client
            .record_lifecycle_action_heartbeat()
            .auto_scaling_group_name(group)
            .lifecycle_hook_name(&self.hook)
            .instance_id(&self.instance);
        let sent = call.send().await;
        taken(sent.map_err(|error| failed("autoscaling:RecordLifecycleActionHeartbeat", &error)))
    }
}

fn seconds(value: Option<i32>) -> Option<Duration> {
    u64::try_from(value?).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

fn taken<T>(sent: Result<T, CallError>) -> Result<Taken, SignalError> {
    match sent {
        Ok(_) => Ok(Taken::Yes),
        Err(error)
            if error.code == "ValidationError" && error.message.contains("No active Lifecycle Action") =>
        {
            Ok(Taken::NoAction)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::Replacement;

    #[test]
    fn only_terminate_first_needs_no_word() {
        let rows =
            [(Some((0, 100)), None), (Some((100, 110)), Some("is 100/110")), (None, Some("it has no"))];
        for (healthy, expected) in rows {
            let warning = Replacement { healthy }.warning("weaviate-0");
            assert_eq!(warning.is_some(), expected.is_some(), "{healthy:?}");
            assert!(warning.unwrap_or_default().contains(expected.unwrap_or_default()), "{healthy:?}");
        }
    }
}
