"""The template as a stack, in moto: what it makes is there and has the settings that it was given.

moto (5.2.5) makes no resources of the types in `MISSING`, and ignores hooks, notifications, metrics and the
maintenance policy of a group, the tags of an interface, and of a bucket all but its encryption; those are looked at in
test_template.py and test_bucket_policy.py only.
"""

import ast
import base64
import json
from types import SimpleNamespace

import boto3
import moto
import pytest
import yaml
from template import PARAMETERS, Stack, load, shipped_policy

MISSING = {
    "AWS::CloudWatch::Alarm",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SecretsManager::Secret",
}
NAME = "weaviate"


@pytest.fixture(scope="module", params=["eu-central-1", "us-east-1"])
def made(request):
    region = request.param
    with moto.mock_aws():
        clients = {
            name: boto3.client(name, region_name=region)
            for name in ("autoscaling", "cloudformation", "ec2", "iam", "kms", "s3", "sns")
        }
        ec2 = clients["ec2"]
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.2.0/24", AvailabilityZone=f"{region}a")["Subnet"][
            "SubnetId"
        ]
        groups = [
            ec2.create_security_group(GroupName=name, Description="clients", VpcId=vpc)["GroupId"]
            for name in ("ray", "search")
        ]
        image = ec2.describe_images()["Images"][0]["ImageId"]
        parameters = {**PARAMETERS, "Vpc": vpc, "Subnet": subnet, "Clients": ",".join(groups), "Ami": image}
        clients["cloudformation"].create_stack(
            StackName=NAME,
            TemplateBody=json.dumps(Stack(**parameters).without_holes()),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )
        yield SimpleNamespace(**clients, region=region, parameters=parameters, client_groups=set(groups))


def resources(made):
    found = made.cloudformation.describe_stack_resources(StackName=NAME)["StackResources"]
    return {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in found if "LogicalResourceId" in r}


def outputs(made):
    (stack,) = made.cloudformation.describe_stacks(StackName=NAME)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def test_everything_is_made_that_moto_can_make(made):
    wanted = {name for name, about in load()["Resources"].items() if about["Type"] not in MISSING}
    assert set(resources(made)) == wanted


def test_the_address_waits_for_the_agent(made):
    (eni,) = made.ec2.describe_network_interfaces(Filters=[{"Name": "private-ip-address", "Values": ["10.0.2.15"]}])[
        "NetworkInterfaces"
    ]
    assert (eni["Status"], eni["NetworkInterfaceId"]) == ("available", outputs(made)["AddressId"])


def test_only_clients_come_in(made):
    made_groups = resources(made)
    found = made.ec2.describe_security_groups(GroupIds=[made_groups["AddressGroup"], made_groups["InstanceGroup"]])[
        "SecurityGroups"
    ]
    rules = {group["GroupId"]: group["IpPermissions"] for group in found}
    assert rules[made_groups["InstanceGroup"]] == []
    let_in = set()
    for rule in rules[made_groups["AddressGroup"]]:
        assert (rule["IpProtocol"], rule["IpRanges"], rule["Ipv6Ranges"]) == ("tcp", [], [])
        assert rule["FromPort"] == rule["ToPort"]
        let_in |= {(pair["GroupId"], rule["FromPort"]) for pair in rule["UserIdGroupPairs"]}
    assert let_in == {(group, port) for group in made.client_groups for port in (8080, 50051)}


def test_the_group_has_one_instance_as_the_template_says(made):
    (group,) = made.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[outputs(made)["GroupName"]])[
        "AutoScalingGroups"
    ]
    assert (group["MinSize"], group["MaxSize"], group["DesiredCapacity"]) == (1, 1, 1)
    assert group["VPCZoneIdentifier"] == made.parameters["Subnet"]
    (member,) = group["Instances"]
    (instance,) = made.ec2.describe_instances(InstanceIds=[member["InstanceId"]])["Reservations"][0]["Instances"]
    tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
    assert (tags["weaviate:deployment"], tags["weaviate:node"]) == ("acme-prod", "weaviate-0")
    assert instance["InstanceType"] == "c8gd.xlarge"


def launch_template(made):
    found = made.ec2.describe_launch_template_versions(LaunchTemplateId=outputs(made)["LaunchTemplateId"])
    (version,) = found["LaunchTemplateVersions"]
    return version["LaunchTemplateData"]


def test_the_metadata_wants_a_session_and_is_one_hop_away(made):
    options = launch_template(made)["MetadataOptions"]
    assert (options["HttpTokens"], int(options["HttpPutResponseHopLimit"])) == ("required", 1)


def test_the_user_data_is_whole(made):
    """moto has filled it in: nothing is left of the template's own language, and the shell's is there again."""
    text = base64.b64decode(launch_template(made)["UserData"]).decode()
    assert text.startswith("#cloud-config\n")
    script = yaml.safe_load(text)["write_files"][0]["content"]
    assert "${!" not in script and '"${BOUNDS[@]}"' in script
    assert f"https://acme-artifacts.s3.{made.region}.amazonaws.com/debian/weaviate-provisioner.deb" in script
    assert 'eni = { private_ip = "10.0.2.15" }' in script
    assert f's3_role_arn = "{outputs(made)["BackupRoleArn"]}"' in script
    assert f'\nrole_arn = "{outputs(made)["BackupRoleArn"]}"' in script


def test_the_bucket_encrypts_with_our_key(made):
    (rule,) = made.s3.get_bucket_encryption(Bucket=PARAMETERS["BucketName"])["ServerSideEncryptionConfiguration"][
        "Rules"
    ]
    wanted = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": outputs(made)["KeyArn"]}
    assert rule["ApplyServerSideEncryptionByDefault"] == wanted


def test_the_roles_have_the_shipped_policies(made):
    made_roles = resources(made)
    for role, policy, shipped in (
        ("InstanceRole", "node", "iam-instance.json"),
        ("BackupRole", "backup", "iam-backup.json"),
    ):
        found = made.iam.get_role_policy(RoleName=made_roles[role], PolicyName=policy)["PolicyDocument"]
        # moto keeps it as Python writes it.
        assert ast.literal_eval(found) == shipped_policy(shipped, made.region)


def test_the_key_rotates(made):
    assert made.kms.get_key_rotation_status(KeyId=outputs(made)["KeyArn"])["KeyRotationEnabled"] is True
