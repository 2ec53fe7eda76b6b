"""No call without a real client: neither one that the policy allows, nor one that the judge has seen.

WORLD_LEDGERS names the ledgers of earlier runs (`:` between them): one JSON event per line, as the world
writes them.
"""

import json
import os
import pathlib

import pytest
from calls import CALLS
from conftest import ROOT

# Served by other doubles, with tests of their own; KMS is never called by name.
ELSEWHERE = {"s3", "kms", "imds", "registry"}


def uncovered(calls):
    covered = {f"{service}:{operation}" for service, operation, _, _ in CALLS}
    return sorted({call for call in calls if call.split(":")[0] not in ELSEWHERE} - covered)


def allowed():
    policy = json.loads((ROOT / "packaging/iam-instance.json").read_text())
    for statement in policy["Statement"]:
        actions = statement["Action"]
        yield from [actions] if isinstance(actions, str) else actions


def seen(lines):
    events = (json.loads(line) for line in lines if line.strip())
    return [f"{event['service']}:{event['operation']}" for event in events if event["event"] == "call"]


def test_every_allowed_action_has_a_client():
    assert len(list(allowed())) > 10
    assert uncovered(allowed()) == []


def test_a_call_without_a_client_is_found_in_a_ledger():
    lines = [
        '{"at":"2026-11-21T07:00:00Z","event":"mark","what":"start"}',
        '{"at":"2026-11-21T07:00:00Z","event":"call","service":"ec2","operation":"DescribeInstances"}',
        '{"at":"2026-11-21T07:00:00Z","event":"call","service":"ec2","operation":"TerminateInstances"}',
        '{"at":"2026-11-21T07:00:00Z","event":"call","service":"s3","operation":"GetObject"}',
    ]
    assert uncovered(seen(lines)) == ["ec2:TerminateInstances"]


@pytest.mark.skipif("WORLD_LEDGERS" not in os.environ, reason="no ledger of an earlier run is named")
def test_every_call_that_the_judge_saw_has_a_client():
    for name in os.environ["WORLD_LEDGERS"].split(":"):
        calls = seen(pathlib.Path(name).read_text().splitlines())
        assert calls, f"{name} holds no call"
        assert uncovered(calls) == [], name
