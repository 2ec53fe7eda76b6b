"""No call without a real client: neither one that the policy allows, nor one that the judge has seen.

WORLD_LEDGERS names ledgers of cases, or directories of them (`:` between them): one JSON event per line, as the
world writes them. `scripts/test` plays the cases first.
"""

import json
import os
import pathlib

import pytest
from calls import BY_THE_BACKUP_ROLE, CALLS
from conftest import ROOT

# boto3 itself asks the metadata service: `test_boto3_takes_its_credentials_from_the_metadata`.
METADATA = {"imds:PutToken", "imds:GetMetadata"}
# KMS is never called by name. The registry's real client is the Docker Engine, which pulls from it in the cases.
ELSEWHERE = {"kms", "registry"}
# Permissions that are not called like their operations.
OPERATIONS = {"s3:ListBucket": "s3:ListObjectsV2"}


def uncovered(calls):
    covered = {f"{service}:{operation}" for service, operation, _, _ in CALLS} | METADATA | BY_THE_BACKUP_ROLE
    return sorted({call for call in calls if call.split(":")[0] not in ELSEWHERE} - covered)


def allowed():
    policy = json.loads((ROOT / "packaging/iam-instance.json").read_text())
    for statement in policy["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            yield OPERATIONS.get(action, action)


def seen(lines):
    events = (json.loads(line) for line in lines if line.strip())
    return [f"{event['service']}:{event['operation']}" for event in events if event["event"] == "call"]


def ledgers(names):
    for name in names.split(":"):
        path = pathlib.Path(name)
        yield from sorted(path.glob("*.ledger")) if path.is_dir() else [path]


def test_every_allowed_action_has_a_client():
    assert len(list(allowed())) > 10
    assert uncovered(allowed()) == []


def test_a_call_without_a_client_is_found_in_a_ledger():
    lines = [
        '{"at":"2026-11-21T07:00:00Z","event":"mark","what":"start"}',
        '{"at":"2026-11-21T07:00:00Z","event":"call","service":"ec2","operation":"DescribeInstances"}',
        '{"at":"2026-11-21T07:00:00Z","event":"call","service":"ec2","operation":"TerminateInstances"}',
        '{"at":"2026-11-21T07:00:00Z","event":"call","service":"s3","operation":"GetObject"}',
        '{"at":"2026-11-21T07:00:00Z","event":"call","service":"s3","operation":"CopyObject"}',
    ]
    assert uncovered(seen(lines)) == ["ec2:TerminateInstances", "s3:CopyObject"]


@pytest.mark.skipif("WORLD_LEDGERS" not in os.environ, reason="no ledger of an earlier run is named")
def test_every_call_that_the_judge_saw_has_a_client():
    found = list(ledgers(os.environ["WORLD_LEDGERS"]))
    assert found, "no ledger there"
    calls = {ledger.name: seen(ledger.read_text().splitlines()) for ledger in found}
    assert any("ec2:DescribeNetworkInterfaces" in made for made in calls.values()), "the ledgers hold no boot"
    missing = {name: uncovered(made) for name, made in calls.items() if uncovered(made)}
    assert missing == {}
