"""Stopped and killed at any point: what was begun is removed, by the run itself or by `--clean`.

Against the embedded cloud, where interface, instance, group and role are given; `test_creation.py` does the same
where they are made.
"""

import signal
import time

import pytest

from .conftest import CASE, MOODS, verdicts

# What the script says when it comes there.
POINTS = ["run ", "s3.list.token", "iam.order", "ec2.stale-read"]


@pytest.mark.parametrize("point", POINTS)
def test_a_stopped_run_cleans_up_itself(start, point):
    cloud = start(CASE + MOODS)
    before = cloud.state()
    status, said, _ = cloud.script.interrupted(signal.SIGTERM, point, "--yes")
    assert (status, cloud.state()) == (128 + signal.SIGTERM, before), said
    assert "LEFT" not in said
    # The record says of the rest that it was not asked.
    record = cloud.script.record()
    assert verdicts(record)["autoscaling.abandon-at-launch"] == "not asked: the run ended before"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_other_ways_to_say_stop(start, number):
    cloud = start(CASE)
    before = cloud.state()
    status, said, _ = cloud.script.interrupted(number, "s3.etag.kms", "--yes")
    assert (status, cloud.state()) == (128 + number, before), said


def test_a_second_signal_does_not_shorten_the_cleaning(start):
    cloud = start(CASE)
    before = cloud.state()
    command = cloud.script.command("--out", str(cloud.script.out), "--yes")
    process = cloud.script.begun(command)
    for line in process.stderr:
        if "ec2.stale-read" in line or "removing" in line:
            process.send_signal(signal.SIGTERM)
    assert (process.wait(60), cloud.state()) == (128 + signal.SIGTERM, before)


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_is_cleaned_up_by_its_name(start, point):
    cloud = start(CASE + MOODS)
    before = cloud.state()
    begun = lambda: cloud.state() != before
    status, said, run = cloud.script.interrupted(signal.SIGKILL, point, "--yes", when=begun)
    assert status == -signal.SIGKILL
    assert not cloud.script.out.exists()
    # It did leave something, or the test would show nothing.
    assert cloud.state() != before, said
    # Somebody else's run is none of ours.
    assert cloud.script.clean("ffffffff")[0] == 0
    assert cloud.state() != before
    status, said, _ = cloud.script.clean(run)
    assert (status, cloud.state()) == (0, before), said
    assert f"nothing is left of run {run}" in said
    assert cloud.script.clean(run)[0] == 0


def test_an_attached_interface_is_given_back(start):
    """Killed between attach and detach: the worst point for a given interface."""
    cloud = start(CASE.replace("delays = { ", "delays = { attach = 5.0, "))
    before = cloud.state()
    status, said, run = cloud.script.interrupted(signal.SIGKILL, "ec2.stale-read", "--yes", when=cloud.attachment)
    assert cloud.attachment()["Status"] == "attaching"
    # Another run's name moves nothing.
    assert cloud.script.clean("ffffffff")[0] == 0
    assert cloud.attachment()["Status"] in ("attaching", "attached")
    status, said, _ = cloud.script.clean(run)
    assert (status, cloud.state()) == (0, before), said


def test_a_signal_does_not_cut_a_call_off(start):
    """A signal while a service thinks: its answer is waited for, then nothing more is asked."""
    slow = '\n[[fault]]\ncall = "s3:CreateBucket"\neffect = { kind = "latency", ms = 3000 }\n'
    cloud = start(CASE + slow)
    before = cloud.state()
    # The bucket comes next after the interface's mark.
    asked = lambda: cloud.state() != before and not time.sleep(1)
    status, said, _ = cloud.script.interrupted(signal.SIGTERM, "run ", "--yes", when=asked)
    assert (status, cloud.state()) == (128 + signal.SIGTERM, before), said
    assert "removing the bucket" in said


def test_it_cleans_up_although_nobody_listens(start):
    """The terminal is gone: what says so is a signal, and then every word is an error."""
    cloud = start(CASE)
    before = cloud.state()
    process = cloud.script.begun(cloud.script.command("--out", str(cloud.script.out), "--yes"))
    for line in process.stderr:
        if "s3.etag.kms" in line:
            break
    assert cloud.state() != before
    process.stderr.close()
    process.send_signal(signal.SIGHUP)
    assert (process.wait(60), cloud.state()) == (128 + signal.SIGHUP, before)
