//! Why what was exposed is not served any more.

use crate::container::NAME;
use crate::explain::{Class, Explain};

#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("the server that served ended with code {code}{}", if *oom { " (out of memory)" } else { "" })]
    Ended { code: i64, oom: bool, log: Vec<String> },
    #[error("the container of the server that served was removed")]
    Gone,
    #[error("the server that served was restarted by somebody else, and nobody has verified what runs now")]
    Another,
}

impl Explain for WatchError {
    fn class(&self) -> Class {
        match self {
            // Its data lies on the volume: the next run starts it, counts, and opens again. Whatever its code is:
            // this server has served, so it was no configuration that ended it.
            Self::Ended { .. } | Self::Gone | Self::Another => Class::Retry,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Ended { oom: true, .. } => {
                "It is started again; give it more memory (weaviate.memory, or a larger instance).".to_owned()
            }
            Self::Ended { code: 0, .. } => {
                "It is started again; if nobody stopped it or Docker, read its last lines in the details.".to_owned()
            }
            Self::Ended { .. } => "It is started again; read its last lines in the details.".to_owned(),
            Self::Gone => format!("It is made again; find who removes the container {NAME}."),
            Self::Another => {
                "It is counted and shown again; to restart the server, end it with `docker stop`: it is started again here."
                    .to_owned()
            }
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::Ended { log, .. } => log.clone(),
            Self::Gone | Self::Another => Vec::new(),
        }
    }
}
