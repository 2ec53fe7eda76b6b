//! Why a manifest cannot be followed or taken.

use thiserror::Error;

use crate::explain::{Class, Explain};
use crate::store::StoreError;

#[derive(Debug, Error)]
pub enum ManifestError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the manifest s3://{bucket}/{key} is malformed: {what}")]
    Malformed { bucket: String, key: String, what: String },
    #[error("the manifest s3://{bucket}/{key} has schema {schema}, which this version does not know")]
    Schema { bucket: String, key: String, schema: String },
    #[error("the manifest s3://{bucket}/{key} is corrupt: its checksum is not that of its list of objects")]
    Checksum { bucket: String, key: String },
    #[error("the manifest s3://{bucket}/{key} belongs to node {node:?} of deployment {deployment:?}")]
    Foreign { bucket: String, key: String, deployment: String, node: String },
    #[error(
        "this instance is no longer the owner: {owner} holds generation {generation} of s3://{bucket}/{key}"
    )]
    Lost { bucket: String, key: String, owner: String, generation: u64 },
    #[error(
        "the manifest s3://{bucket}/{key} moved on to generation {generation}, backup {backup}, after it was \
             restored"
    )]
    Moved { bucket: String, key: String, generation: u64, backup: String },
    #[error("the manifest s3://{bucket}/{key} vanished after it was restored")]
    Vanished { bucket: String, key: String },
    #[error("the manifest s3://{bucket}/{key} could not be taken before the deadline")]
    Deadline { bucket: String, key: String },
    #[error("s3://{bucket}/{key} does not read back as it was written")]
    ReadBack { bucket: String, key: String },
    #[error("the volume's record of generation {generation} cannot be written")]
    Record { generation: u64, source: Box<dyn std::error::Error + Send + Sync> },
}

impl Explain for ManifestError {
    fn class(&self) -> Class {
        match self {
            Self::Store(error) => error.class(),
            Self::Moved { .. } | Self::Deadline { .. } | Self::ReadBack { .. } | Self::Record { .. } => {
                Class::Retry
            }
            Self::Malformed { .. }
            | Self::Schema { .. }
            | Self::Checksum { .. }
            | Self::Foreign { .. }
            | Self::Lost { .. }
            | Self::Vanished { .. } => Class::Final,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Store(error) => error.remedy(),
            Self::Malformed { bucket, .. } | Self::Checksum { bucket, .. } => format!(
                "Copy the newest of s3://{bucket}/…/{} over it, without owner and nonce added, or remove it: \
                 the newest copy is used then.",
                super::COPIES
            ),
            Self::Schema { .. } => "Install the version of weaviate-provisioner that wrote it.".to_owned(),
            Self::Foreign { .. } => {
                "Check `node.deployment`, `node.name` and `backup.prefix`: each node needs a prefix of its own, and \
                 another environment's backup is restored where `restore.from` names exactly that one."
                    .to_owned()
            }
            Self::Lost { owner, .. } => {
                format!("Nothing is lost: {owner} serves now. Terminate this instance.")
            }
            Self::Moved { .. } => "Run again: the newer backup is restored then.".to_owned(),
            Self::Vanished { .. } => {
                "See who removed it; restore it from the bucket's versions or from its copies.".to_owned()
            }
            Self::Deadline { .. } => "It is tried again by the next run; look at the store's health.".to_owned(),
            Self::ReadBack { .. } => {
                "It is tried again; if it stays, look for somebody else who writes this key.".to_owned()
            }
            Self::Record { .. } => "Check the data volume: `df`, `dmesg`.".to_owned(),
        }
    }
}
