"""No call without a real client: neither one that the policy allows, nor one that the judge has seen.

WORLD_CALLS names a file of `service:Operation` lines that the judge wrote in earlier runs.
"""

import json
import os
import pathlib

from calls import CALLS
from conftest import ROOT

# Served by other doubles, with tests of their own; KMS is never called by name.
ELSEWHERE = {"s3", "kms", "imds", "registry"}


def covered():
    return {f"{service}:{operation}" for service, operation, _, _ in CALLS}


def allowed():
    policy = json.loads((ROOT / "packaging/iam-instance.json").read_text())
    for statement in policy["Statement"]:
        actions = statement["Action"]
        yield from [actions] if isinstance(actions, str) else actions


def test_every_allowed_action_has_a_client():
    wanted = {action for action in allowed() if action.split(":")[0] not in ELSEWHERE}
    assert wanted and wanted <= covered(), sorted(wanted - covered())


def test_every_call_that_the_judge_saw_has_a_client():
    named = os.environ.get("WORLD_CALLS")
    seen = pathlib.Path(named).read_text().split() if named else []
    wanted = {call for call in seen if call.split(":")[0] not in ELSEWHERE}
    assert wanted <= covered(), sorted(wanted - covered())
