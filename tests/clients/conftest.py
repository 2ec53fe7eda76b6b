"""Real clients against the embedded cloud: boto3 and the AWS CLI, on loopback.

WORLD_CLOUD names the binary of the example `cloud`; `scripts/test clients` builds it.
"""

import json
import os
import pathlib
import subprocess
import sys
import urllib.request

import boto3
import botocore.config
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NEW = "i-0aaaaaaaaaaaaaa02"
ENI = "eni-0aaaaaaaaaaaaaa15"
GROUP = "weaviate-0"
BUCKET = "acme-weaviate"
HOOK = "weaviate-ready"

CASE = """
[cloud]
secrets = [{ name = "weaviate/admin-key", value = "s3cret" }, { name = "others/key", value = "x" }]
parameters = [{ name = "/weaviate/reader-key", value = "p4ram" }]
[cloud.roles.backup]
tags = { "weaviate:deployment" = "acme-prod" }
policy = '''{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["s3:DeleteObject", "s3:PutObject"], "Resource": "arn:aws:s3:::acme-weaviate/prod/*"}]}'''
"""


@pytest.fixture(scope="session")
def binary():
    return os.environ["WORLD_CLOUD"]


class Cloud:
    """One running cloud, with the credentials that its metadata service vends."""

    def __init__(self, aws, imds, s3):
        self.aws, self.imds, self.s3 = aws, imds, s3
        request = urllib.request.Request(
            f"{imds}/latest/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        )
        self.token = urllib.request.urlopen(request, timeout=5).read().decode()
        role = self.metadata("meta-data/iam/security-credentials/")
        self.credentials = json.loads(self.metadata(f"meta-data/iam/security-credentials/{role}"))

    def metadata(self, path):
        request = urllib.request.Request(f"{self.imds}/latest/{path}", headers={"X-aws-ec2-metadata-token": self.token})
        return urllib.request.urlopen(request, timeout=5).read().decode()

    def client(self, service, operator=False):
        keys = (
            {"aws_access_key_id": "AKIAWORLDOPERATOR000", "aws_secret_access_key": "world-operator-secret"}
            if operator
            else {
                "aws_access_key_id": self.credentials["AccessKeyId"],
                "aws_secret_access_key": self.credentials["SecretAccessKey"],
                "aws_session_token": self.credentials["Token"],
            }
        )
        once = botocore.config.Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10)
        url = self.s3 if service == "s3" else self.aws
        return boto3.client(service, region_name="eu-central-1", endpoint_url=url, config=once, **keys)

    def cli(self, *words):
        """The AWS CLI's answer, or its error text."""
        env = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "AWS_ACCESS_KEY_ID": self.credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": self.credentials["SecretAccessKey"],
            "AWS_SESSION_TOKEN": self.credentials["Token"],
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL": self.aws,
            "AWS_ENDPOINT_URL_S3": self.s3,
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        aws = str(pathlib.Path(sys.executable).with_name("aws"))
        done = subprocess.run([aws, *words, "--output", "json"], env=env, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            return done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}


@pytest.fixture
def start(binary, tmp_path):
    """Starts clouds from the TOML of a case; all end with the test."""
    running = []

    def start(case=CASE):
        path = tmp_path / f"case-{len(running)}.toml"
        path.write_text(case)
        process = subprocess.Popen([binary, "--case", str(path)], stdout=subprocess.PIPE, text=True)
        running.append(process)
        addresses = dict(process.stdout.readline().split() for _ in range(3))
        return Cloud(**addresses)

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


@pytest.fixture
def cloud(start):
    return start()
