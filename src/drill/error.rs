//! Why a backup is not proven: it is not as it was, or it could not be tried.

use thiserror::Error;

use crate::catalog::CatalogError;
use crate::container::ContainerError;
use crate::explain::{Class, Explain};
use crate::restore::RestoreError;
use crate::store::StoreError;
use crate::weaviate::WeaviateError;

#[derive(Debug, Error)]
pub enum DrillError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    Container(#[from] ContainerError),
    #[error(transparent)]
    Server(#[from] WeaviateError),
    #[error("the drill was cancelled")]
    Cancelled,
    #[error("a second server needs {needed} MiB of memory, and {free} MiB are free")]
    Memory { free: u64, needed: u64 },
    #[error("what was restored does not answer {query:?} with {missing:?}")]
    Answer { query: String, missing: String, answer: String },
    #[error("{path} cannot be {verb}")]
    Local { verb: &'static str, path: String, source: std::io::Error },
}

impl Explain for DrillError {
    fn class(&self) -> Class {
        match self {
            Self::Store(error) => error.class(),
            Self::Catalog(error) => error.class(),
            Self::Restore(error) => error.class(),
            Self::Container(error) => error.class(),
            Self::Server(error) => error.class(),
            Self::Cancelled | Self::Memory { .. } | Self::Local { .. } => Class::Retry,
            Self::Answer { .. } => Class::Final,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Store(error) => error.remedy(),
            Self::Catalog(error) => error.remedy(),
            Self::Restore(error) => error.remedy(),
            Self::Container(error) => error.remedy(),
            Self::Server(error) => error.remedy(),
            Self::Cancelled => "Ask for another one when it suits; what it left is removed.".to_owned(),
            Self::Memory { .. } => {
                "Set `drill.memory` lower, run the drill when less is at work, or give the server \
                                    less by `weaviate.memory`."
                    .to_owned()
            }
            Self::Answer { .. } => {
                "See in the details what it answers: the backup lacks what you ask for, or \
                                    `drill.queries` asks for what has changed since."
                    .to_owned()
            }
            Self::Local { path, .. } => format!("Check {path} and the file system that holds it."),
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::Store(error) => error.details(),
            Self::Catalog(error) => error.details(),
            Self::Restore(error) => error.details(),
            Self::Container(error) => error.details(),
            Self::Server(error) => error.details(),
            Self::Answer { answer, .. } => vec![answer.clone()],
            Self::Cancelled | Self::Memory { .. } | Self::Local { .. } => Vec::new(),
        }
    }
}
