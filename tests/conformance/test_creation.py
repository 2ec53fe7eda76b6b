"""Where everything is made and nothing is given: against moto, which makes what the embedded cloud only has.

moto's answers prove nothing about AWS, and half of what the probes ask it does not know. What is proved is that the
creating calls are well-formed, that every one is owed, and that nothing is left, whatever ends the run.
"""

import signal
import urllib.request

import pytest
from moto.server import ThreadedMotoServer

from .conftest import REGION, Script, client, verdicts

KINDS = {"instances", "interfaces", "templates", "groups", "roles", "buckets"}


@pytest.fixture(scope="module")
def server():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def account(server, tmp_path):
    reset = urllib.request.Request(f"{server}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset, timeout=10).close()
    return Account(server, tmp_path)


class Account:
    def __init__(self, url, tmp_path):
        self.url = url
        subnet = self.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
        words = ["--subnet", subnet, "--endpoint", url, "--patience", "3"]
        self.script = Script(tmp_path / "record.json", words)

    def client(self, service):
        return client(service, self.url)

    def kinds(self):
        """What is there, by kind; with its tags, where it has some."""
        ec2, groups = self.client("ec2"), self.client("autoscaling").describe_auto_scaling_groups()
        instances = [one for group in ec2.describe_instances()["Reservations"] for one in group["Instances"]]
        living = [one for one in instances if one["State"]["Name"] != "terminated"]
        interfaces = ec2.describe_network_interfaces()["NetworkInterfaces"]
        found = {
            "instances": [one.get("Tags", []) for one in living],
            "interfaces": [one["TagSet"] for one in interfaces if one.get("Attachment", {}).get("DeviceIndex") != 0],
            "templates": [one.get("Tags", []) for one in ec2.describe_launch_templates()["LaunchTemplates"]],
            "groups": [one["Tags"] for one in groups["AutoScalingGroups"]],
            "roles": [one["RoleName"] for one in self.client("iam").list_roles()["Roles"]],
            "buckets": [one["Name"] for one in self.client("s3").list_buckets()["Buckets"]],
        }
        return {kind: things for kind, things in found.items() if things}


def test_everything_is_made_and_removed_and_what_others_made_stays(account):
    assert account.kinds() == {}
    ec2 = account.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    ec2.create_network_interface(SubnetId=subnet, Description="theirs")
    account.client("s3").create_bucket(
        Bucket="weaviate-conformance-theirs", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    before = account.kinds()
    assert set(before) == {"interfaces", "buckets"}
    status, said, record = account.script.run("--yes")
    # Several things cannot be asked there.
    assert status == 75, said
    assert account.kinds() == before, said
    found = verdicts(record)
    assert found["s3.list.token"] == found["s3.versions"] == "as assumed"
    for removed in ("the instance", "the interface", "the launch template", "the Auto Scaling group", "the role", "the bucket"):
        assert f"removing {removed}" in said
    # Nothing could not be had: whatever was not asked has another reason than a call of ours that was refused.
    assert not [verdict for verdict in found.values() if "was refused" in verdict], found


def test_a_killed_run_leaves_all_kinds_with_its_name_and_cleaning_removes_them(account):
    # The last kind is made when S3 is asked.
    status, said, run = account.script.interrupted(signal.SIGKILL, "s3.etag.kms", "--yes")
    left = account.kinds()
    assert set(left) == KINDS, said
    for things in left.values():
        for thing in things:
            names = [thing] if isinstance(thing, str) else [tag["Value"] for tag in thing if tag["Key"] == "weaviate:conformance"]
            assert names in ([run], [f"weaviate-conformance-{run}"]), left
    assert account.script.clean("ffffffff")[0] == 0
    assert account.kinds() == left
    status, said, _ = account.script.clean(run)
    assert (status, account.kinds()) == (0, {}), said


@pytest.mark.parametrize("point", ["run ", "iam.order"])
def test_a_stopped_run_removes_what_it_made(account, point):
    status, said, _ = account.script.interrupted(signal.SIGTERM, point, "--yes")
    assert (status, account.kinds()) == (128 + signal.SIGTERM, {}), said


@pytest.mark.parametrize("kind", ["instances", "interfaces", "roles", "groups"])
def test_a_run_killed_when_a_kind_has_come_is_cleaned_up(account, kind):
    """At every stage of the making."""
    come = lambda: kind in account.kinds()
    _, said, run = account.script.interrupted(signal.SIGKILL, "run ", "--yes", when=come)
    assert account.kinds(), said
    status, said, _ = account.script.clean(run)
    assert (status, account.kinds()) == (0, {}), said
