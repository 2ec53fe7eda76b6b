//! Control groups of a machine's containers. They live in the host's hierarchies, so they carry the world's
//! process id in their name, and whoever comes next sweeps those of a world that died.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

static NEXT: AtomicU32 = AtomicU32::new(0);
const ROOT: &str = "/sys/fs/cgroup";

/// A name for the parent of a machine's containers, unique on the host.
pub(super) fn name() -> String {
    format!("world-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Removes the group of this name from all hierarchies; a killed container's tasks take a moment to leave.
/// Says what is still there.
pub(super) async fn remove(name: &str, patience: Duration) -> Vec<PathBuf> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let left = remove_now(name);
        if left.is_empty() || tokio::time::Instant::now() >= deadline {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One attempt.
pub(super) fn remove_now(name: &str) -> Vec<PathBuf> {
    groups(name).into_iter().filter(|group| !rmdir(group)).collect()
}

/// Removes what worlds left that are no more.
pub(super) fn sweep() {
    for hierarchy in hierarchies() {
        let Ok(entries) = std::fs::read_dir(hierarchy) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let world = name.to_str().and_then(|name| name.strip_prefix("world-"));
            let Some((pid, _)) = world.and_then(|rest| rest.split_once('-')) else { continue };
            // A group with tasks cannot be removed, so a live world that we do not see loses nothing.
            if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() {
                rmdir(&entry.path());
            }
        }
    }
}

fn groups(name: &str) -> Vec<PathBuf> {
    hierarchies().into_iter().map(|h| h.join(name)).filter(|group| group.exists()).collect()
}

/// Version 1 has a directory per controller, version 2 is one tree.
fn hierarchies() -> Vec<PathBuf> {
    let root = PathBuf::from(ROOT);
    if root.join("cgroup.controllers").exists() {
        return vec![root];
    }
    let Ok(entries) = std::fs::read_dir(&root) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir() && !path.is_symlink()).collect()
}

fn rmdir(group: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(group) else { return !group.exists() };
    for child in entries.flatten().filter(|entry| entry.path().is_dir()) {
        rmdir(&child.path());
    }
    std::fs::remove_dir(group).is_ok()
}
