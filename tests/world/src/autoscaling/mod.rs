//! The Auto Scaling double: groups, members, hooks, and the answers to them.
//!
//! The state machine is [`crate::cloud`]'s; this is its protocol. To add a call: an arm in [`answer`].

#[cfg(test)]
mod tests;

use crate::assumptions::{Behaviour, Known};
use crate::cloud::resources::{Group, Member, Resources};
use crate::cloud::spec::{Hook, Transition, Verdict};
use crate::cloud::{ActionKey, Cloud, visible};
use crate::endpoint::{Answer, Call, Refusal, Xml};
use crate::iam::{Context, Resource};

/// What the world claims about Auto Scaling's calls.
pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "autoscaling.no-active-action",
        what: "ValidationError 'No active Lifecycle Action found with instance ID i-...' before the wait, after the \
               answer and after the timeout",
        known: Known::Documented("quoted by tests of several public tools"),
    },
    Behaviour {
        name: "autoscaling.not-in-a-group",
        what: "DescribeAutoScalingInstances leaves an instance without a group out, without an error",
        known: Known::Documented("Auto Scaling API reference, DescribeAutoScalingInstances"),
    },
    Behaviour {
        name: "autoscaling.unknown-group",
        what: "ValidationError 'Lifecycle hook not found' or 'Group ... not found'",
        known: Known::Assumed("the code is documented, the texts are not"),
    },
    Behaviour {
        name: "autoscaling.token",
        what: "an action is named by instance id or by its token",
        known: Known::Documented("Auto Scaling API reference, CompleteLifecycleAction"),
    },
];

/// Answers one Auto Scaling call.
pub fn answer(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    match call.operation.as_str() {
        "DescribeAutoScalingInstances" => instances(cloud, call),
        "DescribeAutoScalingGroups" => groups(cloud, call),
        "DescribeLifecycleHooks" => hooks(cloud, call),
        "CompleteLifecycleAction" => {
            let verdict = match call.require("LifecycleActionResult")? {
                "CONTINUE" => Verdict::Continue,
                "ABANDON" => Verdict::Abandon,
                other => {
                    let text = format!("Lifecycle Action Result {other} must be one of CONTINUE, ABANDON");
                    return Err(Refusal::bad("ValidationError", text));
                }
            };
            let by = call.principal.arn(&cloud.spec().account);
            act(cloud, call, |group, hook, key| cloud.complete(group, hook, key, verdict, &by))
        }
        "RecordLifecycleActionHeartbeat" => {
            act(cloud, call, |group, hook, key| cloud.heartbeat(group, hook, key))
        }
        _ => call.unknown_operation(),
    }
}

fn group_arn(cloud: &Cloud, name: &str) -> String {
    let (region, account) = (&cloud.spec().region, &cloud.spec().account);
    format!(
        "arn:aws:autoscaling:{region}:{account}:autoScalingGroup:0aaaaaaa-0000-4000-8000-000000000000:autoScalingGroupName/{name}"
    )
}

fn act(
    cloud: &Cloud,
    call: &Call,
    attempt: impl FnOnce(&str, &str, &ActionKey) -> bool,
) -> Result<Answer, Refusal> {
    let group = call.require("AutoScalingGroupName")?;
    let hook = call.require("LifecycleHookName")?;
    call.authorize(cloud, &[Resource::new(group_arn(cloud, group))], &Context::new())?;
    cloud.read(call.view, |r| {
        let found = r.groups.get(group);
        let found =
            found.ok_or_else(|| Refusal::bad("ValidationError", format!("Group {group} not found")))?;
        if !found.spec.hooks.iter().any(|h| h.name == hook) {
            let text = format!("Lifecycle hook not found with name: {hook}");
            return Err(Refusal::bad("ValidationError", text));
        }
        Ok(())
    })?;
    let (key, text) = match (call.get("InstanceId"), call.get("LifecycleActionToken")) {
        (_, Some(token)) => (
            ActionKey::Token(token.to_owned()),
            format!("No active Lifecycle Action found with token {token}"),
        ),
        (Some(id), None) => (
            ActionKey::Instance(id.to_owned()),
            format!("No active Lifecycle Action found with instance ID {id}"),
        ),
        (None, None) => {
            let text = "Either LifecycleActionToken or InstanceId must be specified";
            return Err(Refusal::bad("ValidationError", text));
        }
    };
    if attempt(group, hook, &key) {
        Ok(Answer::Xml(Vec::new()))
    } else {
        Err(Refusal::bad("ValidationError", text))
    }
}

