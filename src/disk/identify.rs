//! What is on a disk and who holds it, without changing a byte.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::decide::{Content, Mountpoint, Peek};
use super::discover::Disk;
use super::error::passes;
use super::record::{Found, Record};
use super::{DiskError, volume};
use crate::process;

/// A few blocks are read.
pub const BLKID: Duration = Duration::from_secs(20);
/// A mount that replays nothing, and one file.
pub const PEEK: Duration = Duration::from_secs(30);

/// The label of our file system: it names deployment and node, so that it can be recognised before anything
/// inside is read. XFS takes 12 letters (mkfs.xfs(8)).
pub fn label(deployment: &str, node: &str) -> String {
    let digest = Sha256::digest(format!("{deployment}/{node}"));
    let number = digest.iter().take(5).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("wv-{:09x}", number >> 4)
}

/// One line of `/proc/thread-self/mountinfo` (proc_pid_mountinfo(5)): a thread may have mounts of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    pub device: (u64, u64),
    pub root: PathBuf,
    pub at: PathBuf,
}

pub fn mounts(proc: &Path) -> Result<Vec<Mounted>, DiskError> {
    let text = std::fs::read_to_string(proc.join("thread-self/mountinfo"))
        .map_err(|source| DiskError::Mounts { source })?;
    Ok(text.lines().filter_map(mounted).collect())
}

fn mounted(line: &str) -> Option<Mounted> {
    let mut fields = line.split(' ').skip(2);
    let (major, minor) = fields.next()?.split_once(':')?;
    let root = unescape(fields.next()?);
    let at = unescape(fields.next()?);
    Some(Mounted { device: (major.parse().ok()?, minor.parse().ok()?), root, at })
}

/// Blanks, tabs, line ends and back-slashes are written as octal numbers.
fn unescape(text: &str) -> PathBuf {
    let mut out = text.to_owned();
    for (code, letter) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        out = out.replace(code, letter);
    }
    out.into()
}

pub fn mountpoint(mounts: &[Mounted], path: &Path) -> Result<Mountpoint, DiskError> {
    // The last line wins: it lies on top.
    if let Some(top) = mounts.iter().rev().find(|mounted| mounted.at == path) {
        return Ok(Mountpoint::Mounted { device: nix::sys::stat::makedev(top.device.0, top.device.1) });
    }
    let unreadable = |source| DiskError::Volume { path: path.to_owned(), operation: "looked into", source };
    match std::fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            None => Ok(Mountpoint::Free),
            Some(entry) => {
                let first = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
                Ok(Mountpoint::Files { first })
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Mountpoint::Free),
        Err(source) => Err(unreadable(source)),
    }
}

/// Who holds the disk. The exclusive open also sees swap, RAID members and mounts of other namespaces (open(2)).
pub fn held(mounts: &[Mounted], disk: &Disk) -> Result<Option<String>, DiskError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(mounted) = mounts.iter().find(|mounted| mounted.device == disk.number) {
        return Ok(Some(format!("a mount on {}", mounted.at.display())));
    }
    let flags = nix::fcntl::OFlag::O_EXCL | nix::fcntl::OFlag::O_CLOEXEC;
    match std::fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(&disk.node) {
        Ok(_) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
            Ok(Some("the kernel (swap, RAID, or a mount elsewhere)".to_owned()))
        }
        Err(source) => Err(DiskError::Device { node: disk.node.clone(), operation: "opened", source }),
    }
}

/// What `blkid` and the superblock say. `mount` is where it is mounted, if it is.
pub async fn content(
    disk: &Disk,
    label: &str,
    mount: Option<&Path>,
    scratch: &Path,
) -> Result<Content, DiskError> {
    let found = probe(disk).await?;
    let value = |key: &str| found.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    if found.is_empty() {
        return Ok(Content::Blank);
    }
    let (kind, named) = (value("TYPE"), value("LABEL").unwrap_or_default());
    if kind != Some("xfs") || named != label {
        let what = match (kind, value("PTTYPE")) {
            (Some("xfs"), _) => format!("an XFS file system labelled {named:?}, not {label:?}"),
            (Some(kind), _) => format!("{kind} (label {named:?})"),
            (None, Some(table)) => format!("a partition table ({table})"),
            (None, None) => "several signatures".to_owned(),
        };
        return Ok(Content::Foreign { what });
    }
    if unfinished(disk)? {
        return Ok(Content::Unfinished);
    }
    let uuid = value("UUID").unwrap_or_default().to_owned();
    let peek = match mount {
        Some(mount) => inside(mount),
        None => peek(disk.clone(), scratch.to_owned()).await?,
    };
    Ok(Content::Ours { uuid, peek })
}

