"""The whole script against the embedded cloud. What that one cannot make (`test_creation.py`) is given."""

import json
import subprocess
import sys

import pytest

from .assumed import TABLE
from .calls import CALLS, Calls, Elsewhere
from .conftest import BUCKET, CASE, ENI, GROUP, KEYS, MEMBER, MOODS, OWNER, REGION, SUBNET, environment, verdicts
from .pace import Pace

ASKED = {row.name for row in TABLE if row.asked}
EXCUSED = {row.name: f"not asked: {row.by}" for row in TABLE if not row.asked}


def command(words):
    return [sys.executable, "-m", "conformance", *words]


def fault(call, effect, **more):
    """A line of the script. Its words are TOML's, but for `only`, which is a dictionary: `with`."""
    only = more.pop("only", {})
    texts = ", ".join(f'"{name}" = "{text}"' for name, text in only.items())
    lines = [f'call = "{call}"', f"effect = {effect}", f"with = {{ {texts} }}"]
    return "\n".join(["", "[[fault]]", *lines, *(f"{name} = {value}" for name, value in more.items()), ""])


def error(status, code, text="of another kind"):
    return f'{{ kind = "error", status = {status}, code = "{code}", message = "{text}" }}'


def test_the_world_is_as_it_assumes_and_nothing_is_left(start):
    cloud = start(CASE + MOODS)
    before = cloud.state()
    status, said, record = cloud.script.run("--yes")
    assert verdicts(record) == {name: "as assumed" for name in ASKED} | EXCUSED, said
    assert (status, cloud.state()) == (0, before), said
    assert record["service"] == "another cloud"
    text = json.dumps(record)
    for private in (ENI, OWNER, MEMBER, SUBNET, "123456789012", "10.0.", "arn:", KEYS["aws_access_key_id"], cloud.aws):
        assert private not in text, private
    assert all(one["asked"] for one in record["records"] if one["name"] in ASKED)


def test_of_a_given_bucket_only_a_prefix_is_used(start):
    cloud = start(CASE + MOODS)
    cloud.client("s3").put_object(Bucket=BUCKET, Key="weaviate-conformance/theirs", Body=b"x")
    before = cloud.state()
    status, said, record = cloud.script.run("--yes", "--bucket", BUCKET)
    assert verdicts(record) == {name: "as assumed" for name in ASKED} | EXCUSED, said
    assert (status, cloud.state()) == (0, before), said
    assert BUCKET not in json.dumps(record)


# By behaviour: what the cloud is made to do instead.
OTHERWISE = {
    "s3.put.race": fault("s3:PutObject", error(409, "ConditionalRequestConflict"), only={"Key": "race/3"}, times=1),
    "s3.list.token": fault("s3:ListObjectsV2", error(400, "InvalidArgument"), only={"Prefix": "token/"}, **{"from": 2}),
    "s3.bucket.order": fault("s3:GetObject", error(403, "AccessDenied"), only={"Bucket": "-none"}),
    "autoscaling.unknown-group": fault("autoscaling:RecordLifecycleActionHeartbeat", error(400, "ResourceContention")),
    "iam.order": fault("ec2:DetachNetworkInterface", '{ kind = "denied" }', only={"AttachmentId": "0fffff"}),
    "aws.act-after-hang-up": fault(
        "ec2:ModifyNetworkInterfaceAttribute", '{ kind = "silent" }', only={"Description.Value": "hung up 1"}
    ),
    "ec2.stale-read": fault("ec2:DescribeNetworkInterfaces", '{ kind = "absent" }', only={"NetworkInterfaceId.1": "eni-"}),
    "ec2.detach.twice": fault(
        "ec2:DetachNetworkInterface",
        error(400, "InvalidAttachmentID.NotFound"),
        # Not the attachment that no cloud has.
        only={"AttachmentId": "eni-attach-000"},
        times=1,
        **{"from": 2},
    ),
    "imds.throttled": fault("imds:GetMetadata", error(429, "TooMany"), times=1),
}


def test_a_cloud_that_does_otherwise_is_reported(start):
    cloud = start(CASE + "".join(OTHERWISE.values()))
    before = cloud.state()
    status, said, record = cloud.script.run("--yes")
    found = verdicts(record)
    assert {name for name, verdict in found.items() if verdict == "otherwise"} == set(OTHERWISE), said
    assert {name: found[name] for name in EXCUSED} == EXCUSED
    # What no fault can alter is altered in `test_judges.py`.
    rest = {"s3.etag.kms", "s3.versions", "s3.checksum.more", "autoscaling.abandon-at-launch"}
    assert set(OTHERWISE) | rest == ASKED and {found[name] for name in rest} == {"as assumed"}
    assert (status, cloud.state()) == (0, before), said


def test_a_service_that_refuses_costs_its_own_probes_only(start):
    denied = fault("ec2:*", '{ kind = "denied" }') + fault("sts:AssumeRole", error(400, "RegionDisabledException"))
    cloud = start(CASE + denied)
    status, said, record = cloud.script.run("--yes")
    found = verdicts(record)
    assert status == 75, said
    assert found["iam.order"] == "not asked: sts:AssumeRole was refused: RegionDisabledException: of another kind"
    assert found["ec2.detach.twice"].startswith("not asked: ec2:DescribeInstances was refused: UnauthorizedOperation")
    assert found["s3.put.race"] == found["autoscaling.abandon-at-launch"] == "as assumed"


