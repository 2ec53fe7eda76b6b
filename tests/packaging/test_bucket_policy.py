"""What the bucket's policy denies, judged as IAM judges it: a statement applies if all that it says applies, and a
negated operator holds where the request has no such key (AWS IAM User Guide, policy evaluation, condition operators).
"""

import fnmatch

import pytest
from template import Stack, load

BUCKET = "arn:aws:s3:::acme-weaviate"
BELOW, BESIDE = f"{BUCKET}/prod/full-1/x", f"{BUCKET}/others/x"
MANIFEST = f"{BUCKET}/prod/latest_weaviate_backup.manifest.json"
KEY = "<Key.Arn>"
NODE, BACKUP, PERSON = "<InstanceRole.Arn>", "<BackupRole.Arn>", "arn:aws:iam::123456789012:role/platform"
ENCRYPTION = "s3:x-amz-server-side-encryption"
KEY_ID = f"{ENCRYPTION}-aws-kms-key-id"
CUSTOMER = f"{ENCRYPTION}-customer-algorithm"


def many(value):
    return value if isinstance(value, list) else [value]


def like(value, patterns):
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in many(patterns))


def holds(operator, key, wanted, request):
    present = request.get(key)
    match operator:
        case "Null":
            return (present is None) == (wanted == "true")
        case "StringNotEquals":
            return present is None or present not in many(wanted)
        case "Bool" | "ArnEquals":
            return present is not None and present in many(wanted)
    raise AssertionError(f"unknown operator {operator}")


def denied(stack, action, resource, **request):
    """The statements that deny it."""
    found = []
    for statement in stack.properties("BucketPolicy")["PolicyDocument"]["Statement"]:
        assert statement["Effect"] == "Deny" and statement["Principal"] == "*", statement["Sid"]
        about = "Resource" in statement and like(resource, statement["Resource"])
        about = about or "NotResource" in statement and not like(resource, statement["NotResource"])
        conditions = statement["Condition"].items()
        if (
            about
            and like(action, statement["Action"])
            and all(holds(op, key, value, request) for op, keys in conditions for key, value in keys.items())
        ):
            found.append(statement["Sid"])
    return found


def request(who=PERSON, secure="true", **keys):
    named = {"encryption": ENCRYPTION, "key": KEY_ID, "customer": CUSTOMER}
    return {
        "aws:PrincipalArn": who,
        "aws:SecureTransport": secure,
        **{named[name]: value for name, value in keys.items()},
    }


ROWS = [
    # What the agent and the server do: no header, or the bucket's own key.
    ("s3:PutObject", MANIFEST, request(NODE), []),
    ("s3:PutObject", MANIFEST, request(NODE, encryption="aws:kms", key=KEY), []),
    ("s3:PutObject", BELOW, request(BACKUP), []),
    ("s3:DeleteObject", BELOW, request(BACKUP), []),
    ("s3:AbortMultipartUpload", BELOW, request(BACKUP), []),
    ("s3:GetObject", BESIDE, request(NODE), []),
    ("s3:ListBucket", BUCKET, request(NODE), []),
    # A person, by hand.
    ("s3:PutObject", BESIDE, request(), []),
    ("s3:DeleteObjectVersion", BELOW, request(), []),
    ("s3:PutBucketPolicy", BUCKET, request(), []),
    # Plain HTTP, to the bucket and to an object.
    ("s3:GetObject", BELOW, request(secure="false"), ["NoPlainHttp"]),
    ("s3:ListBucket", BUCKET, request(NODE, secure="false"), ["NoPlainHttp"]),
    # Any encryption but the bucket's.
    ("s3:PutObject", BELOW, request(encryption="AES256"), ["NoOtherEncryption"]),
    ("s3:PutObject", BELOW, request(encryption="aws:kms"), ["NoOtherEncryption"]),
    (
        "s3:PutObject",
        BELOW,
        request(encryption="aws:kms", key="arn:aws:kms:eu-central-1:1:key/2"),
        ["NoOtherEncryption"],
    ),
    ("s3:PutObject", BELOW, request(customer="AES256"), ["NoKeyOfTheWritersOwn"]),
    # The node's roles, outside their prefix and at the bucket itself.
    ("s3:PutObject", BESIDE, request(NODE), ["NodeWritesBelowItsPrefixOnly"]),
    ("s3:PutObject", f"{BUCKET}/prod-2/x", request(BACKUP), ["NodeWritesBelowItsPrefixOnly"]),
    ("s3:DeleteObject", BESIDE, request(BACKUP), ["NodeWritesBelowItsPrefixOnly"]),
    ("s3:AbortMultipartUpload", BESIDE, request(BACKUP), ["NodeWritesBelowItsPrefixOnly"]),
    ("s3:PutBucketPolicy", BUCKET, request(NODE), ["NodeWritesBelowItsPrefixOnly"]),
    ("s3:PutLifecycleConfiguration", BUCKET, request(BACKUP), ["NodeWritesBelowItsPrefixOnly"]),
    ("s3:DeleteBucket", BUCKET, request(BACKUP), ["NodeWritesBelowItsPrefixOnly"]),
    # And what can be undone stays so.
    ("s3:DeleteObjectVersion", BELOW, request(NODE), ["NodeDestroysNoVersion"]),
    ("s3:DeleteObjectVersion", MANIFEST, request(BACKUP), ["NodeDestroysNoVersion"]),
]


@pytest.mark.parametrize(("action", "resource", "asked", "wanted"), ROWS)
def test_what_is_denied(stack, action, resource, asked, wanted):
    assert denied(stack, action, resource, **asked) == wanted


def statements():
    return load()["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]


@pytest.mark.parametrize("number", range(len(statements())), ids=[statement["Sid"] for statement in statements()])
def test_without_a_statement_something_is_no_longer_denied(number):
    template = load()
    gone = template["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"].pop(number)
    missed = [row for row in ROWS if denied(Stack(template), row[0], row[1], **row[2]) != row[3]]
    assert missed and all(gone["Sid"] in row[3] for row in missed)


def test_a_header_cannot_be_demanded():
    """The usual statement, which wants the header, refuses the agent's own writes: why it is not here."""
    template = load()
    conditions = template["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"][1]["Condition"]
    del conditions["Null"]
    assert denied(Stack(template), "s3:PutObject", MANIFEST, **request(NODE)) == ["NoOtherEncryption"]
