"""The command line; see `scripts/aws-conformance --help`."""

import argparse
import datetime
import re
import secrets
import signal
import subprocess
import sys
import threading

import botocore
from botocore.exceptions import BotoCoreError

from . import clean
from .assumed import TABLE
from .calls import Calls, Elsewhere, Refused, Unanswered
from .ledger import Ledger
from .made import Made, Unavailable
from .pace import Late, Pace, Stopped
from .plan import cleaning_command, plan
from .record import Asking, Scrub, not_asked, write
from .say import say

DONE, LEFT, USAGE, AGAIN = 0, 1, 64, 75
CLEANING = 600.0


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{message}\n")


def arguments(words):
    parser = Parser(
        prog="scripts/aws-conformance",
        description="Asks AWS for what the embedded cloud of the tests only assumes, and records the answers.",
        epilog="Exit: 0 all was asked; 1 something is left, which is named; 64 usage; 75 something could not be asked; "
        "128 and more: stopped by a signal.",
    )
    add = parser.add_argument
    add("--region")
    add("--subnet", help="where the instances and the interface go; it needs no way to the Internet")
    add("--yes", action="store_true", help="do it: without this only the plan is printed")
    add("--out", default="aws-conformance.json", metavar="FILE", help="the record [%(default)s]")
    add("--deadline", type=float, default=1800.0, metavar="SECONDS", help="of the whole run [%(default).0f]")
    add("--patience", type=float, default=300.0, metavar="SECONDS", help="the longest wait for one thing [%(default).0f]")
    add("--clean", metavar="RUN", help="remove what a killed run has left, and do nothing else")
    given = parser.add_argument_group("given instead of made")
    for what, told in {
        "eni": "a free interface; it is attached, and described as before at the end",
        "instance": "a running instance in the interface's zone, with device index 1 free",
        "group": "an Auto Scaling group with hooks at both ends and an instance in Pending:Wait, which ends",
        "role": "the ARN of a role that may look at interfaces, move only those with a tag that the one used has not, and do nothing in S3",
        "bucket": "a bucket without versions; a prefix of it is used",
        "image": "an arm64 image, instead of the newest Amazon Linux 2023",
    }.items():
        given.add_argument(f"--{what}", help=told)
    other = parser.add_argument_group("another cloud than AWS, for tests: nothing goes anywhere else then")
    other.add_argument("--endpoint", metavar="URL")
    other.add_argument("--endpoint-s3", metavar="URL")
    other.add_argument("--imds", metavar="URL", help="a metadata service that can be asked from here")
    return parser, parser.parse_args(words)


def complaint(args):
    """What is wrong with the command line."""
    if not args.region or not (args.clean or args.subnet):
        return "--region is needed" + ("" if args.clean else ", and --subnet")
    if args.clean and not re.fullmatch(r"[0-9a-f]{8}", args.clean):
        return "--clean takes the eight digits of a run"
    if (args.imds or args.endpoint_s3) and not args.endpoint:
        return "--imds and --endpoint-s3 go with --endpoint"
    if args.deadline <= 0 or args.patience <= 0:
        return "times are longer than nothing"
    return None


def main(words=None):
    parser, args = arguments(words)
    problem = complaint(args)
    if problem:
        parser.error(problem)
    endpoints = {"": args.endpoint, "s3": args.endpoint_s3 or args.endpoint} if args.endpoint else {}
    run = args.clean or secrets.token_hex(4)
    if not args.clean:
        print("\n".join(plan(run, args.region, args.subnet, endpoints, args, args.deadline, CLEANING)))
        if not args.yes:
            return say("Nothing was done: add --yes.", USAGE)
    stop, signals = threading.Event(), []

    def stopped(number, _):
        # Calls are short and are not cut off: what is being made would not be known then.
        signals.append(number)
        stop.set()
        say("stopping; what was made is removed first")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stopped)
    try:
        calls = Calls(args.region, endpoints, Pace(args.deadline, args.patience, stop))
    except Elsewhere as error:
        return say(str(error), USAGE)
    # Its time begins when it is used, and no signal shortens it.
    cleaning = calls.paced(None)
    if args.clean:
        left = swept(cleaning, args, run, clean.KINDS)
        return say("\n".join(left) or f"nothing is left of run {run}", LEFT if left else DONE)
    records, left = asked(args, calls, cleaning, run)
    for sentence in left:
        say(f"LEFT: {sentence}")
    if left:
        return say(f"try again: {cleaning_command(run, args.region, args.bucket)}", LEFT)
    if signals:
        return 128 + signals[0]
    open_ones = [record for row, record in zip(TABLE, records) if row.asked and record.verdict.startswith("not asked")]
    return AGAIN if open_ones else DONE


def asked(args, calls, cleaning, run):
    """Everything: made, asked, removed, written down. The records, and what is left."""
    scrub, records = Scrub(), [Asking(row.name, row.what, calls) for row in TABLE]

    ledger = Ledger(lambda: removing(cleaning, args))
    with ledger:
        made = Made(calls, ledger, cleaning, run, args.subnet, args, scrub)
        try:
            say(f"run {run}")
            made.begin()
            for row, record in zip(TABLE, records):
                record.verdict = probe(row, record, made) if row.asked else not_asked(row.by)
                say(f"  {row.name}: {record.verdict}")
        except Stopped as why:
            say(str(why))
        finally:
            for row, record in zip(TABLE, records):
                if not row.asked:
                    record.verdict = not_asked(row.by)
            header = {"run": run, "at": datetime.date.today().isoformat(), "region": args.region}
            header |= {"service": "another cloud" if args.endpoint else "AWS", "client": f"botocore {botocore.__version__}"}
            write(args.out, header, records, scrub)
            say(f"the record is {args.out}")
    return records, ledger.left + swept(cleaning, args, run, ledger.owed)


def removing(cleaning, args):
    cleaning.pace = Pace(CLEANING, args.patience)
    return cleaning.pace


def probe(row, record, made):
    try:
        return row.by(record, made)
    except (Unavailable, Refused, Unanswered, Late) as why:
        return not_asked(str(why))
    except Stopped:
        raise
    except (BotoCoreError, AttributeError, LookupError, TypeError, OSError, subprocess.SubprocessError) as why:
        # An answer of another shape than the probe knows; the others may still be asked.
        return not_asked(f"the answer was not understood: {type(why).__name__}: {why}")


def swept(calls, args, run, kinds):
    """Swept until two looks in a row find nothing: a late list may miss what was just made. What is left."""
    pace, clear, refusals, left = removing(calls, args), 0, 0, []
    bucket = args.bucket if args.clean else None
    try:
        while clear < 2 and refusals < 3:
            waiting, refused = clean.sweep(calls, run, kinds, bucket)
            left = waiting + refused
            clear = 0 if left else clear + 1
            # Asking again may help, but not for long.
            refusals += bool(refused) and not waiting
            if clear < 2:
                pace.sleep(5 * pace.tick)
    except Stopped as why:
        return [*left, f"the look for leftovers ended early: {why}"]
    return left


if __name__ == "__main__":
    sys.exit(main())
