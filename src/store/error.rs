//! What can go wrong between this program and the bucket. Every variant names bucket and key.

use std::path::PathBuf;

use thiserror::Error;

use crate::aws::{CallError, Kind};
use crate::explain::{Class, Explain};

#[derive(Debug, Error)]
pub enum StoreError {
    #[error("there is no object s3://{bucket}/{key}")]
    Absent { bucket: String, key: String },
    #[error("there is no bucket {bucket}")]
    NoBucket { bucket: String },
    #[error("{operation} on s3://{bucket}/{key} is not allowed")]
    Denied { operation: &'static str, bucket: String, key: String, source: CallError },
    /// Not the instance role's, which are renewed by themselves.
    #[error("the store of {bucket} does not take the keys of `backup.credentials`")]
    Keys { bucket: String, source: CallError },
    /// 412: the object is not, or no longer, what the condition says.
    #[error("s3://{bucket}/{key} was changed by somebody else")]
    Precondition { bucket: String, key: String },
    /// 409: two conditional writes at the same time; S3 asks to send it again.
    #[error("a conditional write of s3://{bucket}/{key} met another one")]
    Conflict { bucket: String, key: String },
    #[error("{operation} on s3://{bucket}/{key} got no usable answer")]
    Unreachable { operation: &'static str, bucket: String, key: String, source: CallError },
    #[error("{operation} on s3://{bucket}/{key} was refused")]
    Refused { operation: &'static str, bucket: String, key: String, source: CallError },
    /// The body ended early, or no byte came for too long, and asking again did not help.
    #[error("s3://{bucket}/{key} cannot be read further than byte {at}: {why}")]
    Interrupted { bucket: String, key: String, at: u64, why: String },
    /// The bytes are not those that were backed up.
    #[error("s3://{bucket}/{key} is corrupt: {what}")]
    Corrupt { bucket: String, key: String, what: String },
    #[error("s3://{bucket}/{key} has {mib} MiB, and at most {most} MiB are read")]
    TooLarge { bucket: String, key: String, mib: u64, most: u64 },
    #[error(
        "the listing of s3://{bucket}/{prefix} ends in its middle: truncated, and without a continuation token"
    )]
    HalfListed { bucket: String, prefix: String },
    /// It would let two owners write the manifest.
    #[error("the store of s3://{bucket} overwrites {key} although the write was conditional")]
    Unconditional { bucket: String, key: String },
    #[error("the local file {path} cannot be {verb}")]
    Local { verb: &'static str, path: PathBuf, source: std::io::Error },
    /// What was sent may be of two times.
    #[error("the file {path} was written to while it was sent")]
    Changed { path: PathBuf },
}

impl StoreError {
    /// Bytes with another hash than when they were backed up.
    pub(crate) fn other_hash(bucket: &str, key: &str, found: &str, wanted: &str) -> Self {
        Self::Corrupt {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            what: format!("its SHA-256 is {found}, not {wanted} as when it was backed up"),
        }
    }

    /// The store was asked too much, and said so.
    pub(super) const fn is_throttled(&self) -> bool {
        matches!(self, Self::Unreachable { source: CallError { kind: Kind::Throttled, .. }, .. })
    }

    /// Makes the error of one call on one object.
    pub(super) fn of(operation: &'static str, bucket: &str, key: &str, source: CallError) -> Self {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        match (source.kind, source.code.as_str()) {
            // A conditional PUT on a key that is gone is 404 NoSuchKey. An answer without a body, as a proxy before
            // another store may give it, has its status for a code.
            (_, "NoSuchKey" | "NotFound" | "404") => Self::Absent { bucket, key },
            (_, "NoSuchBucket") => Self::NoBucket { bucket },
            (_, "PreconditionFailed" | "412") => Self::Precondition { bucket, key },
            (_, "ConditionalRequestConflict" | "409") => Self::Conflict { bucket, key },
            (Kind::Denied, _) | (_, "Forbidden" | "403" | "AllAccessDisabled") => {
                Self::Denied { operation, bucket, key, source }
            }
            (Kind::Refused, "RequestTimeout") => Self::Unreachable { operation, bucket, key, source },
            (Kind::Refused, _) => Self::Refused { operation, bucket, key, source },
            (Kind::Throttled | Kind::Service | Kind::Unreachable | Kind::Clock | Kind::Credentials, _) => {
                Self::Unreachable { operation, bucket, key, source }
            }
        }
    }
}

impl Explain for StoreError {
    fn class(&self) -> Class {
        match self {
            Self::Conflict { .. }
            | Self::Unreachable { .. }
            | Self::Interrupted { .. }
            | Self::Local { .. }
            | Self::Changed { .. } => Class::Retry,
            Self::Absent { .. }
            | Self::NoBucket { .. }
            | Self::Denied { .. }
            | Self::Keys { .. }
            | Self::Precondition { .. }
            | Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::HalfListed { .. }
            | Self::Unconditional { .. }
            | Self::Corrupt { .. } => Class::Final,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Absent { .. } => "Check `backup.bucket` and `backup.prefix`, or `restore.from`, or restore the \
                                    object from a version or a replica."
                .to_owned(),
            Self::NoBucket { .. } => {
                "Check `backup.bucket`, `backup.region` and `backup.endpoint`, or `restore.from`.".to_owned()
            }
            Self::Denied { operation, bucket, .. } => format!(
                "Allow {operation} on the bucket {bucket} and its prefix in the instance role's policy \
                 (packaging/iam-instance.json, and iam-source.json for `restore.from`), and look at the bucket's own policy and its KMS key; without \
                 s3:ListBucket an absent object looks like this too."
            ),
            Self::Keys { .. } => {
                "Mend the secrets that `backup.credentials` names: the store's own words are in the details."
                    .to_owned()
            }
            Self::Precondition { .. } => "See who else writes it: only the owner of the node may.".to_owned(),
            Self::Conflict { .. } => "It is tried again.".to_owned(),
            Self::Unreachable { source, .. } => match source.kind {
                Kind::Unreachable => {
                    "Check the route, DNS, the VPC endpoint for S3 and `backup.endpoint`.".to_owned()
                }
                Kind::Denied
                | Kind::Throttled
                | Kind::Service
                | Kind::Clock
                | Kind::Credentials
                | Kind::Refused => source.remedy(),
            },
            Self::TooLarge { .. } => "Check what it is: no manifest or descriptor of this program's or the server's \
                                      own making is so large."
                .to_owned(),
            Self::HalfListed { .. } => "Check `backup.endpoint`: the store does not list as S3 does.".to_owned(),
            Self::Unconditional { .. } => "Use a store that honours If-None-Match and If-Match on PUT, or a newer \
                                           version of this one: without them two nodes could own one manifest. \
                                           `backup.unfenced = true` takes that risk."
                .to_owned(),
            Self::Refused { .. } => "See the store's own words.".to_owned(),
            Self::Interrupted { .. } => {
                "Run again: what has arrived is kept. If it stays, look at the network to the store."
                    .to_owned()
            }
            Self::Corrupt { .. } => "Restore this object from a version or a replica, or restore an older \
                                     backup: name it in the manifest, or remove the manifest's newer copy."
                .to_owned(),
            Self::Local { path, .. } => format!("Check the file system that holds {}.", path.display()),
            Self::Changed { .. } => "Make another backup, and see who else writes into the backups' directory: the \
                                     server was done with it."
                .to_owned(),
        }
    }
}
