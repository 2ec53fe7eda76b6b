"""How each thing goes away, and how those of a killed run are found again: by tag, by name, by description.

Every `remove_*` may be called as often as one likes. It raises `NotYet` while the thing still is there.
"""

import re
import time

from .calls import Refused, Unanswered
from .ledger import NotYet

TAG = "weaviate:conformance"
# Seconds. The doubles take well under one for such a change; what EC2 takes nobody has written down.
SETTLES = 3
GONE_INSTANCE = ("shutting-down", "terminated")


def name_of(run):
    """Of the group, the role, the launch template and the bucket."""
    return f"weaviate-conformance-{run}"


def tags_of(run):
    return [{"Key": TAG, "Value": run}]


def tagged(run):
    return [{"Name": f"tag:{TAG}", "Values": [run]}]


def mark(run, word, before=""):
    """The description of the interface while a run uses it. It keeps what a given one said before."""
    return f"{TAG}={run} {word}; before: {before}"[:255]


def before(description, run):
    """What a marked interface said before; None where the run has not marked it."""
    found = re.fullmatch(rf"{TAG}={run} [^;]*; before: (.*)", description or "", re.DOTALL)
    return found and found.group(1)


def interfaces(calls, *filters):
    return calls.must("ec2", "DescribeNetworkInterfaces", Filters=list(filters))["NetworkInterfaces"]


def interface(calls, eni):
    found = interfaces(calls, {"Name": "network-interface-id", "Values": [eni]})
    return found[0] if found else None


def instances(calls, *filters):
    answer = calls.must("ec2", "DescribeInstances", Filters=list(filters))
    return [one for group in answer["Reservations"] for one in group["Instances"]]


def free(calls, eni):
    """The interface as it is, attached to nothing; None if it is gone."""
    found = interface(calls, eni)
    if found and found["Status"] != "available":
        attachment = found.get("Attachment", {})
        if attachment.get("Status") in ("attaching", "attached") and attachment.get("DeviceIndex"):
            gone = ("InvalidAttachmentID.NotFound", "IncorrectState")
            calls.must("ec2", "DetachNetworkInterface", unless=gone, AttachmentId=attachment["AttachmentId"])
        raise NotYet("the interface still is attached")
    return found


def remove_interfaces(calls, run):
    """Those that were made. Those that came with an instance go with it."""
    for found in interfaces(calls, *tagged(run)):
        if found.get("Attachment", {}).get("DeviceIndex") != 0:
            eni = free(calls, found["NetworkInterfaceId"])
            gone = ("InvalidNetworkInterfaceID.NotFound",)
            if eni:
                calls.must("ec2", "DeleteNetworkInterface", unless=gone, NetworkInterfaceId=eni["NetworkInterfaceId"])


def give_back(calls, run):
    """Given interfaces, which their descriptions name: attached to nothing, and described as before."""
    for found in interfaces(calls, {"Name": "description", "Values": [f"{TAG}={run} *"]}):
        if {"Key": TAG, "Value": run} not in found.get("TagSet", []):
            eni = found["NetworkInterfaceId"]
            found = free(calls, eni)
            said = before(found and found["Description"], run)
            if said is not None:
                description = {"Value": said}
                calls.must("ec2", "ModifyNetworkInterfaceAttribute", NetworkInterfaceId=eni, Description=description)
                stays(calls, eni, run)


def stays(calls, eni, run):
    """A request that a stopped run hung up on may still act, after what was asked later."""
    ends = time.monotonic() + SETTLES
    while time.monotonic() < ends:
        found = interface(calls, eni)
        if found and before(found.get("Description"), run) is not None:
            raise NotYet("a request that nobody waited for came after it")
        time.sleep(SETTLES / 10)


def remove_instances(calls, run):
    found = [one for one in instances(calls, *tagged(run)) if one["State"]["Name"] != "terminated"]
    asked = [one["InstanceId"] for one in found if one["State"]["Name"] not in GONE_INSTANCE]
    if asked:
        calls.must("ec2", "TerminateInstances", InstanceIds=asked)
    if found:
        raise NotYet("an instance still is shutting down")


def groups(calls, run):
    found = calls.must("autoscaling", "DescribeAutoScalingGroups", Filters=tagged(run))["AutoScalingGroups"]
    # Not every double knows the filter.
    return [one for one in found if (TAG, run) in {(tag["Key"], tag["Value"]) for tag in one.get("Tags", [])}]


def remove_group(calls, run):
    found = groups(calls, run)
    for group in found:
        name = group["AutoScalingGroupName"]
        gone = ("ValidationError", "ScalingActivityInProgress", "ResourceInUse")
        calls.must("autoscaling", "DeleteAutoScalingGroup", unless=gone, AutoScalingGroupName=name, ForceDelete=True)
    if found:
        raise NotYet("the group still is there")


def remove_template(calls, run):
    found = calls.must("ec2", "DescribeLaunchTemplates", unless=("InvalidAction",), Filters=tagged(run))
    for template in (found or {}).get("LaunchTemplates", []):
        calls.must("ec2", "DeleteLaunchTemplate", LaunchTemplateId=template["LaunchTemplateId"])


def remove_role(calls, run):
    name = name_of(run)
    # `UnknownService`: the embedded cloud, which has none of it.
    gone = ("NoSuchEntity", "UnknownService")
    if calls.must("iam", "GetRole", unless=gone, RoleName=name):
        calls.must("iam", "DeleteRolePolicy", unless=gone, RoleName=name, PolicyName=name)
        calls.must("iam", "DeleteRole", unless=gone, RoleName=name)


def prefix_of(run):
    return f"weaviate-conformance/{run}/"


def empty(calls, bucket, prefix):
    """A page at a time; NotYet while there is a next one."""
    answer = calls.must("s3", "ListObjectsV2", unless=("NoSuchBucket",), Bucket=bucket, Prefix=prefix)
    for found in (answer or {}).get("Contents", []):
        calls.must("s3", "DeleteObject", Bucket=bucket, Key=found["Key"])
    if (answer or {}).get("IsTruncated"):
        raise NotYet("objects are left")


def remove_bucket(calls, run):
    bucket = name_of(run)
    if calls.ask("s3", "HeadBucket", Bucket=bucket).status == 404:
        return
    empty(calls, bucket, "")
    calls.must("s3", "DeleteBucket", unless=("NoSuchBucket",), Bucket=bucket)


# In an order in which each can go. The run owes them by these names; `--clean` looks for all.
KINDS = {
    "the Auto Scaling group": remove_group,
    "the launch template": remove_template,
    "the instance": remove_instances,
    "the interface": remove_interfaces,
    "the given interface": give_back,
    "the role": remove_role,
    "the bucket": remove_bucket,
}


def sweep(calls, run, kinds, bucket=None):
    """One look over what a run may have left, and its removal. What is there still, and what could not be told."""
    waiting, refused = [], []
    acts = {what: lambda what=what: KINDS[what](calls, run) for what in KINDS if what in kinds}
    if bucket:
        acts["the objects"] = lambda: empty(calls, bucket, prefix_of(run))
    for what, act in acts.items():
        try:
            act()
        except NotYet as problem:
            waiting.append(f"{what}: {problem}")
        except (Refused, Unanswered) as problem:
            refused.append(f"{what}: {problem}")
    return waiting, refused
