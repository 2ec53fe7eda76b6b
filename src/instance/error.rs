//! Why this instance does not know who it is.

use std::path::PathBuf;

use crate::explain::{Class, Explain};

#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    #[error("no client for the instance metadata service could be made")]
    Client { source: reqwest::Error },
    #[error("the instance metadata service does not answer at {url}")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("the instance metadata service gives no token: it answers {status}")]
    TokenRefused { status: u16 },
    #[error("the instance metadata service is switched off for this instance (403)")]
    SwitchedOff,
    #[error("the instance metadata service refuses the token that it gave (401 for {path})")]
    TokenNotTaken { path: String },
    #[error("the instance metadata service answers {status} for {path}")]
    Trouble { path: String, status: u16 },
    #[error("the instance metadata service has no {path} (404)")]
    Absent { path: String },
    #[error("the instance metadata service answers {path} with something that is not a text of one line")]
    NotText { path: String },
    #[error("the boot id {path} cannot be read")]
    BootId { path: PathBuf, source: std::io::Error },
}

impl Explain for InstanceError {
    fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. }
            | Self::TokenRefused { .. }
            | Self::TokenNotTaken { .. }
            | Self::Trouble { .. }
            | Self::NotText { .. }
            // A leaf that must exist appears late on a fresh instance.
            | Self::Absent { .. } => Class::Retry,
            Self::Client { .. } | Self::SwitchedOff | Self::BootId { .. } => Class::Final,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Client { .. } => "This is a bug; please report it with its details.".to_owned(),
            Self::Unreachable { .. } => {
                "Check that 169.254.169.254 is reachable: no firewall rule, no route over a tunnel."
                    .to_owned()
            }
            Self::TokenRefused { .. } | Self::TokenNotTaken { .. } | Self::Trouble { .. } => {
                "It is tried again; if it stays, look for a proxy between the instance and its metadata."
                    .to_owned()
            }
            Self::SwitchedOff => {
                "Set HttpEndpoint=enabled in the Launch Template's MetadataOptions.".to_owned()
            }
            Self::Absent { path } | Self::NotText { path } => {
                format!("It is tried again; if {path} stays away, this may not be an EC2 instance.")
            }
            Self::BootId { .. } => "Mount /proc; this program runs on Linux only.".to_owned(),
        }
    }
}
