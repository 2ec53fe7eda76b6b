"""The template itself: what must hold of it, and for each of these what would break it."""

import pathlib
import re
import subprocess
import sys

import checks
import pytest
from template import TEMPLATE, Stack, load


SOURCE = {
    "SourceBucket": "acme-production",
    "SourcePrefix": "live",
    "SourceDeployment": "acme-production",
    "SourceRegion": "eu-west-1",
}


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"Clients": "sg-0aaaaaaaaaaaaaa01", "Grpc": "false", "AlarmEmail": ""},
        {
            "Clients": ",".join(f"sg-0aaaaaaaaaaaaaa0{n}" for n in range(4)),
            "TerminateHook": "present",
            "Sessions": "present",
            **SOURCE,
        },
        {
            "ImageFile": "/opt/weaviate/image.tar",
            "BackupMode": "direct",
            "RestoreMode": "direct",
            "Unverified": "allow",
            "AllowEmpty": "true",
        },
        {"CreateBucket": "false", "CreateAddress": "false"},
    ],
    ids=["usual", "least", "most", "other-restore", "adopted"],
)
def test_it_holds(check, parameters):
    assert list(check(Stack(**parameters))) == []


def open_rule(template):
    rules = template["Resources"]["AddressGroup"]["Properties"]["SecurityGroupIngress"]
    rules.append({"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "CidrIp": "0.0.0.0/0"})


def put(path, value):
    """A change of the template: the place, with dots, and what it then holds (None: nothing)."""

    def change(template):
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        place = template["Resources"]
        for step in way:
            place = place[step]
        if value is None:
            del place[last]
        else:
            place[last] = value

    change.__name__ = path
    return change


LAUNCH = "LaunchTemplate.Properties.LaunchTemplateData"
GROUP = "Group.Properties"
RULES = "Bucket.Properties.LifecycleConfiguration.Rules"
BREAKS = [
    (checks.only_clients_come_in, open_rule),
    (checks.only_clients_come_in, put("AddressGroup.Properties.SecurityGroupIngress.0.ToPort", 9000)),
    (checks.only_clients_come_in, put("AddressGroup.Properties.SecurityGroupIngress.0.SourceSecurityGroupId", "sg-1")),
    (
        checks.only_clients_come_in,
        put(
            "InstanceGroup.Properties.SecurityGroupIngress",
            [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "10.0.0.0/8"}],
        ),
    ),
    (checks.only_clients_come_in, put(f"{LAUNCH}.NetworkInterfaces.0.AssociatePublicIpAddress", True)),
    (checks.only_clients_come_in, put("Address.Properties.GroupSet", [{"Ref": "InstanceGroup"}])),
    (
        checks.only_clients_come_in,
        put("More", {"Type": "AWS::EC2::SecurityGroupIngress", "Properties": {"CidrIp": "0.0.0.0/0"}}),
    ),
    (checks.metadata_is_for_the_host, put(f"{LAUNCH}.MetadataOptions.HttpPutResponseHopLimit", 2)),
    (checks.metadata_is_for_the_host, put(f"{LAUNCH}.MetadataOptions.HttpTokens", "optional")),
    (checks.disks_are_encrypted, put(f"{LAUNCH}.BlockDeviceMappings.0.Ebs.Encrypted", False)),
    (checks.tags_are_what_the_policy_is_bound_to, put(f"{LAUNCH}.TagSpecifications.0.Tags", [])),
    (checks.tags_are_what_the_policy_is_bound_to, put("Address.Properties.Tags", [])),
    (checks.tags_are_what_the_policy_is_bound_to, put("BackupRole.Properties.Tags.0.Value", "another")),
    (checks.one_instance_and_the_old_one_first, put(f"{GROUP}.MaxSize", "2")),
    (checks.one_instance_and_the_old_one_first, put(f"{GROUP}.InstanceMaintenancePolicy", None)),
    (checks.one_instance_and_the_old_one_first, put("Group.UpdatePolicy", {"AutoScalingRollingUpdate": {}})),
    (checks.the_first_instance_waits, put(f"{GROUP}.LifecycleHookSpecificationList.0.DefaultResult", "CONTINUE")),
    (checks.the_first_instance_waits, put(f"{GROUP}.LifecycleHookSpecificationList.0.HeartbeatTimeout", 30)),
    (checks.the_first_instance_waits, put("Later", {"Type": "AWS::AutoScaling::LifecycleHook"})),
    (checks.somebody_is_told, put(f"{GROUP}.NotificationConfigurations.0.NotificationTypes.1", None)),
    (checks.somebody_is_told, put(f"{GROUP}.MetricsCollection", [])),
    (checks.somebody_is_told, put("NobodyServes.Properties.AlarmActions", [])),
    (checks.nothing_current_expires, put(f"{RULES}.0.ExpirationInDays", 30)),
    (checks.nothing_current_expires, put(f"{RULES}.1.NoncurrentVersionExpiration.NoncurrentDays", 3)),
    (checks.nothing_current_expires, put(f"{RULES}.1.Transitions", [{"StorageClass": "GLACIER"}])),
    (checks.nothing_current_expires, put(f"{RULES}.0", None)),
    (checks.the_bucket_is_closed, put("Bucket.Properties.VersioningConfiguration.Status", "Suspended")),
    (checks.the_bucket_is_closed, put("Bucket.Properties.PublicAccessBlockConfiguration.BlockPublicPolicy", False)),
    (checks.the_bucket_is_closed, put("Key.Properties.EnableKeyRotation", False)),
    (checks.what_holds_data_outlives_the_stack, put("Key.DeletionPolicy", "Delete")),
    (checks.policies_are_the_shipped_ones, put("InstanceRole.Properties.Policies.0.PolicyDocument.Statement.0", None)),
    (checks.policies_are_the_shipped_ones, put("BackupRole.Properties.Policies.0.PolicyDocument.Statement.2", None)),
    (
        checks.policies_are_the_shipped_ones,
        put("ReadOnlyPolicy.Properties.PolicyDocument.Statement.0.Action", ["ec2:*"]),
    ),
    (
        checks.policies_are_the_shipped_ones,
        put("InstanceRole.Properties.ManagedPolicyArns", ["arn:aws:iam::aws:policy/x"]),
    ),
    (
        checks.policies_are_the_shipped_ones,
        put("BackupRole.Properties.AssumeRolePolicyDocument.Statement.0.Principal", {"AWS": "*"}),
    ),
    (checks.keys_are_safe_to_carry, put("AdminKey.Properties.GenerateSecretString.ExcludePunctuation", False)),
    (checks.keys_are_safe_to_carry, put("AdminKey.Properties.Name", "weaviate/another")),
    (checks.the_topic_is_for_this_account, put("TopicPolicy.Properties.PolicyDocument.Statement.1.Condition", None)),
    (checks.limits_are_kept, put(f"{LAUNCH}.UserData", {"Fn::Base64": "x" * 17_000})),
]


@pytest.mark.parametrize(("check", "change"), BREAKS, ids=lambda part: part.__name__)
def test_what_would_break_it_is_caught(check, change):
    template = load()
    change(template)
    assert list(check(Stack(template))) != []


def test_who_reaches_a_session_reads_nothing_more():
    policies = {
        p["PolicyName"]: p["PolicyDocument"] for p in Stack(Sessions="present").properties("InstanceRole")["Policies"]
    }
    (statement,) = policies["sessions"]["Statement"]
    assert not any(":Get" in action or "*" in action for action in statement["Action"])


def test_every_check_has_something_that_it_catches():
    assert {check for check, _ in BREAKS} == set(checks.CHECKS)


def test_cfn_lint_finds_nothing():
    done = lint(TEMPLATE)
    assert (done.returncode, done.stdout) == (0, "")


def test_cfn_lint_finds_what_is_wrong(tmp_path):
    wrong = tmp_path / "wrong.yaml"
    options = "LaunchTemplateData: { MetadataOptions: { HttpTokens: perhaps } }"
    wrong.write_text(f"Resources: {{ Wrong: {{ Type: AWS::EC2::LaunchTemplate, Properties: {{ {options} }} }} }}\n")
    assert "perhaps" in lint(wrong).stdout


def lint(path):
    command = [
        pathlib.Path(sys.executable).with_name("cfn-lint"),
        "--regions",
        "eu-central-1",
        "us-east-1",
        "--template",
        str(path),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({}, 'clients = ["sg-0aaaaaaaaaaaaaa01", "sg-0aaaaaaaaaaaaaa02"]'),
        ({"Grpc": "false"}, "grpc = false"),
        ({"ImageFile": "/opt/weaviate/image.tar"}, 'image_file = "/opt/weaviate/image.tar"'),
        ({"BackupMode": "direct"}, 'mode = "direct"'),
        ({"RestoreMode": "direct"}, 'mode = "direct"'),
        ({}, 'launch_hook = "weaviate-ready"'),
        ({}, "PACKAGE_URL='https://acme-artifacts.s3.eu-central-1.amazonaws.com/debian/weaviate-provisioner.deb'"),
        ({"PackageKey": ""}, "PACKAGE_URL=''"),
    ],
)
def test_parameters_reach_the_instance(parameters, line):
    assert line in [written.strip() for written in Stack(**parameters).user_data().splitlines()]


