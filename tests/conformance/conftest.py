"""The whole script, as a user runs it, against doubles: the embedded cloud, and moto where that one makes nothing.

WORLD_CLOUD and WORLD name binaries: the example `cloud`, and `world`; `scripts/lib/conformance` builds them. AWS
itself is never asked: endpoints are named, and the credentials are nobody's.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

import boto3
import botocore.config
import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
REGION = "eu-central-1"
ENI, OWNER, MEMBER = "eni-0aaaaaaaaaaaaaa15", "i-0aaaaaaaaaaaaaa02", "i-0aaaaaaaaaaaaaa03"
GROUP, BUCKET, SUBNET = "conformance", "acme-weaviate", "subnet-0aaaaaaaaaaaaaa02"
ROLE = "arn:aws:iam::123456789012:role/conformance"
KEYS = {"aws_access_key_id": "AKIAWORLDOPERATOR000", "aws_secret_access_key": "world-operator-secret"}

POLICY = """{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*",
  "Action": "ec2:DescribeNetworkInterfaces"},
  {"Effect": "Allow", "Resource": "*", "Action": ["ec2:AttachNetworkInterface", "ec2:DetachNetworkInterface"],
  "Condition": {"StringEquals": {"aws:ResourceTag/weaviate:conformance": "none"}}}]}"""
CASE = f"""
[cloud]
instances = [{{}}, {{ id = "{MEMBER}", address = "10.0.1.13" }}]
delays = {{ shutting_down = 0.3, lifecycle = 0.1 }}
[[cloud.groups]]
name = "{GROUP}"
hooks = [{{ name = "launch" }}, {{ name = "end", transition = "terminating" }}]
members = [{{ instance = "{MEMBER}" }}]
[cloud.roles.conformance]
policy = '''{POLICY}'''
"""
# What a cloud does now and then, so that it is seen: slow answers, stale reads, throttled metadata.
MOODS = """
[[fault]]
call = "ec2:ModifyNetworkInterfaceAttribute"
with = { "Description.Value" = "hung up" }
effect = { kind = "latency", ms = 300 }
[[fault]]
call = "ec2:DescribeNetworkInterfaces"
with = { "NetworkInterfaceId.1" = "eni-" }
from = 3
times = 2
effect = { kind = "stale" }
[[fault]]
call = "imds:GetMetadata"
from = 100
times = 30
effect = { kind = "throttled" }
"""


def environment():
    """Nothing of the caller's own configuration."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "PYTHONPATH": str(TESTS),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": KEYS["aws_secret_access_key"],
    }


class Script:
    """`scripts/aws-conformance` at one cloud. The wrapper only makes the environment that this process has."""

    def __init__(self, out, words):
        self.out, self.words = out, words

    def command(self, *words):
        return [sys.executable, "-m", "conformance", "--region", REGION, *self.words, *words]

    def run(self, *words):
        """Exit status, what it said, and its record."""
        self.out.unlink(missing_ok=True)
        command = self.command("--out", str(self.out), *words)
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
        record = json.loads(self.out.read_text()) if self.out.exists() else {"records": []}
        return done.returncode, done.stdout + done.stderr, record

    def clean(self, run, *words):
        return self.run("--clean", run, *words)

    def record(self):
        return json.loads(self.out.read_text())

    def begun(self, command):
        return subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    def interrupted(self, number, at, *words, when=lambda: True):
        """Its run, sent a signal after it says `at` and `when` is true. Exit status, what it said, the run's id."""
        process = self.begun(self.command("--out", str(self.out), *words))
        said, sent = "", False
        for line in process.stderr:
            said += line
            if at in line and not sent:
                sent = True
                deadline = time.monotonic() + 20
                while not when() and time.monotonic() < deadline:
                    time.sleep(0.05)
                process.send_signal(number)
        assert sent, f"it never said {at!r}: {said}"
        return process.wait(60), said, re.search(r"^run (\w+)$", said, re.MULTILINE).group(1)


class Cloud:
    def __init__(self, addresses, tmp_path):
        self.aws, self.imds, self.s3 = (addresses[name] for name in ("aws", "imds", "s3"))
        given = ["--eni", ENI, "--instance", OWNER, "--group", GROUP, "--role", ROLE, "--imds", self.imds]
        where = ["--subnet", SUBNET, "--endpoint", self.aws, "--endpoint-s3", self.s3]
        self.script = Script(tmp_path / "record.json", [*where, *given, "--patience", "6"])

    def client(self, service):
        return client(service, self.s3 if service == "s3" else self.aws)

    def attachment(self):
        (found,) = self.client("ec2").describe_network_interfaces(NetworkInterfaceIds=[ENI])["NetworkInterfaces"]
        return found.get("Attachment")

    def state(self):
        """All that a run could change and leave, as its administrator sees it. The member's end is asked for."""
        ec2, s3 = self.client("ec2"), self.client("s3")
        enis = ec2.describe_network_interfaces()["NetworkInterfaces"]
        owners = [found for group in ec2.describe_instances()["Reservations"] for found in group["Instances"]]
        buckets = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
        return {
            "interfaces": {
                eni["NetworkInterfaceId"]: (eni["Status"], eni["Description"], eni.get("TagSet"))
                for eni in enis
                if eni.get("Attachment", {}).get("InstanceId") != MEMBER
            },
            "instances": {one["InstanceId"]: one["State"]["Name"] for one in owners if one["InstanceId"] != MEMBER},
            "objects": {bucket: s3.list_objects_v2(Bucket=bucket).get("Contents") for bucket in buckets},
        }


def client(service, url):
    once = botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client(service, region_name=REGION, endpoint_url=url, config=once, **KEYS)


def verdicts(record):
    return {one["name"]: one["verdict"] for one in record["records"]}


@pytest.fixture
def start(tmp_path):
    """Starts clouds from the TOML of a case; all end with the test."""
    running = []

    def start(case):
        path = tmp_path / f"case-{len(running)}.toml"
        path.write_text(case)
        process = subprocess.Popen([os.environ["WORLD_CLOUD"], "--case", str(path)], stdout=subprocess.PIPE, text=True)
        running.append(process)
        return Cloud(dict(process.stdout.readline().split() for _ in range(3)), tmp_path)

    yield start
    for process in running:
        process.terminate()
        process.wait(10)
