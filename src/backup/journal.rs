//! `backup.jsonl`: how far the backup is that is being made, so that the next run can go on or clean up.
//!
//! ```text
//! {"begun": …}   before the server is asked
//! {"sent": …}    a file lies in the bucket; written before the file is unlinked
//! ```
//! A line that was not written to its end is no line: its file is there still.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::BackupError;
use crate::manifest::Object;

const FILE: &str = "backup.jsonl";

/// What was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    pub id: String,
    /// By whom: another instance's journal, on a root volume that was copied, is none of ours.
    pub instance_id: String,
    /// The server writes into the bucket itself.
    #[serde(default)]
    pub direct: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begun(Begun),
    Sent(Object),
}

/// The journal of the backup under way.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// A new one, before anything is done.
    pub fn begin(state: &Path, begun: &Begun) -> Result<Self, BackupError> {
        let path = state.join(FILE);
        let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path);
        let file = file.map_err(local(&path))?;
        let mut journal = Self { file, path };
        journal.write(&Line::Begun(begun.clone()))?;
        Ok(journal)
    }

    /// That it lies in the bucket.
    pub fn sent(&mut self, object: &Object) -> Result<(), BackupError> {
        self.write(&Line::Sent(object.clone()))
    }

    fn write(&mut self, line: &Line) -> Result<(), BackupError> {
        let mut text = serde_json::to_vec(line).map_err(|error| local(&self.path)(error.into()))?;
        text.push(b'\n');
        self.file.write_all(&text).and_then(|()| self.file.sync_data()).map_err(local(&self.path))
    }

    /// It is over, however it ended.
    pub fn end(self) -> Result<(), BackupError> {
        std::fs::remove_file(&self.path).map_err(local(&self.path))
    }

    /// What an earlier run left.
    pub fn left(state: &Path) -> Result<Option<(Begun, Vec<Object>)>, BackupError> {
        let path = state.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(local(&path)(error)),
        };
        let mut lines = text.lines().map_while(|line| serde_json::from_str(line).ok());
        let Some(Line::Begun(begun)) = lines.next() else { return Ok(None) };
        let sent = lines.filter_map(|line| match line {
            Line::Sent(object) => Some(object),
            Line::Begun(_) => None,
        });
        Ok(Some((begun, sent.collect())))
    }

    /// Forgets what an earlier run left.
    pub fn forget(state: &Path) -> Result<(), BackupError> {
        let path = state.join(FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(local(&path)(error)),
            _ => Ok(()),
        }
    }
}

fn local(path: &Path) -> impl FnOnce(std::io::Error) -> BackupError {
    let path = path.display().to_string();
    move |source| BackupError::Local { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(n: u32) -> Object {
        Object {
            key: format!("prod/b/weaviate-0/Article/chunk-{n}"),
            size: 7,
            sha256: "0".repeat(64),
            etag: None,
            version_id: None,
            other: serde_json::Map::new(),
        }
    }

    #[test]
    fn what_is_noted_is_read_back_up_to_a_torn_line() {
        let state = tempfile::tempdir().expect("a folder");
        assert_eq!(Journal::left(state.path()).expect("read"), None);
        let begun = Begun { id: "b".to_owned(), instance_id: "i-1".to_owned(), direct: false };
        let mut journal = Journal::begin(state.path(), &begun).expect("begun");
        journal.sent(&object(1)).expect("noted");
        journal.sent(&object(2)).expect("noted");
        assert_eq!(
            Journal::left(state.path()).expect("read"),
            Some((begun.clone(), vec![object(1), object(2)]))
        );

        let path = state.path().join(FILE);
        let text = std::fs::read_to_string(&path).expect("read");
        std::fs::write(&path, &text[..text.len() - 5]).expect("torn");
        assert_eq!(Journal::left(state.path()).expect("read"), Some((begun.clone(), vec![object(1)])));

        journal.end().expect("ended");
        assert_eq!(Journal::left(state.path()).expect("read"), None);
        Journal::forget(state.path()).expect("nothing is there to forget");
        let nowhere = Journal::begin(&state.path().join("absent"), &begun);
        assert!(matches!(nowhere, Err(BackupError::Local { .. })), "{nowhere:?}");
    }
}
