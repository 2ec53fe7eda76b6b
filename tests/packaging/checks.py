"""What must hold of the template, each as a function from a stack to its findings: none is right.

To add one: a function here and its row in `CHECKS`, and in test_template.py the change that it must catch.
"""

import json

from template import PARAMETERS, PSEUDO, TEMPLATE, shipped_policy

# What CreateStack takes as a text (AWS CloudFormation User Guide, quotas).
TEMPLATE_BYTES = 51_200
# Before it is encoded (Amazon EC2 User Guide, instance user data).
USER_DATA_BYTES = 16_384
PORTS = {"true": {8080, 50051}, "false": {8080}}


def data(stack):
    return stack.properties("LaunchTemplate")["LaunchTemplateData"]


def of_type(stack, kind):
    resources = stack.template["Resources"].items()
    return [name for name, about in resources if about["Type"] == kind and stack.exists(name)]


def only_clients_come_in(stack):
    """The address has its clients' groups on its ports, the primary interface nobody, and no rule lies elsewhere."""
    clients = stack.parameters["Clients"].split(",")
    wanted = {(client, port) for client in clients for port in PORTS[stack.parameters["Grpc"]]}
    for name in of_type(stack, "AWS::EC2::SecurityGroup"):
        rules = stack.properties(name).get("SecurityGroupIngress", [])
        found = set()
        for rule in rules:
            extra = set(rule) - {"Description", "IpProtocol", "FromPort", "ToPort", "SourceSecurityGroupId"}
            if extra or rule["IpProtocol"] != "tcp" or rule["FromPort"] != rule["ToPort"]:
                yield f"{name} has {rule}"
            found.add((rule.get("SourceSecurityGroupId"), rule["FromPort"]))
        if found != (wanted if name == "AddressGroup" else set()):
            yield f"{name} lets in {found}"
    for kind in ("AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress"):
        yield from of_type(stack, kind)
    for name in of_type(stack, "AWS::EC2::NetworkInterface"):
        if stack.properties(name)["GroupSet"] != ["<AddressGroup>"]:
            yield f"{name} is in other groups"
    interfaces = data(stack)["NetworkInterfaces"]
    if [(i["AssociatePublicIpAddress"], i["Groups"]) for i in interfaces] != [(False, ["<InstanceGroup>"])]:
        yield f"the instance has {interfaces}"


