//! Why there are no secrets. No variant holds a value.

use std::path::PathBuf;

use crate::aws::CallError;
use crate::config::SecretReference;
use crate::explain::{Class, Explain};

#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    #[error("the secret {reference} does not exist")]
    Missing { reference: SecretReference, source: CallError },
    #[error("the instance may not read the secret {reference}")]
    Denied { reference: SecretReference, source: CallError },
    #[error("the secret {reference} cannot be read")]
    Call { reference: SecretReference, source: CallError },
    #[error("the secret {reference} is not text")]
    NotText { reference: SecretReference },
    #[error("the secret {reference} is empty")]
    Empty { reference: SecretReference },
    #[error("the secret {reference} is not a JSON object, so it has no keys")]
    NotJson { reference: SecretReference },
    #[error("the secret {reference} has no such key, or it is not a string")]
    NoKey { reference: SecretReference },
    #[error("the secret {reference} holds a comma, a blank or a control character, which no API key may")]
    Malformed { reference: SecretReference },
    #[error("the secrets {first} and {second} hold the same API key")]
    Same { first: SecretReference, second: SecretReference },
    #[error("{} is not a tmpfs, so no secret is written there", path.display())]
    NotTmpfs { path: PathBuf },
    #[error("{} cannot be {operation}", path.display())]
    File { path: PathBuf, operation: &'static str, source: std::io::Error },
}

impl Explain for SecretsError {
    fn class(&self) -> Class {
        match self {
            Self::Missing { .. }
            | Self::Denied { .. }
            | Self::NotText { .. }
            | Self::Empty { .. }
            | Self::NotJson { .. }
            | Self::NoKey { .. }
            | Self::Malformed { .. }
            | Self::Same { .. }
            | Self::NotTmpfs { .. } => Class::Final,
            Self::Call { source, .. } => source.class(),
            Self::File { .. } => Class::Retry,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Missing { reference, .. } => {
                format!("Create {reference} in this region, or mend weaviate.keys.")
            }
            Self::Denied { reference, source } => {
                format!("Allow {} on {reference}, and kms:Decrypt on its key.", source.operation)
            }
            Self::Call { source, .. } => source.remedy(),
            Self::NotText { reference } | Self::Empty { reference } | Self::Malformed { reference } => {
                format!("Put an API key into {reference}: printable letters without commas and blanks.")
            }
            Self::NotJson { reference } | Self::NoKey { reference } => {
                format!("Give {reference} a JSON object with that key, or name another one after the #.")
            }
            Self::Same { first, second } => {
                format!("Put different keys into {first} and {second}: the server tells users by their key.")
            }
            Self::NotTmpfs { path } => format!("Mount a tmpfs on {}; systemd's /run is one.", path.display()),
            Self::File { path, .. } => format!("Check that root can write {}.", path.display()),
        }
    }
}
