//! Small files that one run leaves to the next: what was begun and has to be put right.

use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use serde::de::DeserializeOwned;

/// What the file says; `None` where there is none. One that cannot be read says nothing, and is set aside beside its
/// place: else it would stand in the way of everything that comes.
pub fn read_or_set_aside<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match serde_json::from_slice(&bytes) {
        Ok(note) => Ok(Some(note)),
        Err(error) => {
            let aside = path.with_extension("unreadable");
            tracing::warn!(%error, "{} cannot be read, and lies in {} now", path.display(), aside.display());
            std::fs::rename(path, &aside)?;
            Ok(None)
        }
    }
}

/// Removes it; nothing to remove is as good.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok::<(), Error>(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_and_a_torn_one_stands_in_nobodys_way() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("note.json");
        assert_eq!(read_or_set_aside::<u8>(&path).expect("none"), None);
        std::fs::write(&path, "7").expect("written");
        assert_eq!(read_or_set_aside::<u8>(&path).expect("there"), Some(7));
        std::fs::write(&path, "{").expect("torn by somebody");
        assert_eq!(read_or_set_aside::<u8>(&path).expect("set aside"), None);
        assert!(folder.path().join("note.unreadable").exists() && !path.exists());
        remove(&path).expect("nothing to remove");
        std::fs::create_dir(&path).expect("a folder in its place");
        read_or_set_aside::<u8>(&path).expect_err("no file");
        remove(&path).expect_err("no file");
    }
}
