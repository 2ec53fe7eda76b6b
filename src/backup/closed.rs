//! Which files the server is done with: inotify tells when the last writer closes one.
//!
//! ```text
//! <id>/<node>/ ── a folder is made ─▶ watched too
//!              └─ <Class>/chunk-7 closed after writing ─▶ its path
//! ```
//!
//! A file that was made and closed before its folder was watched is told by nobody: who waits for files looks for the
//! rest when the server has said that it is done.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask};

/// For some hundred events at a time: each has 16 bytes and its name (inotify(7)).
const BUFFER: usize = 16 << 10;

/// Tells of files below one folder, by their paths relative to it.
#[derive(Debug)]
pub struct Closed {
    root: PathBuf,
    events: EventStream<Vec<u8>>,
    folders: HashMap<WatchDescriptor, PathBuf>,
}

impl Closed {
    /// Of all that is closed below `root` from now on, which must be a folder.
    pub fn below(root: &Path) -> std::io::Result<Self> {
        let events = Inotify::init()?.into_event_stream(vec![0; BUFFER])?;
        let mut closed = Self { root: root.to_owned(), events, folders: HashMap::new() };
        closed.follow(PathBuf::new())?;
        Ok(closed)
    }

    /// The server owns the folders and could plant a link: it would tell us names, and no name is opened by a path
    /// that follows one.
    fn follow(&mut self, folder: PathBuf) -> std::io::Result<()> {
        let mask = WatchMask::CLOSE_WRITE | WatchMask::CREATE | WatchMask::ONLYDIR | WatchMask::DONT_FOLLOW;
        // Joined with nothing it would end in a slash, which follows a link.
        let path = if folder.as_os_str().is_empty() { self.root.clone() } else { self.root.join(&folder) };
        match self.events.watches().add(path, mask) {
            Ok(descriptor) => {
                self.folders.insert(descriptor, folder);
                Ok(())
            }
            // Gone again, or no folder.
            Err(error)
                if !folder.as_os_str().is_empty()
                    && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for the next one. Cancel-safe: what is not returned is told at the next call.
    pub async fn next(&mut self) -> std::io::Result<PathBuf> {
        loop {
            let event = self.events.next().await.ok_or(ErrorKind::UnexpectedEof)??;
            if let Some(path) = self.read(event)? {
                return Ok(path);
            }
        }
    }

    fn read(&mut self, event: EventOwned) -> std::io::Result<Option<PathBuf>> {
        let (Some(folder), Some(name)) = (self.folders.get(&event.wd), event.name) else {
            return Ok(None);
        };
        let path = folder.join(name);
        if event.mask.contains(EventMask::ISDIR) {
            self.follow(path)?;
            return Ok(None);
        }
        Ok(event.mask.contains(EventMask::CLOSE_WRITE).then_some(path))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_file_is_told_when_it_is_closed_and_not_before() {
        let root = tempfile::tempdir().expect("a folder");
        let mut closed = Closed::below(root.path()).expect("watched");
        std::fs::create_dir(root.path().join("Article")).expect("a folder");
        // The folder's own event is read with the next one; a file in it before that is nobody's.
        std::fs::write(root.path().join("backup.json"), "{}").expect("written");
        assert_eq!(closed.next().await.expect("told"), Path::new("backup.json"));

        let mut file = std::fs::File::create(root.path().join("Article/chunk-1")).expect("made");
        std::io::Write::write_all(&mut file, b"half").expect("written");
        let early = tokio::time::timeout(Duration::from_millis(50), closed.next()).await;
        assert!(early.is_err(), "{early:?} is written still");
        drop(file);
        assert_eq!(closed.next().await.expect("told"), Path::new("Article/chunk-1"));
    }

    #[tokio::test]
    async fn what_is_no_folder_is_not_watched() {
        let root = tempfile::tempdir().expect("a folder");
        assert!(Closed::below(&root.path().join("absent")).is_err());
        std::os::unix::fs::symlink("/tmp", root.path().join("link")).expect("a link");
        assert!(Closed::below(&root.path().join("link")).is_err());
    }
}
