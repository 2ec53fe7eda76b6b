//! How the last restore into the running server ended: `regained.json` in the state directory, for `status`.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::RegainError;
use super::{Regained, note};
use crate::explain::Failure;
use crate::host::Host;

const FILE: &str = "regained.json";

/// The last one of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Last {
    UnderWay {
        id: String,
        collections: BTreeSet<String>,
    },
    Done {
        regained: Regained,
        at: Timestamp,
    },
    /// Without an id where it was not known yet.
    Failed {
        id: Option<String>,
        failure: Failure,
        at: Timestamp,
    },
}

impl Last {
    /// The backup that it is about.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::UnderWay { id, .. } => Some(id),
            Self::Failed { id, .. } => id.as_deref(),
            Self::Done { regained, .. } => Some(&regained.id),
        }
    }
}

/// Writes down how it ended; what cannot be written is a warning.
pub fn keep(host: &Host, id: Option<&str>, ended: Result<&Regained, &RegainError>) {
    let at = host.now();
    let last = match ended {
        Ok(regained) => Last::Done { regained: regained.clone(), at },
        Err(error) => Last::Failed { id: id.map(str::to_owned), failure: Failure::new("restore", error), at },
    };
    let written = serde_json::to_vec_pretty(&last).map_err(|error| error.to_string()).and_then(|bytes| {
        crate::state::replace(&host.roots.state.join(FILE), &bytes, 0o600).map_err(|error| error.to_string())
    });
    if let Err(error) = written {
        host.status.warn(format!("the restore's end is not kept on this machine: {error}"));
    }
}

/// For `status`; `None` where there was none, or where it cannot be read.
pub fn last(state: &Path) -> Option<Last> {
    if let Some(note) = note::peek(state) {
        return Some(Last::UnderWay { id: note.backup_id, collections: note.collections });
    }
    serde_json::from_slice(&std::fs::read(state.join(FILE)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_is_shown_before_what_has_ended() {
        let state = tempfile::tempdir().expect("a folder");
        assert_eq!(last(state.path()), None);
        let failure = Failure::new("restore", &RegainError::Cancelled);
        let failed = Last::Failed { id: Some("b".to_owned()), failure, at: Timestamp::UNIX_EPOCH };
        let text = serde_json::to_vec(&failed).expect("a text");
        std::fs::write(state.path().join(FILE), text).expect("written");
        assert_eq!(last(state.path()), Some(failed));
        let begun = note::Note {
            instance_id: "i-1".to_owned(),
            backup_id: "c".to_owned(),
            collections: ["A".to_owned()].into(),
            aliases: Vec::new(),
        };
        note::begin(state.path(), &begun).expect("written");
        let under_way = last(state.path()).expect("under way");
        assert_eq!(under_way.id(), Some("c"));
        assert!(matches!(under_way, Last::UnderWay { .. }));
    }
}
