"""The table names what the world assumes: all of it, nothing else, in the same words."""

import os
import re
import subprocess

import pytest

from . import probes_autoscaling, probes_ec2, probes_s3
from .assumed import TABLE


def told(text):
    """{name: what} of the assumed lines of `world --assumptions`."""
    lines = re.findall(r"^(\w+) +(\S+) +(.*?)  \[.*\]$", text, re.MULTILINE)
    assert len(lines) == len(text.splitlines()), "a line was not understood"
    return {name: what for known, name, what in lines if known == "assumed"}


def differences(world, table):
    ours = {row.name: row.what for row in table}
    yield from (f"{name} is neither asked for nor excused" for name in world.keys() - ours.keys())
    yield from (f"{name} is not assumed any more" for name in ours.keys() - world.keys())
    yield from (f"{name} reads otherwise now" for name in ours.keys() & world.keys() if ours[name] != world[name])


@pytest.fixture(scope="module")
def world():
    run = subprocess.run([os.environ["WORLD"], "--assumptions"], capture_output=True, text=True, timeout=30, check=True)
    return told(run.stdout)


def test_every_assumption_is_asked_for_or_excused(world):
    assert list(differences(world, TABLE)) == []


def test_differences_are_found(world):
    more = told("documented  a.b  known  [a guide]\nassumed     new.line      it does  so  [somebody said]")
    assert more == {"new.line": "it does  so"}
    assert list(differences(world | more, TABLE)) == ["new.line is neither asked for nor excused"]
    first, *rest = TABLE
    assert list(differences(world, rest)) == [f"{first.name} is neither asked for nor excused"]
    assert list(differences({k: v for k, v in world.items() if k != first.name}, TABLE)) == [
        f"{first.name} is not assumed any more"
    ]
    assert list(differences(world | {first.name: "else"}, TABLE)) == [f"{first.name} reads otherwise now"]


def test_every_probe_stands_in_the_table_once_and_every_excuse_has_words():
    modules = (probes_autoscaling, probes_ec2, probes_s3)
    probes = {value for module in modules for name, value in vars(module).items() if name.startswith("probe_")}
    asked = [row.by for row in TABLE if row.asked]
    assert set(asked) == probes and len(asked) == len(probes)
    assert all(len(row.by) > 20 for row in TABLE if not row.asked)
    assert len({row.name for row in TABLE}) == len(TABLE)
