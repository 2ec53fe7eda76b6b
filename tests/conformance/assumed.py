"""The table: every behaviour that the world assumes, and how AWS is asked for it, or why it cannot be."""

import dataclasses

from . import probes_autoscaling, probes_ec2, probes_s3


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    what: str
    # A probe, or the reason why there is none.
    by: object

    @property
    def asked(self):
        return callable(self.by)


# In the order in which they are asked: while S3 is asked the instances come up, and the last one ends its own.
TABLE = [
    Row("s3.put.race", "of racing conditional writers one wins and the others get 412", probes_s3.probe_race),
    Row("s3.etag.kms", "the ETag is the MD5 for aws:kms objects as well", probes_s3.probe_etag_kms),
    Row("s3.list.token", "a continuation token stands for the last entry of the page before", probes_s3.probe_token),
    Row("s3.versions", "buckets have no versioning; no version ids are sent", probes_s3.probe_versions),
    Row("s3.checksum.more", "SHA-512, MD5 and XXHASH checksums are not computed", probes_s3.probe_checksums),
    Row(
        "s3.bucket.order",
        "a bucket that does not exist is NoSuchBucket before any permission is asked",
        probes_s3.probe_bucket_order,
    ),
    Row(
        "autoscaling.unknown-group",
        "ValidationError 'Lifecycle hook not found' or 'Group ... not found'",
        probes_autoscaling.probe_unknown,
    ),
    Row(
        "iam.order",
        "a resource that does not exist is reported as missing before the policy is asked",
        probes_ec2.probe_order,
    ),
    Row(
        "aws.act-after-hang-up",
        "a call takes effect although the client gave up waiting for its answer",
        probes_ec2.probe_hang_up,
    ),
    Row(
        "ec2.stale-read",
        "a stale read answers with each resource as it was before its own last change",
        probes_ec2.probe_stale_read,
    ),
    Row("ec2.detach.twice", "IncorrectState while the attachment is detaching already", probes_ec2.probe_detach_twice),
    Row("imds.throttled", "503 for a throttled request, 403 for a denied one", probes_ec2.probe_imds),
    Row(
        "autoscaling.abandon-at-launch",
        "the instance is terminated without its terminating hooks",
        probes_autoscaling.probe_abandon,
    ),
    Row(
        "autoscaling.short-heartbeat",
        "heartbeat timeouts under 30 s are accepted",
        "a convenience of the world, that cases be short; the range of the service is documented",
    ),
    Row(
        "machine.power-cut",
        "Everything dies at once; what an XFS had not synced is lost, and the root volume keeps all writes.",
        "about the world's own machine, whose root volume is a tmpfs",
    ),
    Row(
        "vpc.mapping",
        "The network knows where an address is from the attachment, not from ARP.",
        "no call shows it: two machines would have to look at each other's packets",
    ),
    Row("registry.open", "nobody is asked for credentials", "a registry of images is no service of AWS here"),
    Row(
        "registry.absent",
        "by fault only: a manifest or blob that is there is not found yet; stale means the same",
        "a registry of images is no service of AWS here; and it is a fault of the world's script",
    ),
    Row("registry.layer", "one layer in gzip without compression", "about an image that the world makes itself"),
    Row(
        "s3.server-unsigned",
        "in direct mode the server's own client goes on unsigned while nobody vends it credentials, and is refused",
        "about the server's client, not about S3",
    ),
    Row(
        "s3.reads.stale",
        "by fault only: a read sees the state before the last change, or nothing",
        "S3 documents that its reads are consistent; the fault is for S3-compatible stores",
    ),
]