def metadata_is_for_the_host(stack):
    wanted = {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    found = data(stack)["MetadataOptions"]
    if {key: found.get(key) for key in wanted} != wanted or found.get("InstanceMetadataTags") == "enabled":
        yield f"the metadata has {found}"


def disks_are_encrypted(stack):
    devices = data(stack)["BlockDeviceMappings"]
    if [d["DeviceName"] for d in devices if d["Ebs"].get("Encrypted") is True] != [stack.parameters["RootDevice"]]:
        yield f"the disks are {devices}"


def tags_are_what_the_policy_is_bound_to(stack):
    wanted = {"weaviate:deployment": stack.parameters["Deployment"], "weaviate:node": stack.parameters["Node"]}
    places = {name: stack.properties(name)["Tags"] for name in of_type(stack, "AWS::EC2::NetworkInterface")}
    places["BackupRole"] = stack.properties("BackupRole")["Tags"]
    by_kind = {spec["ResourceType"]: spec["Tags"] for spec in data(stack)["TagSpecifications"]}
    places["instance"] = by_kind.get("instance", [])
    for place, tags in places.items():
        found = {tag["Key"]: tag["Value"] for tag in tags}
        if {key: found.get(key) for key in wanted} != wanted:
            yield f"{place} has the tags {found}"
    # An agent that looks for the address by tags would find the primary interface too.
    if "network-interface" in by_kind:
        yield "the primary interface has tags"
    # The instance's role may assume what has that tag.
    if any(tag["Key"] == "weaviate:deployment" for tag in stack.properties("InstanceRole")["Tags"]):
        yield "the instance role may assume itself"


def one_instance_and_the_old_one_first(stack):
    group = stack.properties("Group")
    if {str(group[size]) for size in ("MinSize", "MaxSize", "DesiredCapacity")} != {"1"}:
        yield "the group is not one instance"
    if group.get("InstanceMaintenancePolicy") != {"MinHealthyPercentage": 0, "MaxHealthyPercentage": 100}:
        yield f"the group replaces by {group.get('InstanceMaintenancePolicy')}"
    if len(group["VPCZoneIdentifier"]) != 1:
        yield "the group has several zones, and the address cannot leave its own"
    about = stack.template["Resources"]["Group"]
    if "UpdatePolicy" in about:
        yield "an update of the stack replaces the node"


def the_first_instance_waits(stack):
    """The hooks lie in the group itself, and the configuration names the one for launches."""
    hooks = {hook["LifecycleHookName"]: hook for hook in stack.properties("Group")["LifecycleHookSpecificationList"]}
    launch = hooks.pop("weaviate-ready", {})
    wanted = ("autoscaling:EC2_INSTANCE_LAUNCHING", "ABANDON")
    if (launch.get("LifecycleTransition"), launch.get("DefaultResult")) != wanted:
        yield f"the launch hook is {launch}"
    # From the launch to the agent's first sign of life; a hook's whole time is a hundred times this, and no more than
    # 48 hours (Amazon EC2 Auto Scaling API, PutLifecycleHook).
    if not 600 <= launch.get("HeartbeatTimeout", 0) <= 1728:
        yield f"the launch hook waits {launch.get('HeartbeatTimeout')} s"
    if of_type(stack, "AWS::AutoScaling::LifecycleHook"):
        yield "a hook of its own comes after the first instance"
    terminating = {hook["LifecycleTransition"] for hook in hooks.values()}
    present = stack.parameters["TerminateHook"] == "present"
    if terminating != ({"autoscaling:EC2_INSTANCE_TERMINATING"} if present else set()):
        yield f"besides there are {hooks}"


def somebody_is_told(stack):
    group = stack.properties("Group")
    told = {kind for entry in group["NotificationConfigurations"] for kind in entry["NotificationTypes"]}
    events = ("LAUNCH", "LAUNCH_ERROR", "TERMINATE", "TERMINATE_ERROR")
    if told != {f"autoscaling:EC2_INSTANCE_{event}" for event in events}:
        yield f"of the group's life only {told}"
    measured = {metric for entry in group["MetricsCollection"] for metric in entry["Metrics"]}
    alarms = {}
    for name in of_type(stack, "AWS::CloudWatch::Alarm"):
        alarm = stack.properties(name)
        alarms[alarm["MetricName"]] = alarm
        if alarm["AlarmActions"] != ["<Topic>"]:
            yield f"{name} tells nobody"
        if alarm["Dimensions"] != [{"Name": "AutoScalingGroupName", "Value": "<Group>"}]:
            yield f"{name} looks at {alarm['Dimensions']}"
    if set(alarms) != {"GroupInServiceInstances", "StatusCheckFailed"}:
        yield f"alarms are {set(alarms)}"
    elif (
        "GroupInServiceInstances" not in measured
        or alarms["GroupInServiceInstances"]["TreatMissingData"] != "breaching"
    ):
        yield "a group that is not measured looks well"


def nothing_current_expires(stack):
    """A live chain holds backups of any age."""
    for name in of_type(stack, "AWS::S3::Bucket"):
        rules = stack.properties(name)["LifecycleConfiguration"]["Rules"]
        if [name for rule in rules if rule["Status"] != "Enabled"]:
            yield "a rule is off"
        allowed = {
            "Id",
            "Status",
            "AbortIncompleteMultipartUpload",
            "NoncurrentVersionExpiration",
            "ExpiredObjectDeleteMarker",
        }
        yield from (f"{rule['Id']} has {set(rule) - allowed}" for rule in rules if set(rule) - allowed)
        for needed in allowed - {"Id", "Status"}:
            if not any(needed in rule for rule in rules):
                yield f"no rule has {needed}"
        days = [r["NoncurrentVersionExpiration"]["NoncurrentDays"] for r in rules if "NoncurrentVersionExpiration" in r]
        if any(int(day) < 30 for day in days):
            yield f"versions go after {days} days"


def the_bucket_is_closed(stack):
    for name in of_type(stack, "AWS::S3::Bucket"):
        bucket = stack.properties(name)
        if (
            set(bucket["PublicAccessBlockConfiguration"].values()) != {True}
            or len(bucket["PublicAccessBlockConfiguration"]) != 4
        ):
            yield "it may be public"
        if bucket["VersioningConfiguration"] != {"Status": "Enabled"}:
            yield "it keeps no versions"
        if bucket["OwnershipControls"]["Rules"] != [{"ObjectOwnership": "BucketOwnerEnforced"}]:
            yield "a writer may own what it writes"
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        if rule["ServerSideEncryptionByDefault"] != {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "<Key.Arn>"}:
            yield f"it encrypts with {rule}"
    if stack.properties("Key")["EnableKeyRotation"] is not True:
        yield "its key never changes"


def what_holds_data_outlives_the_stack(stack):
    for name in ("Bucket", "Key", "Address", "AddressGroup"):
        about = stack.template["Resources"][name]
        if (about.get("DeletionPolicy"), about.get("UpdateReplacePolicy")) != ("RetainExceptOnCreate", "Retain"):
            yield f"{name} goes with the stack"


def policies_are_the_shipped_ones(stack):
    """Also: the roles have no others, the package's is about one object, sessions and a source are there only by name."""
    package = f"arn:aws:s3:::{PARAMETERS['PackageBucket']}/{PARAMETERS['PackageKey']}"
    wanted = {
        "InstanceRole": {"node": shipped_policy("iam-instance.json"), "package": None},
        "BackupRole": {"backup": shipped_policy("iam-backup.json")},
    }
    if stack.parameters["Sessions"] == "present":
        wanted["InstanceRole"]["sessions"] = None
    if stack.parameters["SourceBucket"]:
        source = [stack.parameters[name] for name in ("SourceRegion", "SourceBucket", "SourcePrefix")]
        wanted["InstanceRole"]["source"] = shipped_policy("iam-source.json", *source)
    for role, documents in wanted.items():
        properties = stack.properties(role)
        if "ManagedPolicyArns" in properties:
            yield f"{role} has {properties['ManagedPolicyArns']}"
        found = {policy["PolicyName"]: policy["PolicyDocument"] for policy in properties["Policies"]}
        if set(found) != set(documents):
            yield f"{role} has the policies {set(found)}"
        for name, document in documents.items():
            if document is not None and found.get(name) != document:
                yield f"{role}: {name} is not what packaging/ has"
    statements = found_package(stack)["Statement"]
    if [(s["Effect"], s["Action"], s["Resource"]) for s in statements] != [("Allow", "s3:GetObject", package)]:
        yield f"for the package the instance may {statements}"
    if stack.properties("ReadOnlyPolicy")["PolicyDocument"] != shipped_policy("iam-read-only.json"):
        yield "ReadOnlyPolicy is not what packaging/ has"
    yield from set(of_type(stack, "AWS::IAM::Policy"))
    trusted = {role: stack.properties(role)["AssumeRolePolicyDocument"]["Statement"] for role in wanted}
    if [s["Principal"] for s in trusted["InstanceRole"]] != [{"Service": "ec2.amazonaws.com"}]:
        yield "others than EC2 have the instance's role"
    if [s["Principal"] for s in trusted["BackupRole"]] != [{"AWS": "<InstanceRole.Arn>"}]:
        yield "others than the instance have the backup role"


def found_package(stack):
    policies = stack.properties("InstanceRole")["Policies"]
    return {policy["PolicyName"]: policy["PolicyDocument"] for policy in policies}.get("package", {"Statement": []})


def keys_are_safe_to_carry(stack):
    for name in of_type(stack, "AWS::SecretsManager::Secret"):
        secret = stack.properties(name)
        made = secret.get("GenerateSecretString", {})
        if "SecretString" in secret or not made.get("ExcludePunctuation") or made.get("IncludeSpace") is not False:
            yield f"{name} is made by {made}"
        # Letters and digits have almost 6 bits each.
        if made.get("PasswordLength", 0) < 43:
            yield f"{name} has fewer than 256 bits"
        if f'"sm:{secret["Name"]}"' not in stack.user_data():
            yield f"no configuration names {name}"
        # The instance role's policy is about names like this.
        if not secret["Name"].startswith("weaviate/"):
            yield f"the role cannot read {name}"
    if len(of_type(stack, "AWS::SecretsManager::Secret")) != 3:
        yield "there are not three keys"


def the_topic_is_for_this_account(stack):
    for statement in stack.properties("TopicPolicy")["PolicyDocument"]["Statement"]:
        foreign = statement["Principal"] not in ({"AWS": f"arn:aws:iam::{PSEUDO['AWS::AccountId']}:root"},)
        bound = statement.get("Condition") == {"StringEquals": {"aws:SourceAccount": PSEUDO["AWS::AccountId"]}}
        if statement["Effect"] == "Allow" and foreign and not bound:
            yield f"{statement['Sid']} lets others publish"


def limits_are_kept(stack):
    if (size := len(TEMPLATE.read_bytes())) > TEMPLATE_BYTES:
        yield f"the template has {size} bytes"
    if (size := len(stack.user_data().encode())) > USER_DATA_BYTES:
        yield f"the UserData has {size} bytes"
    for name in ("InstanceRole", "BackupRole"):
        # All inline policies of a role together, without white space (AWS IAM User Guide, quotas).
        size = len(json.dumps(stack.properties(name)["Policies"], separators=(",", ":")))
        if size > 10_240:
            yield f"{name} has {size} bytes of policies"
    # A managed one.
    if (size := len(json.dumps(stack.properties("ReadOnlyPolicy")["PolicyDocument"], separators=(",", ":")))) > 6_144:
        yield f"ReadOnlyPolicy has {size} bytes"


CHECKS = [
    only_clients_come_in,
    metadata_is_for_the_host,
    disks_are_encrypted,
    tags_are_what_the_policy_is_bound_to,
    one_instance_and_the_old_one_first,
    the_first_instance_waits,
    somebody_is_told,
    nothing_current_expires,
    the_bucket_is_closed,
    what_holds_data_outlives_the_stack,
    policies_are_the_shipped_ones,
    keys_are_safe_to_carry,
    the_topic_is_for_this_account,
    limits_are_kept,
]
