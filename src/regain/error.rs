//! Why collections do not come back into a server that serves.

use thiserror::Error;

use crate::catalog::CatalogError;
use crate::explain::{Class, Explain};
use crate::restore::RestoreError;
use crate::store::StoreError;
use crate::weaviate::WeaviateError;

#[derive(Debug, Error)]
pub enum RegainError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    Server(#[from] WeaviateError),
    #[error("the restore was cancelled")]
    Cancelled,
    #[error("the backup {backup} has no collection {name}: it has {known}")]
    Unknown { name: String, backup: String, known: String },
    #[error("nothing is left of the collections of {backup}: it has {known}")]
    NothingLeft { backup: String, known: String },
    #[error("the server has {} already, and a restore replaces nothing", listed(.names))]
    There { names: Vec<String> },
    #[error("the server has an alias {name}, of collection {class}: no collection can have that name")]
    NameOfAlias { name: String, class: String },
    #[error("the server has an alias {alias} already, of collection {class}")]
    AliasThere { alias: String, class: String },
    #[error("{option} needs Weaviate {since}, and the server is {server}")]
    TooOld { option: &'static str, since: String, server: String },
    #[error("the local file {path} cannot be used")]
    Local { path: String, source: std::io::Error },
}

fn listed(names: &[String]) -> String {
    let many = if names.len() == 1 { "collection" } else { "collections" };
    format!("{many} {}", names.join(", "))
}

impl Explain for RegainError {
    fn class(&self) -> Class {
        match self {
            Self::Store(error) => error.class(),
            Self::Catalog(error) => error.class(),
            Self::Restore(error) => error.class(),
            Self::Server(error) => error.class(),
            Self::Cancelled | Self::Local { .. } => Class::Retry,
            Self::Unknown { .. }
            | Self::NothingLeft { .. }
            | Self::There { .. }
            | Self::NameOfAlias { .. }
            | Self::AliasThere { .. }
            | Self::TooOld { .. } => Class::Final,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Store(error) => error.remedy(),
            Self::Catalog(error) => error.remedy(),
            Self::Restore(error) => error.remedy(),
            Self::Server(error) => error.remedy(),
            Self::Cancelled => {
                "Ask for it again when it suits: what it had brought is removed, and what was whole already has stayed."
                    .to_owned()
            }
            Self::Unknown { .. } => "Name collections of this backup, or patterns with `*` and `?`.".to_owned(),
            Self::NothingLeft { .. } => "Exclude less, or include more.".to_owned(),
            Self::There { .. } => {
                "Leave them out with `--exclude`, or delete them first: what is in them is lost then.".to_owned()
            }
            Self::NameOfAlias { .. } => "Remove the alias, or leave the collection out with `--exclude`.".to_owned(),
            Self::AliasThere { .. } => {
                "Add `--overwrite-alias`: it names the restored collection from then on; or remove it first."
                    .to_owned()
            }
            Self::TooOld { since, .. } => format!("Remove the alias first, or set `weaviate.image` to {since} or later."),
            Self::Local { path, .. } => format!("Check {path} and the file system that holds it."),
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::Store(error) => error.details(),
            Self::Catalog(error) => error.details(),
            Self::Restore(error) => error.details(),
            Self::Server(error) => error.details(),
            Self::Cancelled
            | Self::Unknown { .. }
            | Self::NothingLeft { .. }
            | Self::There { .. }
            | Self::NameOfAlias { .. }
            | Self::AliasThere { .. }
            | Self::TooOld { .. }
            | Self::Local { .. } => Vec::new(),
        }
    }
}