def test_what_cannot_be_right_is_refused_before_anything_is_made():
    rows = [
        ("Deployment", "acme-prod", True),
        ("Deployment", 'acme"', False),
        ("Deployment", "Acme", False),
        ("Clients", "sg-1,sg-2,sg-3,sg-4", True),
        ("Clients", "sg-1,sg-2,sg-3,sg-4,sg-5", False),
        ("Clients", "sg-1, sg-2", False),
        ("Clients", "", False),
        ("Prefix", "prod/weaviate-0", True),
        ("Prefix", "", False),
        ("Prefix", "/prod", False),
        ("PackageKey", "", True),
        ("PackageKey", "a/b_1.0-1~rc1_arm64.deb", True),
        ("PackageKey", "a'; reboot #", False),
        ("PackageSha256", "ab" * 32, True),
        ("PackageSha256", "ab", False),
        ("Image", "cr.example.com:5000/weaviate:1.39.0@sha256:" + "0" * 64, True),
        ("Image", 'x" \n', False),
        ("ImageFile", "/opt/weaviate/image.tar", True),
        ("ImageFile", "image.tar", False),
    ]
    parameters = load()["Parameters"]
    for name, value, right in rows:
        # CloudFormation wants the whole value to match.
        found = re.fullmatch(parameters[name]["AllowedPattern"], value) is not None
        assert found == right, (name, value)
    # What is written into the script and the configuration has a pattern or a list of values.
    free = [
        n
        for n, about in parameters.items()
        if about["Type"] == "String" and not {"AllowedPattern", "AllowedValues"} & set(about)
    ]
    assert free == []
