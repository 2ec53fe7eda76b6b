"""Every call of the table, in its order, by both clients; and what refusals look like to them."""

import json
import re

import botocore
import botocore.exceptions
import botocore.parsers
import pytest
from calls import CALLS, MANIFEST, ROLE
from conftest import BUCKET, ENI, GROUP, HOOK, NEW


def words(operation):
    """`ListObjectsV2` is `list_objects_v2`, as botocore has it."""
    return botocore.xform_name(operation)


def dashed(name):
    return botocore.xform_name(name, "-")


def run(ask):
    seen = {}
    for service, operation, parameters, holds in CALLS:
        asked = parameters(seen) if callable(parameters) else parameters
        seen[operation] = ask(service, operation, asked)
        assert holds(seen[operation]), f"{service}:{operation} answered {seen[operation]}"
    return seen


def test_boto3_understands_every_answer(cloud):
    clients = {}

    def ask(service, operation, parameters):
        client = clients.setdefault(service, cloud.client(service))
        answer = getattr(client, words(operation))(**parameters)
        return {**answer, "Body": answer["Body"].read().decode()} if "Body" in answer else answer

    run(ask)


def test_what_is_left_of_a_backup_is_removed_by_its_role(cloud):
    own = cloud.client("s3")
    own.put_object(**MANIFEST, Body=b"x")
    assert own.get_object(**MANIFEST)["Body"].read() == b"x"
    role = cloud.client("sts").assume_role(RoleArn=ROLE, RoleSessionName="test")["Credentials"]
    cloud.credentials = {**role, "Token": role["SessionToken"]}
    assert cloud.client("s3").delete_object(**MANIFEST)["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(own.exceptions.NoSuchKey):
        own.get_object(**MANIFEST)
    # One that is not there is no error, for neither of them.
    assert cloud.cli("s3api", "delete-object", "--bucket", MANIFEST["Bucket"], "--key", MANIFEST["Key"]) == {}


def test_a_large_file_is_sent_in_parts_by_the_role_for_backups(cloud, tmp_path):
    """With S3's own checksums of each part and of them all, as the agent sends them."""
    own = cloud.client("s3")
    role = cloud.client("sts").assume_role(RoleArn=ROLE, RoleSessionName="test")["Credentials"]
    cloud.credentials = {**role, "Token": role["SessionToken"]}
    client = cloud.client("s3")
    where = {"Bucket": MANIFEST["Bucket"], "Key": "prod/b/chunk-1"}
    # S3 takes no smaller one but the last.
    parts = [b"a" * (5 << 20), b"the last"]
    upload = client.create_multipart_upload(**where, ChecksumAlgorithm="SHA256")["UploadId"]
    sent = []
    for number, body in enumerate(parts, 1):
        answer = client.upload_part(
            **where, UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256"
        )
        sent.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": answer["ChecksumSHA256"]})
    whole = client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": sent})
    assert whole["ETag"].strip('"').endswith("-2")
    assert own.get_object(**where)["Body"].read() == b"".join(parts)
    # The AWS CLI cuts a file of its own accord.
    (tmp_path / "file").write_bytes(b"b" * (9 << 20))
    said = cloud.cli("s3", "cp", "--no-progress", "--quiet", str(tmp_path / "file"), "s3://acme-weaviate/prod/b/chunk-2")
    assert said == {}
    there = own.get_object(Bucket=where["Bucket"], Key="prod/b/chunk-2")
    assert there["ETag"].strip('"').endswith("-2") and len(there["Body"].read()) == 9 << 20


def test_the_aws_cli_understands_every_answer(cloud, tmp_path):
    """Bodies go through files here: `--body FILE` in, the last word out."""

    def ask(service, operation, parameters):
        body = tmp_path / "body"
        if service == "s3":
            # With a file at its end the CLI wants options and no JSON.
            if "Body" in parameters:
                body.write_text(parameters["Body"])
                parameters = {**parameters, "Body": str(body)}
            options = [word for name, value in parameters.items() for word in (f"--{dashed(name)}", value)]
            command = ["s3api", dashed(operation), *options, *([str(body)] if operation == "GetObject" else [])]
        else:
            command = [service, dashed(operation), "--cli-input-json", json.dumps(parameters)]
        answer = cloud.cli(*command)
        assert isinstance(answer, dict), answer
        return {**answer, "Body": body.read_text()} if operation == "GetObject" else answer

    run(ask)


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "status", "code"),
    [
        ("ec2", "describe_instances", {"InstanceIds": ["i-0aaaaaaaaaaaaaaff"]}, 400, "InvalidInstanceID.NotFound"),
        ("ec2", "describe_instances", {"DryRun": True}, 412, "DryRunOperation"),
        ("ec2", "describe_vpcs", {}, 400, "InvalidAction"),
        ("ec2", "create_tags", {"Resources": [ENI], "Tags": [{"Key": "x", "Value": "y"}]}, 403, "UnauthorizedOperation"),
        (
            "autoscaling",
            "record_lifecycle_action_heartbeat",
            {"AutoScalingGroupName": GROUP, "LifecycleHookName": HOOK, "InstanceId": "i-0aaaaaaaaaaaaaaff"},
            400,
            "ValidationError",
        ),
        ("secretsmanager", "get_secret_value", {"SecretId": "others/key"}, 400, "AccessDeniedException"),
        ("secretsmanager", "get_secret_value", {"SecretId": "weaviate/none"}, 400, "ResourceNotFoundException"),
        ("ssm", "get_parameter", {"Name": "/weaviate/none"}, 400, "ParameterNotFound"),
        ("sts", "assume_role", {"RoleArn": "arn:aws:iam::123456789012:role/none", "RoleSessionName": "ss"}, 403, "AccessDenied"),
        ("s3", "get_object", {"Bucket": BUCKET, "Key": "prod/none"}, 404, "NoSuchKey"),
        ("s3", "get_object", {"Bucket": BUCKET, "Key": "stage/none"}, 403, "AccessDenied"),
        ("s3", "put_object", {"Bucket": BUCKET, "Key": "prod/manifests/x.json", "Body": "x"}, 403, "AccessDenied"),
        ("s3", "list_objects_v2", {"Bucket": BUCKET, "Prefix": "stage/"}, 403, "AccessDenied"),
    ],
)
def test_refusals_reach_boto3_with_status_and_code(cloud, service, operation, parameters, status, code):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        getattr(cloud.client(service), operation)(**parameters)
    answer = caught.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (status, code)
    assert answer["ResponseMetadata"]["RequestId"]


