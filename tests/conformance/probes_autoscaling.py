"""Auto Scaling: how it words what it does not find, and what ABANDON at launch does."""

import re

from .made import HOOKS, Unavailable
from .probes_ec2 import NONE
from .record import AS_ASSUMED, OTHERWISE, not_asked


def probe_unknown(ask, made):
    group, none = made.grouped, f"{made.name}-none"
    action = {"InstanceId": NONE["instance"], "LifecycleHookName": none}
    complete = {**action, "AutoScalingGroupName": none, "LifecycleActionResult": "CONTINUE"}
    unknown_group = ask("autoscaling", "CompleteLifecycleAction", **complete)
    unknown_hook = ask("autoscaling", "RecordLifecycleActionHeartbeat", **action, AutoScalingGroupName=group)
    return judge_unknown(unknown_group, unknown_hook)


def judge_unknown(group, hook):
    texts = re.search(r"Group .*not found", group.text) and re.search("Lifecycle hook not found", hook.text)
    return AS_ASSUMED if texts and group.code == hook.code == "ValidationError" else OTHERWISE


def probe_abandon(ask, made):
    """A hook at the end would hold the instance in Terminating:Wait, were it run."""
    group, hooks = made.grouped, {}
    for hook in ask.calls.must("autoscaling", "DescribeLifecycleHooks", AutoScalingGroupName=group)["LifecycleHooks"]:
        hooks[hook["LifecycleTransition"]] = hook["LifecycleHookName"]
    if set(hooks) != set(HOOKS.values()):
        raise Unavailable("the group has not a hook at either end")
    member, states = made.member, []
    action = {"AutoScalingGroupName": group, "LifecycleHookName": hooks[HOOKS["launch"]], "InstanceId": member}
    answer = ask("autoscaling", "CompleteLifecycleAction", **action, LifecycleActionResult="ABANDON")
    if not answer.ok:
        return not_asked(f"ABANDON was refused: {answer.code}")

    def ended():
        found = ask.calls.must("autoscaling", "DescribeAutoScalingInstances", InstanceIds=[member])
        state = next((one["LifecycleState"] for one in found["AutoScalingInstances"]), "gone")
        if states[-1:] != [state]:
            states.append(state)
        return state in ("gone", "Terminated", "Terminating:Wait", "InService")

    ask.pace.wait("the instance ends", ended)
    ask.seen("autoscaling:DescribeAutoScalingInstances, until the end", " > ".join(states))
    return judge_abandon(states)


def judge_abandon(states):
    return AS_ASSUMED if states[-1] in ("gone", "Terminated") else OTHERWISE
