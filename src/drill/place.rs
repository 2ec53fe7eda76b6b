//! The room for a drill: a folder of its own on the data volume, and memory that nobody needs.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;

use super::error::DrillError;
use crate::config::ByteSize;
use crate::store::Owner;

/// At the root of the data volume.
pub const FOLDER: &str = "drill";
/// A server with little data takes some 100 MB (`tests/recordings`); under this much there is nothing to begin with.
const LEAST: u64 = 256 << 20;

/// Where the second server has its things.
#[derive(Debug)]
pub struct Place {
    pub data: PathBuf,
    pub backups: PathBuf,
}

/// Makes the folder anew, for the server's user.
pub fn make(mount: &Path, owner: Owner) -> Result<Place, DrillError> {
    remove(mount)?;
    let folder = mount.join(FOLDER);
    let place = Place { data: folder.join("data"), backups: folder.join("backups") };
    for path in [&folder, &place.data, &place.backups] {
        let failed = |source| DrillError::Local { verb: "made", path: path.display().to_string(), source };
        std::fs::create_dir(path).map_err(failed)?;
        std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid)).map_err(failed)?;
    }
    Ok(place)
}

/// Removes it. A container could write there: no link is followed.
pub fn remove(mount: &Path) -> Result<(), DrillError> {
    let failed = |source: Error| DrillError::Local {
        verb: "removed",
        path: mount.join(FOLDER).display().to_string(),
        source,
    };
    let dir = Dir::open_ambient_dir(mount, cap_std::ambient_authority()).map_err(failed)?;
    match dir.remove_dir_all(FOLDER) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.map_err(failed),
    }
}

/// How much the second server may have: what is configured, or half of what is free.
pub fn memory(proc: &Path, configured: Option<ByteSize>) -> Result<u64, DrillError> {
    let path = proc.join("meminfo");
    let text = std::fs::read_to_string(&path).map_err(|source| DrillError::Local {
        verb: "read",
        path: path.display().to_string(),
        source,
    })?;
    decide(available(&text).unwrap_or_default(), configured.map(|size| size.0))
}

/// `MemAvailable` of `/proc/meminfo`, in bytes: what can be had without swapping (proc_meminfo(5)).
fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

fn decide(free: u64, configured: Option<u64>) -> Result<u64, DrillError> {
    let wanted = configured.unwrap_or(free / 2);
    if wanted > free || wanted < LEAST {
        let needed = wanted.max(LEAST);
        return Err(DrillError::Memory { free: free >> 20, needed: needed >> 20 });
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_as_far_as_nobody_needs_it() {
        const GIB: u64 = 1 << 30;
        let rows = [
            (8 * GIB, None, Some(4 * GIB)),
            (8 * GIB, Some(6 * GIB), Some(6 * GIB)),
            (8 * GIB, Some(9 * GIB), None),
            (300 << 20, None, None),
            (0, Some(1), None),
        ];
        for (free, configured, expected) in rows {
            let decided = decide(free, configured);
            let refused = matches!(decided, Err(DrillError::Memory { .. }));
            assert_eq!((decided.ok(), refused), (expected, expected.is_none()), "{free} {configured:?}");
        }
        let text = "MemTotal:       24000000 kB\nMemFree:         1000000 kB\nMemAvailable:   18000000 kB\n";
        assert_eq!(available(text), Some(18_000_000 << 10));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn a_folder_is_made_anew_and_links_in_it_are_not_followed() {
        let (mount, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        std::fs::write(other.path().join("kept"), "x").expect("written");
        let owner = Owner { uid: nix::unistd::getuid().as_raw(), gid: nix::unistd::getgid().as_raw() };
        let place = make(mount.path(), owner).expect("made");
        std::fs::write(place.data.join("left"), "x").expect("written");
        std::os::unix::fs::symlink(other.path(), place.data.join("out")).expect("linked");
        let place = make(mount.path(), owner).expect("made again");
        assert_eq!(std::fs::read_dir(&place.data).expect("read").count(), 0);
        assert!(other.path().join("kept").exists());
        remove(mount.path()).expect("removed");
        remove(mount.path()).expect("nothing to remove");
        assert!(!mount.path().join(FOLDER).exists());
        let nowhere = make(&mount.path().join("gone"), owner);
        assert!(matches!(nowhere, Err(DrillError::Local { .. })), "{nowhere:?}");
    }
}
