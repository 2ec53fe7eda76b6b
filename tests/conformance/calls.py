"""Every call to a service: made here and nowhere else, with timeouts, few retries, and no way to another endpoint."""

import dataclasses
import os
import random
import urllib.parse

import boto3
import botocore
import botocore.config
import botocore.exceptions
import botocore.parsers

# All that is ever called. The plan prints it; a call that is not in it is a mistake of this program.
CALLS = {
    "autoscaling": """CompleteLifecycleAction CreateAutoScalingGroup DeleteAutoScalingGroup DescribeAutoScalingGroups
        DescribeAutoScalingInstances DescribeLifecycleHooks RecordLifecycleActionHeartbeat SuspendProcesses""".split(),
    "ec2": """AttachNetworkInterface CreateLaunchTemplate CreateNetworkInterface DeleteLaunchTemplate
        DeleteNetworkInterface DescribeInstances DescribeLaunchTemplates DescribeNetworkInterfaces
        DetachNetworkInterface GetConsoleOutput ModifyNetworkInterfaceAttribute RunInstances
        TerminateInstances""".split(),
    "iam": "CreateRole DeleteRole DeleteRolePolicy GetRole PutRolePolicy".split(),
    "s3": """CreateBucket DeleteBucket DeleteObject GetBucketVersioning GetObject HeadBucket HeadObject
        ListObjectsV2 PutObject""".split(),
    "ssm": ["GetParameter"],
    "sts": ["AssumeRole", "GetCallerIdentity"],
}
THROTTLED = {"RequestLimitExceeded", "Throttling", "ThrottlingException", "SlowDown"}
TRIES = 4
SILENT = (
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.ConnectionError,
    botocore.parsers.ResponseParserError,
)


class Elsewhere(Exception):
    """A request was about to leave for an endpoint that was not given."""


class Unanswered(Exception):
    """No answer, after all retries."""


class Refused(Exception):
    """A call that had to succeed did not."""

    def __init__(self, call, answer):
        super().__init__(f"{call} was refused: {answer.code}: {answer.text}")
        self.code = answer.code


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    code: str
    text: str
    body: dict

    @property
    def ok(self):
        return self.status < 300


def at_once(request, **_):
    del request.headers["Expect"]


class Calls:
    def __init__(self, region, endpoints, pace, keys=None):
        """`endpoints`: {} for AWS itself, else the address of every service, with "" for those not named."""
        self.region, self.endpoints, self.pace = region, endpoints, pace
        self.allowed = {urllib.parse.urlsplit(url).netloc for url in endpoints.values()}
        if endpoints and keys is None:
            # The usual search for credentials may ask services of its own.
            names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
            if not all(os.environ.get(name) for name in names):
                raise Elsewhere("--endpoint takes its credentials from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only")
            keys = (*(os.environ[name] for name in names), os.environ.get("AWS_SESSION_TOKEN"))
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        self.session = boto3.Session(region_name=region, **dict(zip(names, keys or ())))
        self.clients = {}

    def paced(self, pace):
        """The same, on other time."""
        other = object.__new__(Calls)
        other.__dict__.update(self.__dict__, pace=pace)
        return other

    def role(self, credentials):
        keys = tuple(credentials[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
        return Calls(self.region, self.endpoints, self.pace, keys)

    def client(self, service, read_timeout=20.0):
        found = self.clients.get((service, read_timeout))
        if found:
            return found
        config = botocore.config.Config(
            retries={"total_max_attempts": 1},
            connect_timeout=10,
            read_timeout=read_timeout,
            max_pool_connections=16,
            ignore_configured_endpoint_urls=True,
            s3={"addressing_style": "path"} if self.endpoints else {},
        )
        url = self.endpoints.get(service, self.endpoints.get(""))
        made = self.session.client(service, endpoint_url=url, config=config)
        made.meta.events.register("before-send", self.guard)
        # Bodies of a few bytes need no leave to be sent, and writers that race should not wait for it.
        made.meta.events.register("before-sign.s3.PutObject", at_once)
        self.clients[service, read_timeout] = made
        return made

    def guard(self, request, **_):
        """A redirect must not lead out of the given endpoints, nor may anything else."""
        host = urllib.parse.urlsplit(request.url).netloc
        if self.endpoints and host not in self.allowed:
            raise Elsewhere(f"a request for {host}, which is none of the given endpoints")

    def once(self, service, operation, parameters, read_timeout=20.0):
        if operation not in CALLS[service]:
            raise AssertionError(f"{service}:{operation} is not in the plan")
        self.pace.check()
        method = getattr(self.client(service, read_timeout), botocore.xform_name(operation))
        try:
            body = method(**parameters)
            return Answer(body["ResponseMetadata"]["HTTPStatusCode"], "", "", body)
        except botocore.exceptions.ClientError as refusal:
            body = refusal.response
            error = body.get("Error", {})
            status = body.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
            return Answer(max(status, 300), error.get("Code", ""), error.get("Message", ""), body)

    def ask(self, service, operation, **parameters):
        """The answer, whatever it says. Tried again when the service is busy or silent."""
        for left in reversed(range(TRIES)):
            try:
                answer = self.once(service, operation, parameters)
                if not left or not (answer.code in THROTTLED or answer.status >= 500 and answer.status != 501):
                    return answer
            except SILENT as error:
                if not left:
                    raise Unanswered(f"{service}:{operation} has no answer: {type(error).__name__}") from error
            except botocore.exceptions.BotoCoreError as error:
                # It never left: no credentials, say.
                raise Unanswered(f"{service}:{operation} could not be asked: {error}") from error
            self.pace.sleep(2 ** (TRIES - 1 - left) * random.uniform(0.25, 0.5))
        raise AssertionError("the last try returns")

    def must(self, service, operation, *, unless=(), **parameters):
        """The answer's body; refused with a code of `unless`: None."""
        answer = self.ask(service, operation, **parameters)
        if answer.ok:
            return answer.body
        if answer.code in unless:
            return None
        raise Refused(f"{service}:{operation}", answer)

    def hang_up(self, service, operation, after, **parameters):
        """Asks and goes away after so many seconds. Whether it was gone before the answer came."""
        try:
            self.once(service, operation, parameters, read_timeout=after)
        except botocore.exceptions.ReadTimeoutError:
            return True
        return False
