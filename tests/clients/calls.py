"""What the real clients are made to call: one table, walked with boto3 and with the AWS CLI.

Each row: service, operation, parameters, and what must be in the answer (a function of it).
To add a call: a row here. `test_coverage.py` says which call has none.
"""

from conftest import BUCKET, ENI, GROUP, HOOK, NEW

ROLE = "arn:aws:iam::123456789012:role/backup"
MANIFEST = {"Bucket": BUCKET, "Key": "prod/latest_weaviate_backup.manifest.json"}
ACTION = {"AutoScalingGroupName": GROUP, "LifecycleHookName": HOOK, "InstanceId": NEW}


def only(items):
    (item,) = items
    return item


CALLS = [
    ("sts", "GetCallerIdentity", {}, lambda a: a["Arn"].endswith(f"assumed-role/weaviate-node/{NEW}")),
    (
        "sts",
        "AssumeRole",
        {"RoleArn": ROLE, "RoleSessionName": "test", "DurationSeconds": 900},
        lambda a: a["Credentials"]["AccessKeyId"].startswith("ASIA"),
    ),
    (
        "ec2",
        "DescribeInstances",
        {"InstanceIds": [NEW]},
        lambda a: only(only(a["Reservations"])["Instances"])["State"]["Name"] == "running",
    ),
    (
        "ec2",
        "DescribeInstanceTypes",
        {"InstanceTypes": ["c8gd.xlarge"]},
        lambda a: only(a["InstanceTypes"])["NetworkInfo"]["MaximumNetworkInterfaces"] == 4,
    ),
    (
        "ec2",
        "DescribeNetworkInterfaces",
        {"Filters": [{"Name": "private-ip-address", "Values": ["10.0.2.15"]}]},
        lambda a: only(a["NetworkInterfaces"])["NetworkInterfaceId"] == ENI,
    ),
    (
        "ec2",
        "DescribeSecurityGroups",
        {"GroupIds": ["sg-0aaaaaaaaaaaaaa02"]},
        lambda a: {p["FromPort"] for p in only(a["SecurityGroups"])["IpPermissions"]} == {8080, 50051},
    ),
    (
        "ec2",
        "DescribeSubnets",
        {"SubnetIds": ["subnet-0aaaaaaaaaaaaaa02"]},
        lambda a: only(a["Subnets"])["CidrBlock"] == "10.0.2.0/24",
    ),
    (
        "ec2",
        "DescribeRouteTables",
        {},
        lambda a: only(only(a["RouteTables"])["Routes"])["GatewayId"] == "local",
    ),
    (
        "ec2",
        "CreateTags",
        {"Resources": [ENI], "Tags": [{"Key": "weaviate:initialized", "Value": "yes"}]},
        lambda a: True,
    ),
    (
        "ec2",
        "AttachNetworkInterface",
        {"NetworkInterfaceId": ENI, "InstanceId": NEW, "DeviceIndex": 1},
        lambda a: a["AttachmentId"].startswith("eni-attach-"),
    ),
    (
        "ec2",
        "ModifyNetworkInterfaceAttribute",
        lambda seen: {
            "NetworkInterfaceId": ENI,
            "Attachment": {"AttachmentId": seen["AttachNetworkInterface"]["AttachmentId"], "DeleteOnTermination": False},
        },
        lambda a: True,
    ),
    (
        "ec2",
        "DetachNetworkInterface",
        lambda seen: {"AttachmentId": seen["AttachNetworkInterface"]["AttachmentId"]},
        lambda a: True,
    ),
    (
        "autoscaling",
        "DescribeAutoScalingInstances",
        {"InstanceIds": [NEW]},
        lambda a: only(a["AutoScalingInstances"])["LifecycleState"] == "Pending:Wait",
    ),
    (
        "autoscaling",
        "DescribeAutoScalingGroups",
        {"AutoScalingGroupNames": [GROUP]},
        lambda a: only(a["AutoScalingGroups"])["InstanceMaintenancePolicy"]["MaxHealthyPercentage"] == 100,
    ),
    (
        "autoscaling",
        "DescribeLifecycleHooks",
        {"AutoScalingGroupName": GROUP},
        lambda a: only(a["LifecycleHooks"])["HeartbeatTimeout"] == 300,
    ),
    ("autoscaling", "RecordLifecycleActionHeartbeat", ACTION, lambda a: True),
    ("autoscaling", "CompleteLifecycleAction", {**ACTION, "LifecycleActionResult": "CONTINUE"}, lambda a: True),
    ("secretsmanager", "GetSecretValue", {"SecretId": "weaviate/admin-key"}, lambda a: a["SecretString"] == "s3cret"),
    (
        "ssm",
        "GetParameter",
        {"Name": "/weaviate/reader-key", "WithDecryption": True},
        lambda a: a["Parameter"]["Value"] == "p4ram",
    ),
    # As the generation is taken: first of all, then over the manifest that was read.
    ("s3", "PutObject", {**MANIFEST, "Body": "first", "IfNoneMatch": "*"}, lambda a: len(a["ETag"]) == 34),
    (
        "s3",
        "PutObject",
        lambda seen: {**MANIFEST, "Body": "0123456789", "IfMatch": seen["PutObject"]["ETag"]},
        lambda a: len(a["ETag"]) == 34,
    ),
    ("s3", "HeadObject", MANIFEST, lambda a: a["ContentLength"] == 10),
    ("s3", "GetObject", MANIFEST, lambda a: a["Body"] == "0123456789"),
    (
        "s3",
        "GetObject",
        {**MANIFEST, "Range": "bytes=2-4"},
        lambda a: (a["Body"], a["ContentRange"]) == ("234", "bytes 2-4/10"),
    ),
    (
        "s3",
        "ListObjectsV2",
        {"Bucket": BUCKET, "Prefix": "prod/"},
        lambda a: [(o["Key"], o["Size"]) for o in a["Contents"]] == [(MANIFEST["Key"], 10)],
    ),
]

# By the role for backups: the instance's own may not. Each has a test of its own.
BY_THE_BACKUP_ROLE = {
    "s3:CompleteMultipartUpload",
    "s3:CreateMultipartUpload",
    "s3:DeleteObject",
    "s3:UploadPart",
}
