"""What each probe decides from the answers, without a service."""

import collections
import hashlib

import pytest

from . import probes_autoscaling, probes_ec2, probes_s3
from .calls import Answer
from .probes_s3 import BODY
from .record import AS_ASSUMED, OTHERWISE

ASKED_NOT = "not asked"
MARKS = ["0", "1", "2"]


def answer(code="", text="", **body):
    return Answer(400 if code else 200, code, text, body)


def seen(**counts):
    return collections.Counter({name.replace("_", " "): count for name, count in counts.items()})


def race(*rounds):
    return [collections.Counter(answers) for answers in rounds]


WON, LOST = (200, ""), (412, "PreconditionFailed")
UNKNOWN_GROUP = answer("ValidationError", "Group x not found")
UNKNOWN_HOOK = answer("ValidationError", "Lifecycle hook not found with name: y")
ROWS = [
    (probes_ec2.judge_detach_twice, (True, "IncorrectState"), AS_ASSUMED),
    (probes_ec2.judge_detach_twice, (True, ""), OTHERWISE),
    (probes_ec2.judge_detach_twice, (True, "InvalidAttachmentID.NotFound"), OTHERWISE),
    (probes_ec2.judge_detach_twice, (False, "IncorrectState"), ASKED_NOT),
    (probes_ec2.judge_order, ("UnauthorizedOperation", ["A.NotFound", "B.NotFound"]), AS_ASSUMED),
    (probes_ec2.judge_order, ("UnauthorizedOperation", ["A.NotFound", "UnauthorizedOperation"]), OTHERWISE),
    (probes_ec2.judge_order, ("DryRunOperation", ["A.NotFound", "B.NotFound"]), ASKED_NOT),
    (probes_ec2.judge_hang_up, ([True, True],), AS_ASSUMED),
    (probes_ec2.judge_hang_up, ([True, False],), OTHERWISE),
    (probes_ec2.judge_hang_up, ([],), ASKED_NOT),
    (probes_ec2.judge_stale, (seen(current=9, before_the_last_change=1),), AS_ASSUMED),
    (probes_ec2.judge_stale, (seen(before_the_last_change=1, older=1),), OTHERWISE),
    (probes_ec2.judge_stale, (seen(current=9, absent=1),), OTHERWISE),
    (probes_ec2.judge_stale, (seen(current=9, torn=1),), OTHERWISE),
    (probes_ec2.judge_stale, (seen(current=9),), ASKED_NOT),
    (probes_ec2.judge_imds, ({"200": "9", "503": "1", "denied": "403"},), AS_ASSUMED),
    (probes_ec2.judge_imds, ({"200": "9", "429": "1", "denied": "403"},), OTHERWISE),
    (probes_ec2.judge_imds, ({"200": "9", "503": "1", "000": "1", "denied": "403"},), OTHERWISE),
    (probes_ec2.judge_imds, ({"200": "9", "503": "1", "denied": "404"},), OTHERWISE),
    (probes_ec2.judge_imds, ({"200": "9", "denied": "403"},), ASKED_NOT),
    (probes_autoscaling.judge_unknown, (UNKNOWN_GROUP, UNKNOWN_HOOK), AS_ASSUMED),
    (probes_autoscaling.judge_unknown, (answer("ValidationError", "No such thing"), UNKNOWN_HOOK), OTHERWISE),
    (probes_autoscaling.judge_unknown, (UNKNOWN_GROUP, answer("ResourceNotFound", UNKNOWN_HOOK.text)), OTHERWISE),
    (probes_autoscaling.judge_abandon, (["Terminating", "Terminating:Proceed", "gone"],), AS_ASSUMED),
    (probes_autoscaling.judge_abandon, (["Terminating", "Terminating:Wait"],), OTHERWISE),
    (probes_autoscaling.judge_abandon, (["InService"],), OTHERWISE),
    (probes_s3.judge_race, (race({WON: 1, LOST: 7}, {WON: 1, LOST: 7}),), AS_ASSUMED),
    (probes_s3.judge_race, (race({WON: 1, LOST: 7}, {WON: 2, LOST: 6}),), OTHERWISE),
    (probes_s3.judge_race, (race({WON: 1, LOST: 6, (409, "ConditionalRequestConflict"): 1}),), OTHERWISE),
    (probes_s3.judge_race, (race({LOST: 8}),), OTHERWISE),
    (probes_s3.judge_etag, (f'"{hashlib.md5(BODY, usedforsecurity=False).hexdigest()}"',), AS_ASSUMED),
    (probes_s3.judge_etag, ('"0"',), OTHERWISE),
    (probes_s3.judge_token, (["b"],), AS_ASSUMED),
    (probes_s3.judge_token, (["c"],), OTHERWISE),
    (probes_s3.judge_token, ([],), OTHERWISE),
    (probes_s3.judge_bucket_order, ("AccessDenied", "NoSuchBucket"), AS_ASSUMED),
    (probes_s3.judge_bucket_order, ("AccessDenied", "AccessDenied"), OTHERWISE),
    (probes_s3.judge_bucket_order, ("NoSuchKey", "NoSuchBucket"), ASKED_NOT),
    (probes_s3.judge_versions, (None, answer()), AS_ASSUMED),
    (probes_s3.judge_versions, (None, answer(VersionId="x")), OTHERWISE),
    (probes_s3.judge_versions, ("Enabled", answer()), OTHERWISE),
    (probes_s3.judge_versions, (None, answer("AccessDenied")), ASKED_NOT),
    (probes_s3.judge_checksums, ([None, None],), AS_ASSUMED),
    (probes_s3.judge_checksums, ([None, "x"],), OTHERWISE),
]


@pytest.mark.parametrize(("judge", "facts", "expected"), ROWS)
def test_a_verdict_follows_from_the_answers(judge, facts, expected):
    assert judge(*facts).startswith(expected)


def test_every_judge_can_say_both():
    modules = (probes_autoscaling, probes_ec2, probes_s3)
    judges = {value for module in modules for name, value in vars(module).items() if name.startswith("judge_")}
    for expected in (AS_ASSUMED, OTHERWISE):
        assert judges == {judge for judge, _, says in ROWS if says == expected}


@pytest.mark.parametrize(
    ("description", "expected"),
    [("2", "current"), ("1", "before the last change"), ("0", "older"), ("x", "torn"), (None, "absent")],
)
def test_a_read_is_one_of_five(description, expected):
    assert probes_ec2.classify(description, MARKS, 2) == expected


def test_a_console_is_read_past_what_others_write_into_it():
    ours = "weaviate-conformance-imds 200=9 503=1 denied=403 end"
    for text in (ours, f"[ 12.3] audit: x\n{ours}\nlogin:", f"{ours[:30]}[ 12.3] audit\n{ours}\n", f"cloud-init: {ours}"):
        assert probes_ec2.line_of(text) == {"200": "9", "503": "1", "denied": "403"}
    for text in (None, "", "login:", ours[:-4]):
        assert probes_ec2.line_of(text) == {}