def test_of_two_writers_the_second_is_refused(cloud):
    s3 = cloud.client("s3")
    manifest = {"Bucket": BUCKET, "Key": "prod/latest_weaviate_backup.manifest.json"}
    tag = s3.put_object(**manifest, Body="a", IfNoneMatch="*")["ETag"]
    s3.put_object(**manifest, Body="b", IfMatch=tag)
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": tag}):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            s3.put_object(**manifest, Body="c", **condition)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert s3.get_object(**manifest)["Body"].read() == b"b"


def test_boto3_takes_its_credentials_from_the_metadata(cloud, monkeypatch):
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", cloud.imds)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    sts = boto3.Session(region_name="eu-central-1").client("sts", endpoint_url=cloud.aws)
    assert sts.get_caller_identity()["Arn"].endswith(NEW)


@pytest.mark.parametrize("effect", ['{ kind = "reset" }', '{ kind = "truncated", bytes = 20 }'])
def test_a_broken_connection_is_an_error_and_not_an_empty_answer(start, effect):
    cloud = start(f'[[fault]]\ncall = "ec2:DescribeSubnets"\ntimes = 1\neffect = {effect}')
    ec2 = cloud.client("ec2")
    with pytest.raises((botocore.exceptions.HTTPClientError, botocore.parsers.ResponseParserError)):
        ec2.describe_subnets()
    assert len(ec2.describe_subnets()["Subnets"]) == 4


def test_pages_are_followed(cloud):
    pages = cloud.client("ec2").get_paginator("describe_network_interfaces")
    found = [eni for page in pages.paginate(PaginationConfig={"PageSize": 5}) for eni in page["NetworkInterfaces"]]
    assert {eni["Status"] for eni in found} == {"available", "in-use"}
