//! What is begun, for whoever has to settle it: `regain.json` in the state directory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::RegainError;
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
    crate::state::replace(&path, &bytes, 0o600).map_err(|source| local(&path, source))
}

/// What was begun and not settled. One that cannot be read says nothing, and is set aside: else it would stand in the way
/// of every later one.
pub fn left(state: &Path) -> Result<Option<Note>, RegainError> {
    let path = path(state);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(local(&path, source)),
    };
    match serde_json::from_slice(&bytes) {
        Ok(note) => Ok(Some(note)),
        Err(error) => {
            let aside = path.with_extension("unreadable");
            tracing::warn!(%error, "{} cannot be read, and lies in {} now", path.display(), aside.display());
            std::fs::rename(&path, &aside).map_err(|source| local(&path, source))?;
            Ok(None)
        }
    }
}

/// The same for who only looks.
pub fn peek(state: &Path) -> Option<Note> {
    serde_json::from_slice(&std::fs::read(path(state)).ok()?).ok()
}

pub fn end(state: &Path) -> Result<(), RegainError> {
    let path = path(state);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(local(&path, error)),
        _ => Ok(()),
    }
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
    fn a_note_is_read_until_it_is_ended_and_a_torn_one_stands_in_nobodys_way() {
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
        std::fs::write(path(state.path()), "{").expect("torn by somebody");
        assert_eq!(left(state.path()).expect("set aside"), None);
        assert!(state.path().join("regain.unreadable").exists() && !path(state.path()).exists());
        let nowhere = begin(&state.path().join("gone"), &Note { ..sample() });
        assert!(matches!(nowhere, Err(RegainError::Local { .. })), "{nowhere:?}");
    }

    fn sample() -> Note {
        let (instance_id, backup_id) = ("i-1".to_owned(), "b".to_owned());
        Note { instance_id, backup_id, collections: BTreeSet::new(), aliases: Vec::new() }
    }
}
