//! What is said over the socket.

use serde::{Deserialize, Serialize};

use crate::backup;
use crate::catalog;
use crate::drill;
use crate::explain::Failure;
use crate::regain;

/// What another command wants of `run`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    Backup(backup::Order),
    Drill {
        /// Else what the manifest names.
        id: Option<String>,
    },
    /// Into the server that serves.
    Restore(regain::Order),
    /// Whatever is under way, ends. It does not wait for its turn.
    Cancel {
        /// Only where it is about this backup.
        id: Option<String>,
    },
    Prune {
        /// Else it is only said what would go.
        apply: bool,
    },
}

/// A line of the answer; the last one is no `Says`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// How far it is.
    Says(String),
    Made(backup::Made),
    Pruned(catalog::Pruned),
    Drilled(drill::Drilled),
    Regained(regain::Regained),
    /// Whether there was anything to end.
    Cancelled {
        was: bool,
    },
    Failed(Failure),
}
