//! What this double claims about S3, and how we know it.

use crate::assumptions::Behaviour;
use crate::assumptions::Known::{Assumed, Documented};

const fn documented(name: &'static str, what: &'static str, source: &'static str) -> Behaviour {
    Behaviour { name, what, known: Documented(source) }
}

const fn assumed(name: &'static str, what: &'static str, why: &'static str) -> Behaviour {
    Behaviour { name, what, known: Assumed(why) }
}

pub const BEHAVIOURS: &[Behaviour] = &[
    documented(
        "s3.put.atomic",
        "a PUT is seen whole or not at all; a read sees the last completed write",
        "S3 User Guide, data consistency model",
    ),
    documented(
        "s3.region",
        "a signature for another region is 400 AuthorizationHeaderMalformed, which names the right one",
        "S3 API reference, error responses",
    ),
    documented(
        "s3.put.if-none-match",
        "If-None-Match: * on a key that exists is 412 PreconditionFailed; any other value 501 NotImplemented",
        "S3 User Guide, conditional writes; API reference, PutObject",
    ),
    documented(
        "s3.put.if-match",
        "If-Match with another ETag is 412 PreconditionFailed, on a key that does not exist 404 NoSuchKey",
        "S3 User Guide, conditional writes",
    ),
    documented(
        "s3.put.if-match-needs-get",
        "If-Match on a write needs s3:GetObject besides s3:PutObject",
        "S3 User Guide, conditional writes",
    ),
    documented(
        "s3.put.conflict",
        "409 ConditionalRequestConflict for a conditional write that races another: by fault only",
        "S3 User Guide, conditional writes",
    ),
    assumed(
        "s3.put.race",
        "of racing conditional writers one wins and the others get 412",
        "409 is possible at the real service too; both mean that the writer lost and must read again",
    ),
    documented(
        "s3.put.bad-digest",
        "a body that differs from its MD5 or checksum is 400 BadDigest and nothing is stored",
        "API reference, error responses; S3 User Guide, checking object integrity",
    ),
    documented(
        "s3.put.content-sha256",
        "a body that differs from x-amz-content-sha256 is 400 XAmzContentSHA256Mismatch",
        "API reference, error responses",
    ),
    documented(
        "s3.put.checksum-default",
        "CRC64NVME is computed and kept where the client named no checksum",
        "S3 User Guide, checking object integrity",
    ),
    documented(
        "s3.etag",
        "the ETag is the hex MD5 of the body; of an upload in parts the MD5 of their MD5s and -N",
        "API reference, Object",
    ),
    assumed(
        "s3.etag.kms",
        "the ETag is the MD5 for aws:kms objects as well",
        "the real one is no MD5 then; nothing may rely on what an ETag is computed from",
    ),
    documented(
        "s3.sse",
        "objects are encrypted with AES256 by default; aws:kms and its key id are kept and returned",
        "S3 User Guide, default bucket encryption",
    ),
    documented(
        "s3.sse.permissions",
        "writing with aws:kms needs kms:GenerateDataKey, reading kms:Decrypt, on the key",
        "S3 User Guide, using SSE-KMS",
    ),
    documented(
        "s3.sse.demanded",
        "where the bucket's policy wants aws:kms, PutObject, CopyObject and CreateMultipartUpload without it are 403 AccessDenied",
        "S3 User Guide, using SSE-KMS: a bucket policy that requires it",
    ),
    documented(
        "s3.get.missing",
        "a missing key is 404 NoSuchKey for who has s3:ListBucket, else 403 AccessDenied",
        "API reference, GetObject and HeadObject",
    ),
    documented(
        "s3.get.missing-prefix",
        "for that question the key counts as s3:prefix",
        "measured by the author of kopia pull request 3072 with a policy limited to a prefix",
    ),
    documented(
        "s3.get.range",
        "ranges give 206 with Content-Range; a range past the end is 416 InvalidRange",
        "API reference, GetObject; RFC 9110",
    ),
    documented(
        "s3.get.conditions",
        "If-Match that fails is 412, If-None-Match that fails is 304",
        "API reference, GetObject",
    ),
    documented(
        "s3.get.checksum",
        "checksums are returned for x-amz-checksum-mode: ENABLED, not for ranges",
        "API reference, GetObject",
    ),
    documented("s3.head.error", "an error to HEAD has no body", "API reference, HeadObject"),
    documented(
        "s3.list.page",
        "at most 1000 entries a page, whatever was asked for; common prefixes count as entries",
        "API reference, ListObjectsV2",
    ),
    assumed(
        "s3.list.token",
        "a continuation token stands for the last entry of the page before",
        "tokens are opaque; clients may only hand them back",
    ),
    documented(
        "s3.multipart",
        "parts of at least 5 MiB but the last, ascending, with their ETags; unknown ones are InvalidPart",
        "API reference, CompleteMultipartUpload",
    ),
    documented(
        "s3.multipart.error-in-200",
        "CompleteMultipartUpload may answer 200 with an error document: by a fault with status 200",
        "API reference, CompleteMultipartUpload",
    ),
    documented(
        "s3.multipart.checksum",
        "checksums of parts give a COMPOSITE checksum, CRC64NVME a FULL_OBJECT one",
        "S3 User Guide, checking object integrity",
    ),
    documented(
        "s3.throttled",
        "503 SlowDown: Please reduce your request rate.",
        "API reference, error responses",
    ),
    assumed(
        "s3.bucket.order",
        "a bucket that does not exist is NoSuchBucket before any permission is asked",
        "the owner of a bucket that does not exist has no policy to ask",
    ),
    assumed(
        "s3.server-unsigned",
        "in direct mode the server's own client goes on unsigned while nobody vends it credentials, and is refused",
        "minio-go falls back to anonymous requests; of a killed agent's server this is no act of the agent",
    ),
    assumed("s3.versions", "buckets have no versioning; no version ids are sent", "the agent needs none"),
    assumed(
        "s3.checksum.more",
        "SHA-512, MD5 and XXHASH checksums are not computed",
        "the SDK that the agent uses sends CRC32 unless told otherwise",
    ),
    assumed(
        "s3.reads.stale",
        "by fault only: a read sees the state before the last change, or nothing",
        "S3 itself is strongly consistent; S3-compatible stores and caches are not",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_given_once() {
        let names: std::collections::BTreeSet<_> = BEHAVIOURS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), BEHAVIOURS.len());
    }
}
