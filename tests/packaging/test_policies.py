"""The policies that are no copy of another: what they allow, and what they must never allow."""

import fnmatch
import json

import pytest
from template import PACKAGING, shipped_policy

ACTIONS_THAT_ONLY_LOOK = ("Describe", "Get", "List")
# Reading them is having them, or their key.
NEVER_READ = {"secretsmanager:GetSecretValue", "ssm:GetParameter", "ec2:GetPasswordData"}


def many(value):
    return value if isinstance(value, list) else [value]


def decide(policy, action, resource, prefix=None):
    """Deny before allow; of the conditions only that on the prefix of a listing matters here."""
    effects = set()
    for statement in policy["Statement"]:
        wanted = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix")
        if wanted and not any(fnmatch.fnmatchcase(prefix or "", pattern) for pattern in wanted):
            continue
        if not any(fnmatch.fnmatchcase(action, pattern) for pattern in many(statement["Action"])):
            continue
        if any(fnmatch.fnmatchcase(resource, pattern) for pattern in many(statement["Resource"])):
            effects.add(statement["Effect"])
    return "Allow" in effects and "Deny" not in effects


BUCKET = "arn:aws:s3:::acme-weaviate"


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("s3:PutObject", f"{BUCKET}/prod/full-1/weaviate-0/Article/chunk-1", True),
        ("s3:PutObject", f"{BUCKET}/prod/manifests/full-1.json", True),
        ("s3:DeleteObject", f"{BUCKET}/prod/full-1/backup_config.json", True),
        ("s3:AbortMultipartUpload", f"{BUCKET}/prod/full-1/x", True),
        ("s3:GetObject", f"{BUCKET}/prod/latest_weaviate_backup.manifest.json", True),
        ("s3:PutObject", f"{BUCKET}/prod/latest_weaviate_backup.manifest.json", False),
        ("s3:PutObject", f"{BUCKET}/prod/latest_weaviate_backup.manifest.json.1.tmp", False),
        ("s3:DeleteObject", f"{BUCKET}/prod/latest_weaviate_backup.manifest.json", False),
        ("s3:PutObject", f"{BUCKET}/prod/reports/x.json", False),
        ("s3:PutObject", f"{BUCKET}/prod-2/full-1/x", False),
        ("s3:PutObject", "arn:aws:s3:::another/prod/full-1/x", False),
        ("s3:DeleteObjectVersion", f"{BUCKET}/prod/full-1/x", False),
        ("s3:PutBucketPolicy", BUCKET, False),
        ("ec2:AttachNetworkInterface", "arn:aws:ec2:eu-central-1:123456789012:network-interface/eni-1", False),
        ("sts:AssumeRole", "arn:aws:iam::123456789012:role/x", False),
    ],
)
def test_the_backup_role_writes_backups_and_nothing_else(action, resource, allowed):
    assert decide(shipped_policy("iam-backup.json"), action, resource) is allowed


def test_the_instance_writes_what_the_backup_role_may_not():
    """Between them they write everything, and nothing twice."""
    node, backup = shipped_policy("iam-instance.json"), shipped_policy("iam-backup.json")
    for key in (
        "latest_weaviate_backup.manifest.json",
        "latest_weaviate_backup.manifest.json.1.tmp",
        "reports/x",
        "full-1/x",
        "manifests/x",
    ):
        resource = f"{BUCKET}/prod/{key}"
        assert decide(node, "s3:PutObject", resource) != decide(backup, "s3:PutObject", resource), key


def actions(policy):
    return {
        action
        for statement in policy["Statement"]
        for action in many(statement["Action"])
        if statement["Effect"] == "Allow"
    }


def only_looks(policy):
    found = actions(policy) - {"kms:Decrypt"}
    writes = {
        action for action in found if not action.split(":")[1].startswith(ACTIONS_THAT_ONLY_LOOK) or "*" in action
    }
    return sorted(writes | found & NEVER_READ)


def test_the_reader_only_looks():
    assert only_looks(shipped_policy("iam-read-only.json")) == []


@pytest.mark.parametrize(
    "action", ["s3:PutObject", "secretsmanager:GetSecretValue", "ec2:Describe*", "ec2:TerminateInstances"]
)
def test_a_reader_who_did_more_would_be_caught(action):
    policy = shipped_policy("iam-read-only.json")
    policy["Statement"].append({"Effect": "Allow", "Action": action, "Resource": "*"})
    assert only_looks(policy) == [action]


def test_the_reader_sees_what_the_agent_looks_up():
    """`plan` from outside: each look of the instance's policy is in the reader's, the values of keys apart."""
    looks = {
        action
        for action in actions(shipped_policy("iam-instance.json"))
        if action.split(":")[1].startswith(ACTIONS_THAT_ONLY_LOOK)
    }
    assert looks - actions(shipped_policy("iam-read-only.json")) == {
        "secretsmanager:GetSecretValue",
        "ssm:GetParameter",
    }


@pytest.mark.parametrize("path", sorted(PACKAGING.glob("iam-*.json")), ids=lambda path: path.name)
def test_no_policy_is_about_everything(path):
    policy = json.loads(path.read_text())
    assert len({statement["Sid"] for statement in policy["Statement"]}) == len(policy["Statement"])
    for statement in policy["Statement"]:
        assert not {"NotAction", "NotResource", "Principal"} & set(statement)
        # Looks have no resources (Service Authorization Reference); all else has.
        looks = all(action.split(":")[1].startswith("Describe") for action in many(statement["Action"]))
        assert "*" not in many(statement["Resource"]) or looks and "aws:RequestedRegion" in str(statement["Condition"])