fn instances(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    call.authorize(cloud, &[], &Context::new())?;
    let wanted = call.members("InstanceIds");
    let found = cloud.read(call.view, |r| {
        let mut found = Vec::new();
        for group in r.groups.values() {
            let members = group
                .members
                .iter()
                .filter(|(id, _)| visible(r, id) && (wanted.is_empty() || wanted.contains(&id.as_str())));
            found.extend(members.map(|(id, member)| {
                member_xml(r, id, member, true).text("AutoScalingGroupName", &group.spec.name)
            }));
        }
        found
    });
    Ok(Answer::Xml(vec![Xml::list("AutoScalingInstances", "member", found)]))
}

fn member_xml(r: &Resources, id: &str, member: &Member, shouted: bool) -> Xml {
    let health = if member.healthy { "Healthy" } else { "Unhealthy" };
    let instance = r.instances.get(id);
    Xml::new("member")
        .text("InstanceId", id)
        .maybe("InstanceType", instance.map(|i| &i.kind))
        .maybe("AvailabilityZone", instance.map(|i| &i.zone))
        .text("LifecycleState", member.state.text())
        // The two calls spell it differently: HEALTHY for instances, Healthy in the group.
        .text("HealthStatus", if shouted { health.to_uppercase() } else { health.to_owned() })
        .text("ProtectedFromScaleIn", false)
}

fn groups(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    call.authorize(cloud, &[], &Context::new())?;
    let wanted = call.members("AutoScalingGroupNames");
    let found = cloud.read(call.view, |r| {
        let named = r.groups.values().filter(|g| wanted.is_empty() || wanted.contains(&g.spec.name.as_str()));
        named.map(|g| group_xml(cloud, r, g)).collect::<Vec<_>>()
    });
    Ok(Answer::Xml(vec![Xml::list("AutoScalingGroups", "member", found)]))
}

fn group_xml(cloud: &Cloud, r: &Resources, group: &Group) -> Xml {
    let spec = &group.spec;
    let zones =
        r.subnets.iter().filter(|s| spec.subnets.contains(&s.id)).map(|s| Xml::leaf("member", &s.zone));
    let members =
        group.members.iter().filter(|(id, _)| visible(r, id)).map(|(id, m)| member_xml(r, id, m, false));
    let policy = spec.min_healthy.zip(spec.max_healthy).map(|(min, max)| {
        Xml::new("InstanceMaintenancePolicy")
            .text("MinHealthyPercentage", min)
            .text("MaxHealthyPercentage", max)
    });
    let suspended = spec.suspended.iter().map(|process| {
        Xml::new("member").text("ProcessName", process).text("SuspensionReason", "User suspended")
    });
    Xml::new("member")
        .text("AutoScalingGroupName", &spec.name)
        .text("AutoScalingGroupARN", group_arn(cloud, &spec.name))
        .text("MinSize", spec.min)
        .text("MaxSize", spec.max)
        .text("DesiredCapacity", spec.desired)
        .text("DefaultCooldown", 300)
        .text("HealthCheckType", "EC2")
        .text("CreatedTime", "2026-01-01T00:00:00Z")
        .text("VPCZoneIdentifier", spec.subnets.join(","))
        .child(Xml::list("AvailabilityZones", "member", zones))
        .child(Xml::list("Instances", "member", members))
        .child(Xml::list("SuspendedProcesses", "member", suspended))
        .child(Xml::new("Tags"))
        .extend(policy)
}

fn hooks(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    call.authorize(cloud, &[], &Context::new())?;
    let group = call.require("AutoScalingGroupName")?;
    let wanted = call.members("LifecycleHookNames");
    let found = cloud.read(call.view, |r| {
        let found = r.groups.get(group);
        let found = found.ok_or_else(|| {
            let text = "AutoScalingGroup name not found - null";
            Refusal::bad("ValidationError", text)
        })?;
        let hooks =
            found.spec.hooks.iter().filter(|h| wanted.is_empty() || wanted.contains(&h.name.as_str()));
        Ok(hooks.map(|h| hook_xml(group, h)).collect::<Vec<_>>())
    })?;
    Ok(Answer::Xml(vec![Xml::list("LifecycleHooks", "member", found)]))
}

fn hook_xml(group: &str, hook: &Hook) -> Xml {
    let transition = match hook.transition {
        Transition::Launching => "autoscaling:EC2_INSTANCE_LAUNCHING",
        Transition::Terminating => "autoscaling:EC2_INSTANCE_TERMINATING",
    };
    // The protocol knows whole seconds only; shorter hooks of the world show as one.
    let whole = |duration: std::time::Duration| duration.as_secs().max(1);
    Xml::new("member")
        .text("LifecycleHookName", &hook.name)
        .text("AutoScalingGroupName", group)
        .text("LifecycleTransition", transition)
        .text("HeartbeatTimeout", whole(hook.heartbeat()))
        .text("GlobalTimeout", whole(hook.global()))
        .text("DefaultResult", hook.default_result.text())
}
