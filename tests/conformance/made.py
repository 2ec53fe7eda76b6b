"""What the probes need: made when first asked for, owed to the ledger before that; or given by the user.

A thing that cannot be had says so to every probe that asks for it, and costs the other probes nothing.
"""

import functools
import json
import pathlib

from . import clean
from .calls import Calls, Refused, Unanswered
from .pace import Late

HERE = pathlib.Path(__file__).parent
IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
HOOKS = {"launch": "autoscaling:EC2_INSTANCE_LAUNCHING", "end": "autoscaling:EC2_INSTANCE_TERMINATING"}


class Unavailable(Exception):
    """Why a probe has nothing to ask with."""


def once(make):
    """A cached property that remembers failures too."""
    name = f"_{make.__name__}"

    @functools.wraps(make)
    def get(self):
        if name not in self.__dict__:
            try:
                self.__dict__[name] = make(self)
            except (Refused, Unanswered, Late, Unavailable) as problem:
                self.__dict__[name] = Unavailable(str(problem))
        found = self.__dict__[name]
        if isinstance(found, Unavailable):
            raise found
        return found

    return property(get)


class Made:
    def __init__(self, calls, ledger, cleaning, run, subnet, given, scrub, kind="t4g.nano"):
        """`cleaning`: calls on other time than the run's. `given`: eni, instance, group, role, bucket, imds, image."""
        self.calls, self.ledger, self.cleaning, self.run = calls, ledger, cleaning, run
        self.subnet, self.given, self.scrub, self.kind = subnet, given, scrub, kind
        self.name = clean.name_of(run)
        scrub.hide(run, "<run>")
        scrub.hide(self.name, "<made>")
        for what in ("group", "bucket"):
            scrub.hide(getattr(given, what), f"<{what}>")

    def owe(self, what):
        self.ledger.owe(what, lambda: clean.KINDS[what](self.cleaning, self.run))

    def tags(self, *kinds):
        return [{"ResourceType": kind, "Tags": clean.tags_of(self.run)} for kind in kinds]

    def begin(self):
        """Asks for what takes long, and waits for none of it."""
        for what in ("launched", "eni", "role_arn", "grouped"):
            try:
                getattr(self, what)
            except Unavailable:
                pass

    @once
    def image(self):
        if self.given.image:
            return self.given.image
        return self.calls.must("ssm", "GetParameter", Name=IMAGE)["Parameter"]["Value"]

    def machine(self):
        """What every instance is launched with. It has no role."""
        return {"ImageId": self.image, "InstanceType": self.kind, "InstanceInitiatedShutdownBehavior": "terminate"}

    @once
    def launched(self):
        if self.given.instance:
            return self.given.instance
        user_data = (HERE / "imds.sh").read_text(encoding="utf-8")
        parameters = {**self.machine(), "UserData": user_data, "MinCount": 1, "MaxCount": 1, "ClientToken": self.name}
        parameters |= {"SubnetId": self.subnet, "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"}}
        self.owe("the instance")
        made = self.calls.must("ec2", "RunInstances", **parameters, TagSpecifications=self.tags("instance", "volume"))
        return made["Instances"][0]["InstanceId"]

    @once
    def instance(self):
        """A running one."""
        instance = self.launched

        def running():
            found = clean.instances(self.calls, {"Name": "instance-id", "Values": [instance]})
            return found and found[0]["State"]["Name"] == "running"

        self.calls.pace.wait("the instance runs", running)
        return instance

    @once
    def eni(self):
        eni = self.given.eni
        if not eni:
            parameters = {"SubnetId": self.subnet, "Description": clean.mark(self.run, "made"), "ClientToken": self.name}
            tags = self.tags("network-interface")
            self.owe("the interface")
            made = self.calls.must("ec2", "CreateNetworkInterface", **parameters, TagSpecifications=tags)
            eni = made["NetworkInterface"]["NetworkInterfaceId"]
            self.described = ""
            self.calls.pace.wait("the interface can be seen", lambda: clean.interface(self.calls, eni))
            return eni
        found = clean.interface(self.calls, eni)
        if not found or found["Status"] != "available":
            raise Unavailable("the given interface is not free")
        self.described = found.get("Description", "")
        if len(self.described) > 200:
            raise Unavailable("the given interface's description leaves no room for our mark")
        self.owe("the given interface")
        self.describe(eni, "given")
        return eni

    def describe(self, eni, word):
        description = {"Value": clean.mark(self.run, word, self.described)}
        self.calls.must("ec2", "ModifyNetworkInterfaceAttribute", NetworkInterfaceId=eni, Description=description)

    @once
    def grouped(self):
        """The group's name."""
        if self.given.group:
            return self.given.group
        self.owe("the launch template")
        data = {**self.machine(), "TagSpecifications": self.tags("instance", "volume")}
        template = {"LaunchTemplateName": self.name, "ClientToken": self.name}
        tags = self.tags("launch-template")
        self.calls.must("ec2", "CreateLaunchTemplate", **template, LaunchTemplateData=data, TagSpecifications=tags)
        # Its own instances too.
        self.owe("the instance")
        self.owe("the Auto Scaling group")
        hooks = [
            {"LifecycleHookName": name, "LifecycleTransition": when, "HeartbeatTimeout": 1800, "DefaultResult": "ABANDON"}
            for name, when in HOOKS.items()
        ]
        self.calls.must(
            "autoscaling",
            "CreateAutoScalingGroup",
            unless=("AlreadyExists",),
            AutoScalingGroupName=self.name,
            LaunchTemplate={"LaunchTemplateName": self.name, "Version": "$Latest"},
            **{"MinSize": 0, "MaxSize": 1, "DesiredCapacity": 1, "VPCZoneIdentifier": self.subnet},
            LifecycleHookSpecificationList=hooks,
            Tags=[{"Key": clean.TAG, "Value": self.run, "PropagateAtLaunch": True}],
        )
        return self.name

    @once
    def member(self):
        """The group's instance, waiting at its hook; no other comes after it."""
        group = self.grouped

        def waiting():
            found = self.calls.must("autoscaling", "DescribeAutoScalingGroups", AutoScalingGroupNames=[group])
            members = [one for group in found["AutoScalingGroups"] for one in group["Instances"]]
            return next((one["InstanceId"] for one in members if one["LifecycleState"] == "Pending:Wait"), None)

        member = self.calls.pace.wait("the group's instance waits at its hook", waiting)
        if not self.given.group:
            processes = ["Launch"]
            self.calls.must("autoscaling", "SuspendProcesses", AutoScalingGroupName=group, ScalingProcesses=processes)
        return member

    @once
    def role_arn(self):
        if self.given.role:
            return self.given.role
        me = self.calls.must("sts", "GetCallerIdentity")
        partition = me["Arn"].split(":")[1]
        principal = {"AWS": f"arn:{partition}:iam::{me['Account']}:root"}
        trust = _policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal})
        # As in the shipped policy: only what bears a tag. Nothing bears this one.
        condition = {"StringEquals": {f"aws:ResourceTag/{clean.TAG}": f"{self.run}-none"}}
        actions = ["ec2:AttachNetworkInterface", "ec2:DetachNetworkInterface"]
        # And looking, which says when the policy is in force.
        look = {"Effect": "Allow", "Action": "ec2:DescribeNetworkInterfaces", "Resource": "*"}
        allowed = _policy(look, {"Effect": "Allow", "Action": actions, "Resource": "*", "Condition": condition})
        self.owe("the role")
        exists = ("EntityAlreadyExists",)
        parameters = {"RoleName": self.name, "AssumeRolePolicyDocument": trust, "Tags": clean.tags_of(self.run)}
        made = self.calls.must("iam", "CreateRole", **parameters, unless=exists)
        made = made or self.calls.must("iam", "GetRole", RoleName=self.name)
        self.calls.must("iam", "PutRolePolicy", RoleName=self.name, PolicyName=self.name, PolicyDocument=allowed)
        return made["Role"]["Arn"]

    @once
    def role(self) -> Calls:
        """Calls as somebody who may do next to nothing."""
        arn = self.role_arn

        def assumed():
            # A new role is not known everywhere at once.
            parameters = {"RoleArn": arn, "RoleSessionName": self.name, "DurationSeconds": 900}
            return self.calls.must("sts", "AssumeRole", unless=("AccessDenied",), **parameters)

        pace = self.calls.pace
        role = self.calls.role(pace.wait("the role can be assumed", assumed, pace.patience / 5)["Credentials"])
        mine = [{"Name": "network-interface-id", "Values": [self.eni]}]
        look = lambda: role.ask("ec2", "DescribeNetworkInterfaces", Filters=mine).ok
        pace.wait("the role may look", look, pace.patience / 5)
        return role

    @once
    def place(self):
        """Bucket and prefix."""
        bucket = self.given.bucket
        if bucket:
            if "Status" in self.calls.must("s3", "GetBucketVersioning", Bucket=bucket):
                raise Unavailable("the given bucket keeps versions: what is deleted there stays")
            prefix = clean.prefix_of(self.run)
            self.ledger.owe("the objects", lambda: clean.empty(self.cleaning, bucket, prefix))
            return bucket, prefix
        self.owe("the bucket")
        where = {"LocationConstraint": self.calls.region}
        # The oldest region has no name there.
        where = {} if self.calls.region == "us-east-1" else {"CreateBucketConfiguration": where}
        self.calls.must("s3", "CreateBucket", unless=("BucketAlreadyOwnedByYou",), Bucket=self.name, **where)
        return self.name, ""


def _policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
