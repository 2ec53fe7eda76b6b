"""What is owed is undone: last to first, some times, in time, whatever else happens."""

import itertools
import time

import pytest

from .ledger import Ledger, NotYet
from .pace import Late, Pace, Stopped


def ledger(seconds=5.0, **words):
    return Ledger(lambda: Pace(seconds, patience=0.3), **words)


def failing(times, error, done):
    numbers = itertools.count()

    def undo():
        if next(numbers) < times:
            raise error
        done.append("undone")

    return undo


def test_last_to_first_and_whatever_happened():
    done, owed = [], ledger()
    with pytest.raises(KeyError), owed:
        for name in "abc":
            owed.owe(name, lambda name=name: done.append(name))
        raise KeyError
    assert (done, owed.left, owed.owed) == (["c", "b", "a"], [], {"a", "b", "c"})


@pytest.mark.parametrize("error", [NotYet("there"), Late("slow"), ConnectionError("lost")])
def test_what_fails_at_first_is_tried_again(error):
    done = []
    with ledger() as owed:
        owed.owe("it", failing(3, error, done))
    assert (done, owed.left) == (["undone"], [])


@pytest.mark.parametrize(("error", "tries"), [(NotYet("there still"), 20), (PermissionError("denied"), 10)])
def test_what_stays_is_told_and_the_others_go(error, tries):
    done, tried = [], []
    with ledger(tries=20) as owed:
        owed.owe("first", lambda: done.append("first"))

        def undo():
            tried.append(1)
            raise error

        owed.owe("second", undo)
    assert done == ["first"] and len(tried) == tries
    (left,) = owed.left
    assert left.startswith("second: ") and str(error) in left


def test_the_end_has_an_end():
    began = time.monotonic()
    with ledger(seconds=0.2, tries=1000000) as owed:
        owed.owe("first", failing(1000000, NotYet("there"), []))
        owed.owe("second", failing(1000000, NotYet("there"), []))
    assert time.monotonic() - began < 2
    assert len(owed.left) == 2


def test_waits_end_by_time_by_deadline_and_by_a_wish():
    with pytest.raises(Late, match="rain: not within"):
        Pace(5, patience=0.1).wait("rain", lambda: None)
    with pytest.raises(Stopped, match="deadline"):
        Pace(0.1, patience=5).wait("rain", lambda: None)
    stopped = Pace(5, patience=5)
    with pytest.raises(Stopped, match="stopped"):
        stopped.wait("rain", stopped.stop.set)
    assert Pace(5, patience=1).wait("rain", lambda: "rain") == "rain"
