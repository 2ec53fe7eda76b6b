"""Nothing of an account stands in a record."""

import json

import pytest

from .record import Asking, Scrub, sentence, write

ACCOUNT = "123456789012"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The networkInterface ID 'eni-0123456789abcdef0' does not exist", "The networkInterface ID '<eni>' does not exist"),
        ("i-0123456789abcdef0 and i-01234567", "<i> and <i>"),
        ("eni-attach-0123456789abcdef0", "<attachment>"),
        (f"User: arn:aws:iam::{ACCOUNT}:user/ann is not authorized", "User: <arn> is not authorized"),
        (f"arn:aws-cn:sts::{ACCOUNT}:assumed-role/a b", "<arn> b"),
        (f"'arn:aws:s3:::bucket/{ACCOUNT}', account {ACCOUNT}.", "'<arn>', account <account>."),
        ("Encoded authorization failure message: aBc-_123", "Encoded authorization failure message: <encoded>"),
        ("key AKIAIOSFODNN7EXAMPLE", "key <key>"),
        ("from 10.0.2.15 at 0e:aa:bb:cc:dd:ee", "from <address> at <mac>"),
        ("token 1b4db7eb-4057-5ddf-91e0-36dec72071f5", "token <uuid>"),
        ("d41d8cd98f00b204e9800998ecf8427e", "<hex>"),
        ("ann@example.org in bucket ours-now, run 0a1b2c3d", "<mail> in bucket <bucket>, run <run>"),
        ("ValidationError: 45 reads in 2026", "ValidationError: 45 reads in 2026"),
    ],
)
def test_ids_become_placeholders(text, expected):
    scrub = Scrub()
    scrub.hide("ours", "<short>")
    scrub.hide("ours-now", "<bucket>")
    scrub.hide("0a1b2c3d", "<run>")
    scrub.hide(None, "<never>")
    assert scrub(text) == expected
    assert scrub({"a": [text]}) == {"a": [expected]}


def test_a_record_is_written_whole(tmp_path):
    class Calls:
        pace = None

    asking = Asking("a.b", "it does", Calls)
    asking.seen("a call", f"account {ACCOUNT}")
    asking.verdict = "otherwise"
    path = tmp_path / "record.json"
    write(path, {"service": "AWS"}, [asking], Scrub())
    rows = {"name": "a.b", "what": "it does", "asked": ["a call"], "answered": [{"seen": "account <account>"}]}
    assert json.loads(path.read_text()) == {"service": "AWS", "records": [rows | {"verdict": "otherwise"}]}
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_bodies_are_counted_and_not_shown():
    assert sentence("s3", "PutObject", {"Key": "k", "Body": b"secret"}) == "s3:PutObject Key=k Body=<6 bytes>"
