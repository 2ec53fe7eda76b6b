//! Whether a backup fits: staged bytes and what comes of them lie on the volume at the same time.
//!
//! ```text
//! free now ─┐
//! data/ ────┤ (what goes before the restore)
//! x.part ───┼──▶ Space ──shortage──▶ none, or how much is there and how much is needed
//! manifest ─┤ (what must still come)
//! descriptor┘ (what it unpacks to)
//! ```

use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, MetadataExt as _};

use super::error::RestoreError;
use crate::manifest::Manifest;
use crate::store::Tree;

/// Above 90 % the server sets its shards READONLY (`DISK_USE_READONLY_PERCENTAGE`), so a tenth stays free.
const HEADROOM: u64 = 10;

/// The volume before anything is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub total: u64,
    pub free: u64,
    /// What lies in `data/` and goes before the restore begins.
    pub goes: u64,
    /// What must still come; a range that an earlier run brought is there.
    pub comes: u64,
}

/// A volume as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that a program without privileges could still write.
    pub free: u64,
    pub total: u64,
}

impl Room {
    pub fn look(mount: &Path) -> Result<Self, RestoreError> {
        let space = nix::sys::statvfs::statvfs(mount).map_err(|errno| RestoreError::Space {
            mount: mount.display().to_string(),
            source: errno.into(),
        })?;
        let unit = space.fragment_size();
        Ok(Self { free: space.blocks_available() * unit, total: space.blocks() * unit })
    }

    /// What must stay free so that the server goes on taking writes, and a hundredth for what it writes meanwhile.
    pub const fn kept(&self) -> u64 {
        self.total / HEADROOM + self.total / 100
    }
}

/// What is there for the backup, and what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    pub there: u64,
    pub needed: u64,
}

impl Space {
    /// Looks at the volume. `goes` is left to the caller, who knows what becomes of `data/`.
    pub fn look(mount: &Path, backups: &Tree, manifest: &Manifest, goes: u64) -> Result<Self, RestoreError> {
        let Room { free, total } = Room::look(mount)?;
        let comes = manifest.objects.iter().map(|object| {
            let path = PathBuf::from(manifest.relative(&object.key));
            // Without a checksum nothing that lies there is used.
            let there = match backups.size(&path) {
                Some(size) if size == object.size && !object.sha256.is_empty() => size,
                _ => backups.arrived(&path),
            };
            object.size.saturating_sub(there)
        });
        Ok(Self { total, free, goes, comes: comes.sum() })
    }

    /// What is missing for a backup that unpacks to so many bytes.
    pub fn shortage(&self, unpacked: u64) -> Option<Shortage> {
        let Self { total, free, goes, comes } = *self;
        // While it is fetched the old data still lies there.
        if comes > free {
            return Some(Shortage { there: free, needed: comes });
        }
        let there = (free + goes).saturating_sub(total / HEADROOM);
        let needed = comes + unpacked;
        (needed > there).then_some(Shortage { there, needed })
    }
}

/// Bytes on the disk below a directory that the container can write: no link is followed.
pub fn below(path: &Path) -> Result<u64, RestoreError> {
    fn sum(dir: &Dir) -> std::io::Result<u64> {
        let mut bytes = 0;
        for entry in dir.entries()? {
            let entry = entry?;
            // The server works there: what is gone by now takes no space.
            let Ok(metadata) = dir.symlink_metadata(entry.file_name()) else { continue };
            bytes += metadata.blocks() * 512;
            if metadata.is_dir()
                && let Ok(inner) = dir.open_dir(entry.file_name())
            {
                bytes += sum(&inner)?;
            }
        }
        Ok(bytes)
    }
    let local = |source| RestoreError::Local { path: path.display().to_string(), source };
    Dir::open_ambient_dir(path, cap_std::ambient_authority()).and_then(|dir| sum(&dir)).map_err(local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_stays_free_and_what_goes_counts() {
        let space = |free, goes, comes| Space { total: 1000, free, goes, comes };
        let short = |there, needed| Some(Shortage { there, needed });
        let rows = [
            ("a blank volume", space(1000, 0, 400), 500, None),
            ("the last tenth is the server's", space(1000, 0, 400), 501, short(900, 901)),
            ("all of it lies there already", space(600, 0, 0), 500, None),
            ("old data that goes makes room", space(300, 500, 200), 500, None),
            ("old data that stays makes none", space(300, 0, 200), 500, short(200, 700)),
            ("but not while it is fetched", space(100, 800, 200), 100, short(100, 200)),
        ];
        for (name, space, unpacked, expected) in rows {
            assert_eq!(space.shortage(unpacked), expected, "{name}");
        }
    }

    #[test]
    fn links_out_of_the_data_are_not_followed() {
        let (data, other) = (tempfile::tempdir().expect("makes"), tempfile::tempdir().expect("makes"));
        std::fs::write(other.path().join("big"), vec![1; 1 << 20]).expect("writes");
        std::fs::create_dir(data.path().join("a")).expect("makes");
        std::fs::write(data.path().join("a/small"), vec![1; 8 << 10]).expect("writes");
        std::os::unix::fs::symlink(other.path(), data.path().join("out")).expect("links");
        let found = below(data.path()).expect("looks");
        assert!((8 << 10..1 << 19).contains(&found), "{found}");
    }
}
