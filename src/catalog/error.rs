//! Why backups cannot be listed, proven or removed.

use thiserror::Error;

use crate::explain::{Class, Explain};
use crate::manifest::ManifestError;
use crate::restore::RestoreError;
use crate::store::StoreError;

#[derive(Debug, Error)]
pub enum CatalogError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error("s3://{bucket}/{prefix} holds no backup {id}")]
    Unknown { bucket: String, prefix: String, id: String },
    #[error("s3://{bucket}/{prefix} holds no manifest that names a backup")]
    NoneNamed { bucket: String, prefix: String },
    #[error("the backup {id} has no manifest, so nothing says what its bytes were")]
    NoManifest { id: String },
    #[error("the backup {id} is not whole: {why}")]
    NotWhole { id: String, why: String },
    #[error("s3://{bucket}/{key} names {named}, in a form without checksums")]
    NamesAnother { bucket: String, key: String, named: String },
    #[error("the backup {id} is damaged: {}{}", first(.wrong), more(.wrong))]
    Damaged { id: String, wrong: Vec<String> },
    /// Older ones may be all that is left.
    #[error("nothing is removed while the latest backup {id} is not whole: {}{}", first(.wrong), more(.wrong))]
    LatestNotWhole { id: String, wrong: Vec<String> },
    #[error("what a booting node reads is not known: the lease s3://{bucket}/{key} cannot be read: {what}")]
    Lease { bucket: String, key: String, what: String },
}

fn first(wrong: &[String]) -> &str {
    wrong.first().map_or("its objects are not those of its manifest", String::as_str)
}

fn more(wrong: &[String]) -> String {
    match wrong.len() {
        0 | 1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    }
}

impl Explain for CatalogError {
    fn class(&self) -> Class {
        match self {
            Self::Store(error) => error.class(),
            Self::Manifest(error) => error.class(),
            Self::Restore(error) => error.class(),
            Self::Unknown { .. }
            | Self::NoneNamed { .. }
            | Self::NoManifest { .. }
            | Self::NotWhole { .. }
            | Self::NamesAnother { .. }
            | Self::Damaged { .. }
            | Self::LatestNotWhole { .. }
            | Self::Lease { .. } => Class::Final,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Store(error) => error.remedy(),
            Self::Manifest(error) => error.remedy(),
            Self::Restore(error) => error.remedy(),
            Self::Unknown { .. } => "See which there are: `weaviate-provisioner list`.".to_owned(),
            Self::NoneNamed { .. } => {
                "Check `backup.bucket` and `backup.prefix`; `weaviate-provisioner list` shows what is there."
                    .to_owned()
            }
            Self::NoManifest { id } => format!(
                "Adopt it first, which reads every byte and writes down what they are: `weaviate-provisioner adopt {id}`."
            ),
            Self::NotWhole { .. } => {
                "Bring what it lacks back from the bucket's versions or from a replica, or adopt another one."
                    .to_owned()
            }
            Self::NamesAnother { named, .. } => format!(
                "Adopt {named}, or remove that object first: the next boot follows what it names."
            ),
            Self::Damaged { .. } => {
                "Bring the objects in the details back from the bucket's versions or from a replica, or make another \
                 backup while the node serves: `weaviate-provisioner backup --full`."
                    .to_owned()
            }
            Self::LatestNotWhole { .. } => "Make another backup that is whole, and prune then: \
                                            `weaviate-provisioner backup --full`."
                .to_owned(),
            Self::Lease { .. } => {
                "Remove that object once no instance is booting; the agent writes another one.".to_owned()
            }
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::Store(error) => error.details(),
            Self::Manifest(error) => error.details(),
            Self::Restore(error) => error.details(),
            Self::Damaged { wrong, .. } | Self::LatestNotWhole { wrong, .. } => {
                wrong.iter().take(100).cloned().collect()
            }
            Self::Unknown { .. }
            | Self::NoneNamed { .. }
            | Self::NoManifest { .. }
            | Self::NotWhole { .. }
            | Self::NamesAnother { .. }
            | Self::Lease { .. } => Vec::new(),
        }
    }
}
