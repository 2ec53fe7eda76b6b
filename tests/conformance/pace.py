"""Time: deadlines, waits, and the wish of somebody to stop. Nothing here waits for ever."""

import threading
import time


class Stopped(Exception):
    """A signal, or the end of the time for all."""


class Late(Exception):
    """One thing took longer than it may."""


class Pace:
    def __init__(self, seconds, patience, stop=None):
        self.ends = time.monotonic() + seconds
        # The longest wait for one thing, and how often it is looked at meanwhile.
        self.patience = patience
        self.tick = patience / 300
        self.stop = stop or threading.Event()

    def check(self):
        if self.stop.is_set():
            raise Stopped("the run was stopped")
        if time.monotonic() >= self.ends:
            raise Stopped("the deadline of the run has passed")

    def sleep(self, seconds):
        self.check()
        self.stop.wait(max(0.0, min(seconds, self.ends - time.monotonic())))
        self.check()

    def wait(self, what, until, seconds=None):
        """The first true answer of `until`."""
        seconds = self.patience if seconds is None else seconds
        ends = time.monotonic() + seconds
        while True:
            self.check()
            found = until()
            if found:
                return found
            if time.monotonic() >= ends:
                raise Late(f"{what}: not within {seconds:.0f} s")
            self.sleep(self.tick)
