"""What will be done, in words, before anything is."""

from . import clean
from .assumed import TABLE
from .calls import CALLS

COST = (
    "two t4g.nano for a few minutes, each with the small volume of its image, an interface, a group of one, "
    "some tens of small objects: a few cents at most"
)


def cleaning_command(run, region, bucket):
    words = f"scripts/aws-conformance --clean {run} --region {region}"
    return f"{words} --bucket {bucket}" if bucket else words


def plan(run, region, subnet, endpoints, given, deadline, cleaning):
    where = f"in {region}, subnet {subnet}"
    where = f"{where}, at {', '.join(sorted(set(endpoints.values())))} (this is not AWS)" if endpoints else where
    yield f"Run {run} {where}. It asks for {sum(row.asked for row in TABLE)} behaviours, within {deadline:.0f} s,"
    yield f"and removes what it made within {cleaning:.0f} s more."
    yield ""
    yield f"It makes, tagged {clean.TAG}={run} or named {clean.name_of(run)}:"
    bucket = f"objects under {clean.prefix_of(run)} of the bucket" if given.bucket else "a bucket with some small objects"
    for what, made in {
        "instance": "an instance (t4g.nano, Amazon Linux 2023), for its metadata service and as an owner",
        "eni": "an interface in the subnet",
        "group": "a launch template, and an Auto Scaling group of one t4g.nano with a hook at either end",
        "role": "a role that this account may assume, and that may move only interfaces with a tag that none has",
    }.items():
        yield f"  given, and used: {what} {getattr(given, what)}" if getattr(given, what) else f"  {made}"
    yield f"  {bucket}"
    yield f"Cost: {COST}."
    if not given.group:
        yield "The account's first Auto Scaling group also makes its service-linked role, which stays."
    yield "The account's first object under aws:kms also makes the key aws/s3, which stays and costs nothing."
    if given.group:
        yield "The given group's waiting instance is told to ABANDON: it ends."
    yield f"After a kill or a crash: {cleaning_command(run, region, given.bucket)}"
    yield "Until then the group keeps its instance."
    yield ""
    yield "Its calls, beside which the tags need ec2:CreateTags, autoscaling:CreateOrUpdateTags and iam:TagRole:"
    for service, operations in CALLS.items():
        yield f"  {service}: {', '.join(operations)}"
