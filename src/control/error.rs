//! Why a command and `run` could not speak with each other.

use thiserror::Error;

use crate::explain::{Class, Explain};

#[derive(Debug, Error)]
pub enum ControlError {
    #[error("nothing listens at {path}: the agent does not run, or the node does not serve yet")]
    Absent { path: String, source: std::io::Error },
    #[error("only root may ask the agent at {path}")]
    Denied { path: String, source: std::io::Error },
    #[error("the agent hung up before it was done")]
    HungUp,
    #[error("the agent's answer cannot be understood: {what}")]
    Malformed { what: String },
    #[error("the socket {path} cannot be made")]
    Socket { path: String, source: std::io::Error },
}

impl Explain for ControlError {
    fn class(&self) -> Class {
        match self {
            Self::Absent { .. } | Self::HungUp | Self::Socket { .. } => Class::Retry,
            Self::Denied { .. } | Self::Malformed { .. } => Class::Final,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Absent { .. } => {
                "See `systemctl status weaviate-provisioner`; once it serves, ask again.".to_owned()
            }
            Self::Denied { .. } => "Ask as root.".to_owned(),
            Self::HungUp => {
                "It was stopped or has died: see `journalctl -u weaviate-provisioner`, then ask again.".to_owned()
            }
            Self::Malformed { .. } => {
                "Restart the agent (`systemctl restart weaviate-provisioner`): it is of another version than this \
                 command."
                    .to_owned()
            }
            Self::Socket { .. } => "Check the tmpfs at /run: `df /run`.".to_owned(),
        }
    }
}
