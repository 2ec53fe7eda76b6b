//! What is begun, for whoever has to settle it: `regain.json` in the state directory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::RegainError;
use crate::state::{read_or_set_aside, remove, replace};
use crate::weaviate::Alias;

const FILE: &str = "regain.json";

/// A restore into the running server that has not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Another instance's note, on a root volume that was copied, is about another server.
    pub instance_id: String,
    pub backup_id: String,
    /// None of them was there before.
    pub collections: BTreeSet<String>,
    /// What aliases named before that the restore gives to other collections.
    pub aliases: Vec<Alias>,
}

pub fn begin(state: &Path, note: &Note) -> Result<(), RegainError> {
    let path = path(state);
    let bytes = serde_json::to_vec_pretty(note).map_err(|error| local(&path, error.into()))?;
    replace(&path, &bytes, 0o600).map_err(|source| local(&path, source))
}

/// What was begun and not settled.
pub fn left(state: &Path) -> Result<Option<Note>, RegainError> {
    let path = path(state);
    read_or_set_aside(&path).map_err(|source| local(&path, source))
}

/// The same for who only looks.
pub fn peek(state: &Path) -> Option<Note> {
    serde_json::from_slice(&std::fs::read(path(state)).ok()?).ok()
}

pub fn end(state: &Path) -> Result<(), RegainError> {
    let path = path(state);
    remove(&path).map_err(|source| local(&path, source))
}

fn path(state: &Path) -> PathBuf {
    state.join(FILE)
}

fn local(path: &Path, source: std::io::Error) -> RegainError {
    RegainError::Local { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_until_it_is_ended() {
        let state = tempfile::tempdir().expect("a folder");
        assert_eq!(left(state.path()).expect("none"), None);
        let note = Note {
            instance_id: "i-1".to_owned(),
            backup_id: "full-1".to_owned(),
            collections: ["A".to_owned()].into(),
            aliases: Vec::new(),
        };
        begin(state.path(), &note).expect("written");
        assert_eq!(left(state.path()).expect("there"), Some(note));
        end(state.path()).expect("ended");
        end(state.path()).expect("nothing to end");
        assert_eq!(left(state.path()).expect("none any more"), None);
        let nowhere = begin(&state.path().join("gone"), &Note { ..sample() });
        assert!(matches!(nowhere, Err(RegainError::Local { .. })), "{nowhere:?}");
    }

    fn sample() -> Note {
        let (instance_id, backup_id) = ("i-1".to_owned(), "b".to_owned());
        Note { instance_id, backup_id, collections: BTreeSet::new(), aliases: Vec::new() }
    }
}
