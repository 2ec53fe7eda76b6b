//! What can go wrong with a call to the server.

use thiserror::Error;

use crate::explain::{Class, Explain};

#[derive(Debug, Error)]
pub enum WeaviateError {
    /// No connection, or no answer in time.
    #[error("the server gave no answer to {call}")]
    Unreachable { call: String, source: reqwest::Error },
    #[error("the server answered {status} to {call}: {message}")]
    Refused { call: String, status: u16, message: String },
    /// Anything but a number, while the tenant is active: a shard that is not loaded yet, or cannot be.
    #[error("the server cannot count {of}: {message}")]
    Uncounted { of: String, message: String },
    /// An answer that this program does not understand: another version, or not Weaviate at all.
    #[error("the server's answer to {call} is not what Weaviate sends: {what}")]
    Malformed { call: String, what: String },
}

impl WeaviateError {
    /// The HTTP status, where there was an answer.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unreachable { .. } | Self::Uncounted { .. } | Self::Malformed { .. } => None,
        }
    }
}

impl Explain for WeaviateError {
    fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. } | Self::Uncounted { .. } => Class::Retry,
            Self::Refused { status, .. } if *status >= 500 => Class::Retry,
            Self::Refused { .. } | Self::Malformed { .. } => Class::Final,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Uncounted { .. } => {
                "It is counted again; if it stays, see the server's log: `docker logs weaviate`.".to_owned()
            }
            Self::Unreachable { .. } => "Look at the container's log: `docker logs weaviate`.".to_owned(),
            Self::Refused { status: 401, .. } => {
                "Check that the key in `weaviate.keys` is the one in the server's configuration file."
                    .to_owned()
            }
            Self::Refused { .. } => {
                "See the server's own words, and its log: `docker logs weaviate`.".to_owned()
            }
            Self::Malformed { .. } => {
                "Check that `weaviate.image` is a Weaviate of a supported version.".to_owned()
            }
        }
    }
}
