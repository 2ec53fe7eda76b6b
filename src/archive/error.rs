//! Why a backup cannot be brought into a file, or out of one.

use thiserror::Error;

use crate::catalog::CatalogError;
use crate::explain::{Class, Explain};
use crate::manifest::ManifestError;
use crate::restore::RestoreError;
use crate::store::StoreError;

#[derive(Debug, Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error("the archive {file} is none of this program's, or not whole: {what}")]
    Malformed { file: String, what: String },
    #[error(
        "{entry} of the archive {file} is corrupt: its SHA-256 is {found}, not {expected} as in its manifest"
    )]
    Corrupt { file: String, entry: String, found: String, expected: String },
    #[error("the archive {file} is of node {theirs:?}, and this is {ours:?}")]
    OtherNode { file: String, theirs: String, ours: String },
    #[error("s3://{bucket}/{prefix} holds a backup {id} already")]
    Exists { bucket: String, prefix: String, id: String },
    #[error("there is a file {file} already")]
    There { file: String },
    #[error("an archive from standard input needs a folder for one of its files at a time")]
    NoSpool,
    #[error("{path} cannot be {verb}")]
    Local { verb: &'static str, path: String, source: std::io::Error },
}

impl Explain for ArchiveError {
    fn class(&self) -> Class {
        match self {
            Self::Store(error) => error.class(),
            Self::Manifest(error) => error.class(),
            Self::Catalog(error) => error.class(),
            Self::Restore(error) => error.class(),
            Self::Local { .. } => Class::Retry,
            Self::Malformed { .. }
            | Self::Corrupt { .. }
            | Self::OtherNode { .. }
            | Self::Exists { .. }
            | Self::There { .. }
            | Self::NoSpool => Class::Final,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Store(error) => error.remedy(),
            Self::Manifest(error) => error.remedy(),
            Self::Catalog(error) => error.remedy(),
            Self::Restore(error) => error.remedy(),
            Self::Malformed { .. } => {
                "Take one that `weaviate-provisioner export` has written to its end.".to_owned()
            }
            Self::Corrupt { .. } => {
                "Take another copy of the archive: nothing of this one was made a backup of.".to_owned()
            }
            Self::OtherNode { theirs, .. } => format!(
                "Import it on a node with `node.name = {theirs:?}`: the server restores a backup by its node's name."
            ),
            Self::Exists { .. } => {
                "See what it is: `weaviate-provisioner list`; one of that name is never overwritten."
                    .to_owned()
            }
            Self::There { .. } => "Name another file, or remove that one first.".to_owned(),
            Self::NoSpool => "Name one with `--spool DIR`.".to_owned(),
            Self::Local { path, .. } => format!("Check {path}, and the space and the rights there."),
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::Store(error) => error.details(),
            Self::Manifest(error) => error.details(),
            Self::Catalog(error) => error.details(),
            Self::Restore(error) => error.details(),
            Self::Malformed { .. }
            | Self::Corrupt { .. }
            | Self::OtherNode { .. }
            | Self::Exists { .. }
            | Self::There { .. }
            | Self::NoSpool
            | Self::Local { .. } => Vec::new(),
        }
    }
}