async fn probe(disk: &Disk) -> Result<Vec<(String, String)>, DiskError> {
    let failed = |source| DiskError::Probe { node: disk.node.clone(), source };
    let node = disk.node.to_string_lossy();
    let arguments = ["-p", "-o", "export", &node];
    let (status, output) = process::run_any("blkid", &arguments, None, BLKID).await.map_err(failed)?;
    // blkid(8): 2 is "nothing found", 8 is "several signatures contradict each other".
    match status.code() {
        Some(2) => Ok(Vec::new()),
        Some(8) => Ok(vec![("AMBIVALENT".to_owned(), String::new())]),
        Some(0) => Ok(output
            .stdout
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(key, _)| *key != "DEVNAME")
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()),
        _ => Err(failed(process::ProcessError::Failed {
            command: format!("blkid {}", arguments.join(" ")),
            status,
            stdout: output.stdout,
            stderr: output.stderr,
        })),
    }
}

/// Whether mkfs did not come to its end: byte 126 of an XFS superblock is `sb_inprogress` (xfs_format.h).
fn unfinished(disk: &Disk) -> Result<bool, DiskError> {
    use std::os::unix::fs::FileExt as _;
    let mut superblock = [0_u8; 512];
    std::fs::File::open(&disk.node)
        .and_then(|file| file.read_exact_at(&mut superblock, 0))
        .map_err(|source| DiskError::Device { node: disk.node.clone(), operation: "read", source })?;
    Ok(superblock[126] != 0)
}

fn inside(mount: &Path) -> Peek {
    match volume::data_is_empty(mount) {
        Ok(data_empty) => Peek::Inside { record: Record::read(mount), data_empty },
        Err(error) => Peek::Inside { record: Found::Unreadable(error.to_string()), data_empty: false },
    }
}

/// Looks into a file system that is not mounted: read-only, its log not replayed, so that a stranger's stays as
/// it is. In a mount namespace of a thread of its own: whatever ends the thread ends the mount.
async fn peek(disk: Disk, scratch: PathBuf) -> Result<Peek, DiskError> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let node = disk.node.clone();
    std::thread::spawn(move || {
        let _ = answer.send(peek_in_thread(&disk, &scratch));
    });
    let looked = match tokio::time::timeout(PEEK, answered).await {
        Ok(Ok(looked)) => looked,
        Ok(Err(broken)) => Err(std::io::Error::other(broken)),
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    };
    looked.map_err(|source| DiskError::Device { node, operation: "looked into", source })
}

/// An error is the machine's; what the disk itself is to blame for is an answer.
fn peek_in_thread(disk: &Disk, scratch: &Path) -> std::io::Result<Peek> {
    use nix::mount::{MsFlags, mount, umount};
    const NONE: Option<&str> = None;
    std::fs::create_dir_all(scratch)?;
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    match mount(Some(&disk.node), scratch, Some("xfs"), flags, Some("norecovery")) {
        Ok(()) => {}
        Err(errno) if passes(&errno.into()) => return Err(errno.into()),
        Err(errno) => return Ok(Peek::Unmountable { why: std::io::Error::from(errno).to_string() }),
    }
    let seen = inside(scratch);
    umount(scratch)?;
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_fits_and_names_deployment_and_node() {
        let one = label("acme-prod", "weaviate-0");
        assert_eq!(one.len(), 12);
        assert_ne!(one, label("acme-prod", "weaviate-1"));
        assert_ne!(one, label("acme-test", "weaviate-0"));
    }

    #[test]
    fn mountinfo_is_read_with_its_escapes() {
        let line = r"36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 - ext3 /dev/root rw";
        let expected = Mounted { device: (98, 0), root: "/mnt1".into(), at: "/mnt 2".into() };
        assert_eq!(mounted(line), Some(expected));
    }
}