def test_what_cannot_be_removed_is_named(start):
    stuck = fault("s3:DeleteObject", '{ kind = "denied" }', only={"Key": "kms"})
    cloud = start(CASE + stuck)
    status, said, _ = cloud.script.run("--yes")
    assert status == 1
    assert "LEFT: the bucket: " in said and "s3:DeleteObject was refused: AccessDenied" in said
    assert "scripts/aws-conformance --clean " in said


def test_the_deadline_ends_it_and_it_still_cleans_up(start):
    # The member never waits at its hook: the probe would wait for it as long as its patience.
    cloud = start(CASE.replace("[{ instance = ", "[{ state = 'InService', instance = "))
    before = cloud.state()
    status, said, record = cloud.script.run("--yes", "--deadline", "12", "--patience", "60")
    assert "the deadline of the run has passed" in said
    assert verdicts(record)["autoscaling.abandon-at-launch"] == "not asked: the run ended before"
    assert verdicts(record)["s3.put.race"] == "as assumed"
    assert (status, cloud.state()) == (75, before), said


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "--region is needed, and --subnet"),
        (["--region", REGION, "--yes"], "--region is needed, and --subnet"),
        (["--subnet", SUBNET, "--yes"], "--region is needed"),
        (["--region", REGION, "--subnet", SUBNET, "--endpoint", "http://127.0.0.1:1"], "Nothing was done: add --yes."),
        (["--clean", "0a1b2c3d"], "--region is needed"),
        (["--region", REGION, "--clean", "*"], "--clean takes the eight digits of a run"),
        (["--region", REGION, "--subnet", SUBNET, "--imds", "http://127.0.0.1:1"], "go with --endpoint"),
        (["--region", REGION, "--subnet", SUBNET, "--endpoint-s3", "http://127.0.0.1:1"], "go with --endpoint"),
        (["--region", REGION, "--subnet", SUBNET, "--deadline", "0"], "times are longer"),
        (["--region", REGION, "--subnet", SUBNET, "--deadline", "soon"], "invalid float"),
    ],
)
def test_it_does_nothing_that_was_not_asked_for(words, complaint):
    # Without keys: were it to do something all the same, no call could leave.
    bare = {name: value for name, value in environment().items() if not name.endswith(("_ID", "_KEY"))}
    done = subprocess.run(command(words), env=bare, capture_output=True, text=True, timeout=30)
    assert done.returncode == 64 and complaint in done.stderr


def test_the_plan_comes_first_and_names_what_is_made():
    words = ["--region", REGION, "--subnet", SUBNET, "--group", GROUP]
    done = subprocess.run(command(words), env=environment(), capture_output=True, text=True, timeout=30)
    for said in ("t4g.nano", "weaviate:conformance=", "a bucket", "Cost:", f"group {GROUP}", "--clean", "ABANDON: it ends"):
        assert said in done.stdout, said
    for service, operations in CALLS.items():
        assert f"  {service}: {', '.join(operations)}" in done.stdout


def test_keys_of_another_cloud_are_not_searched_for():
    bare = {name: value for name, value in environment().items() if not name.endswith(("_ID", "_KEY"))}
    words = ["--region", REGION, "--subnet", SUBNET, "--yes", "--endpoint", "http://127.0.0.1:1"]
    done = subprocess.run(command(words), env=bare, capture_output=True, text=True, timeout=30)
    assert done.returncode == 64 and "takes its credentials from AWS_ACCESS_KEY_ID" in done.stderr


class Request:
    def __init__(self, url):
        self.url = url


def test_no_request_leaves_the_given_endpoints(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:9")
    endpoints = {"": "http://127.0.0.1:1", "s3": "http://127.0.0.1:2"}
    calls = Calls(REGION, endpoints, Pace(5, 5))
    role = calls.role({"AccessKeyId": "x", "SecretAccessKey": "x", "SessionToken": "x"})
    for service in CALLS:
        for one in (calls, role):
            client = one.client(service)
            assert client.meta.endpoint_url == endpoints.get(service, endpoints[""])
            # As after a redirect: whatever the client was made with, the request does not leave.
            for url in (f"https://{service}.{REGION}.amazonaws.com/", "http://127.0.0.1:9/", "http://169.254.169.254/"):
                with pytest.raises(Elsewhere):
                    client.meta.events.emit("before-send.x.y", request=Request(url))
            assert client.meta.events.emit("before-send.x.y", request=Request(f"{client.meta.endpoint_url}/x"))
    # And without a given endpoint nobody else's is taken for AWS.
    assert Calls(REGION, {}, Pace(5, 5)).client("ec2").meta.endpoint_url == f"https://ec2.{REGION}.amazonaws.com"


def test_only_what_the_plan_names_is_called():
    calls = Calls(REGION, {"": "http://127.0.0.1:1"}, Pace(5, 5), keys=("x", "x"))
    with pytest.raises(AssertionError, match="ec2:DeleteVpc is not in the plan"):
        calls.ask("ec2", "DeleteVpc", VpcId="vpc-1")
