//! A directory that a container can write: every path in it is opened without following a link out of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, MetadataExt as _, OpenOptions, OpenOptionsExt as _};
use nix::fcntl::{AtFlags, OFlag};
use nix::unistd::{Gid, Uid, Whence, fchownat, lseek};

use super::error::StoreError;

/// To whom new files belong: the server's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// An open directory, and the owner of what is made in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tree {
    dir: Arc<Dir>,
    path: PathBuf,
    owner: Owner,
}

impl Tree {
    pub fn open(path: &Path, owner: Owner) -> Result<Self, StoreError> {
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(|source| StoreError::Local {
            verb: "opened",
            path: path.to_owned(),
            source,
        })?;
        Ok(Self { dir: Arc::new(dir), path: path.to_owned(), owner })
    }

    fn local(&self, verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let path = self.path.join(path);
        move |source| StoreError::Local { verb, path, source }
    }

    /// `O_NOFOLLOW`: a planted link is an error. `O_NONBLOCK`: a planted pipe does not block.
    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).read(true);
        options
    }

    /// Opens a file for reading; `None` where there is none.
    pub fn read(&self, path: &Path) -> Result<Option<File>, StoreError> {
        match self.dir.open_with(path, &Self::options()) {
            Ok(file) if file.metadata().map_err(self.local("read", path))?.is_file() => {
                Ok(Some(file.into_std()))
            }
            Ok(_) => Err(self.local("read", path)(io::ErrorKind::InvalidInput.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.local("read", path)(source)),
        }
    }

    /// Reads a small file whole; `None` where there is none.
    pub fn read_all(&self, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(mut file) = self.read(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes).map_err(self.local("read", path))?;
        Ok(Some(bytes))
    }

    /// Opens `path` for writing, with its directories, keeping what it holds.
    pub(super) fn write(&self, path: &Path) -> Result<File, StoreError> {
        let local = || self.local("written", path);
        if let Some(parent) = path.parent() {
            self.directories(parent).map_err(local())?;
        }
        let mut options = Self::options();
        options.write(true).create(true).mode(0o640);
        let file = self.dir.open_with(path, &options).map_err(local())?.into_std();
        if !file.metadata().map_err(local())?.is_file() {
            return Err(local()(io::ErrorKind::InvalidInput.into()));
        }
        fchown(&file, Some(self.owner.uid), Some(self.owner.gid)).map_err(local())?;
        Ok(file)
    }

    /// Makes a directory with all above it, for the tree's owner. One that is there is fine.
    pub fn make(&self, path: &Path) -> Result<(), StoreError> {
        self.directories(path).map_err(self.local("made", path))
    }

    /// Each directory is opened from the one above it, so that none but a plain one is ever given away.
    fn directories(&self, path: &Path) -> io::Result<()> {
        let mut at = self.dir.try_clone()?;
        for part in path.components() {
            match at.create_dir(part) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            let (uid, gid) = (Uid::from_raw(self.owner.uid), Gid::from_raw(self.owner.gid));
            fchownat(&at, part.as_os_str(), Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            at = at.open_dir(part)?;
        }
        Ok(())
    }

    /// Writes a small file whole: beside it first, on the disk, and then under its name.
    pub fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let part = super::fetch::part(path);
        self.remove(&part)?;
        let file = self.write(&part)?;
        file.write_all_at(bytes, 0).and_then(|()| file.sync_all()).map_err(self.local("written", path))?;
        self.rename(&part, path)
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        self.dir.rename(from, &self.dir, to).map_err(self.local("renamed", from))
    }

    /// Removes a file or a directory with all that is in it. Nothing there is fine.
    pub fn remove(&self, path: &Path) -> Result<(), StoreError> {
        let is_dir = match self.dir.symlink_metadata(path) {
            Ok(found) => found.is_dir(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(self.local("removed", path)(source)),
        };
        let removed = if is_dir { self.dir.remove_dir_all(path) } else { self.dir.remove_file(path) };
        removed.map_err(self.local("removed", path))
    }

    /// Whether anything, a link included, has this name.
    pub fn has(&self, path: &Path) -> bool {
        self.dir.symlink_metadata(path).is_ok()
    }

    /// The size of a file, where it is one.
    pub fn size(&self, path: &Path) -> Option<u64> {
        self.dir.symlink_metadata(path).ok().filter(cap_std::fs::Metadata::is_file).map(|m| m.len())
    }

    /// Bytes of an unfinished download that are on the disk: it was given its length at once.
    pub fn arrived(&self, path: &Path) -> u64 {
        let found = self.dir.symlink_metadata(super::fetch::part(path)).ok();
        found.filter(cap_std::fs::Metadata::is_file).map_or(0, |m| (m.blocks() * 512).min(m.len()))
    }

    /// The names directly in `path`; none where it does not exist.
    pub fn names(&self, path: &Path) -> Result<Vec<String>, StoreError> {
        let entries = if path.as_os_str().is_empty() { self.dir.entries() } else { self.dir.read_dir(path) };
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.local("read", path)(source)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(self.local("read", path))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }
}

/// Whether bytes `start..end` were written: no hole among them. The file was given its length at once, so a
/// range that an interrupted run did not write, or not to its end, has a hole. What lies there is hashed in
/// any case; this only saves asking for it again.
pub(super) fn is_written(file: &File, start: u64, end: u64) -> bool {
    let (Ok(from), Ok(end)) = (i64::try_from(start), i64::try_from(end)) else { return false };
    let data = lseek(file, from, Whence::SeekData);
    let hole = lseek(file, from, Whence::SeekHole);
    matches!((data, hole), (Ok(data), Ok(hole)) if data == from && hole >= end)
}

/// Feeds bytes `start..end` of `file` into `hasher`, a small buffer at a time.
pub(super) fn hash_range(
    file: &File,
    start: u64,
    end: u64,
    hasher: &mut impl sha2::Digest,
) -> io::Result<()> {
    let mut buffer = vec![0; 128 << 10];
    let mut at = start;
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let got = file.read_at(&mut buffer[..want], at)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(&buffer[..got]);
        at += got as u64;
    }
    Ok(())
}
