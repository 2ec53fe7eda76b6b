"""What must be undone: last to first, each some times, all within one time; what could not be is told."""

from .pace import Late, Stopped
from .say import say


class NotYet(Exception):
    """It was asked to go and still is there."""


class Ledger:
    """A context: leaving it settles. `pace()` begins the end's own time, which no signal shortens."""

    def __init__(self, pace, tries=60):
        self.pace, self.tries, self.debts, self.left = pace, tries, [], []
        # All that ever was owed.
        self.owed = set()

    def owe(self, what, undo):
        """Before it is made: an answer may get lost. So `undo` must bear that there is nothing to undo."""
        self.debts.append((what, undo))
        self.owed.add(what)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.settle()

    def settle(self):
        pace = self.pace()
        while self.debts:
            what, undo = self.debts.pop()
            say(f"  removing {what}")
            problem = self.undone(pace, undo)
            if problem:
                self.left.append(f"{what}: {problem}")

    def undone(self, pace, undo):
        problem = None
        for number in range(self.tries):
            try:
                if number:
                    pace.sleep(5 * pace.tick)
                undo()
                return None
            except Stopped as error:
                return problem or str(error)
            except (NotYet, Late) as error:
                problem = str(error)
            except Exception as error:  # whatever it is, the other debts must be settled too
                problem = f"{type(error).__name__}: {error}"
                if number >= 9:
                    break
        return problem
