//! The two things that change a disk: a file system is made, and mounted.
//!
//! Both begin with the disk's serial in the journal, and so does every later write of `volume`: the root volume
//! may have been replaced since the disk was formatted, and the journal with it.

use std::path::Path;
use std::time::Duration;

use nix::mount::MsFlags;

use super::{Disk, DiskError, Plan, discover, identify};
use crate::failpoint;
use crate::host::Host;
use crate::process;

/// Options of the mount: no access times (each read would write), nothing on it is a device or a program.
/// `discard` is absent on purpose: TRIM on each deletion slows an NVMe disk down, `fstrim` does it in bulk.
const FLAGS: MsFlags =
    MsFlags::MS_NOATIME.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOSUID).union(MsFlags::MS_NOEXEC);
/// Without TRIM (see below) a matter of seconds.
pub const FORMAT: Duration = Duration::from_mins(2);
/// A mount replays the log: of a busy file system that takes seconds.
pub const MOUNT: Duration = Duration::from_mins(5);
/// systemd's own answers.
pub const SOON: Duration = Duration::from_secs(30);
const FLAG_WORDS: &str = "noatime,nodev,nosuid,noexec";

/// Names the disk in the journal. To be called, and to succeed, before a byte of it is changed.
pub fn name(host: &Host, disk: &Disk) -> Result<(), DiskError> {
    host.journal
        .name_disk(&disk.serial)
        .map_err(|source| DiskError::Journal { serial: disk.serial.clone(), source })
}

pub async fn format(host: &Host, disk: &Disk, plan: &Plan) -> Result<(), DiskError> {
    let Plan::Format { again, .. } = plan else { return Ok(()) };
    let settings = &host.settings;
    name(host, disk)?;
    // Right before the first byte: the node must still be the disk that was looked at.
    discover::verify(&host.roots.sysfs, &host.roots.dev, &settings.storage.model, disk)?;
    let label = identify::label(settings.node.deployment.as_str(), settings.node.name.as_str());
    let node = disk.node.to_string_lossy();
    // -K: an instance store arrives trimmed; discarding a terabyte again takes minutes (EC2 user guide).
    // -q: the geometry is of no use in a log. Without -f mkfs refuses whatever it recognises itself; with it
    // only over our own superblock that mkfs has left unfinished.
    let mut arguments = vec!["-K", "-q", "-L", &label];
    if *again {
        arguments.push("-f");
    }
    arguments.push(&node);
    process::run("mkfs.xfs", &arguments, None, FORMAT)
        .await
        .map_err(|source| DiskError::Format { node: disk.node.clone(), source })?;
    Ok(())
}

/// Mounts the disk: by systemd where it runs, because a mount made inside the sandbox of our unit is invisible
/// to Docker, by the system call elsewhere.
pub async fn mount(host: &Host, disk: &Disk) -> Result<(), DiskError> {
    let target = &host.settings.storage.mount;
    // A mount writes: it replays the log and counts itself in the superblock.
    name(host, disk)?;
    discover::verify(&host.roots.sysfs, &host.roots.dev, &host.settings.storage.model, disk)?;
    std::fs::create_dir_all(target).map_err(|source| DiskError::Volume {
        path: target.clone(),
        operation: "made",
        source,
    })?;
    // sd_booted(3)
    if Path::new("/run/systemd/system").is_dir() {
        mount_by_systemd(disk, target).await
    } else {
        let call = format!("mount {}", disk.node.display());
        failpoint::around(&call, mount_here(disk, target)).await
    }
}

async fn mount_here(disk: &Disk, target: &Path) -> Result<(), DiskError> {
    let failed = |source| DiskError::Mount { node: disk.node.clone(), mount: target.to_owned(), source };
    let (node, at) = (disk.node.clone(), target.to_owned());
    let work = tokio::task::spawn_blocking(move || {
        nix::mount::mount(Some(&node), &at, Some("xfs"), FLAGS, None::<&str>)
    });
    match tokio::time::timeout(MOUNT, work).await {
        Ok(Ok(done)) => done.map_err(|errno| failed(errno.into())),
        Ok(Err(broken)) => Err(failed(std::io::Error::other(broken))),
        Err(_) => Err(failed(std::io::ErrorKind::TimedOut.into())),
    }
}

/// The unit lives in `/run`: after a reboot the disk is looked at before anything mounts it.
async fn mount_by_systemd(disk: &Disk, target: &Path) -> Result<(), DiskError> {
    let failed = |source| DiskError::MountUnit {
        node: disk.node.clone(),
        mount: target.to_owned(),
        source: Box::new(source),
    };
    let (node, at) = (disk.node.to_string_lossy(), target.to_string_lossy());
    let unit = process::run("systemd-escape", &["--path", "--suffix=mount", &at], None, SOON)
        .await
        .map_err(failed)?;
    let unit = unit.stdout.trim();
    let text = format!(
        "[Unit]\nDescription=Data volume of Weaviate (instance store {})\n\
         Before=docker.service\n\n[Mount]\nWhat={node}\nWhere={at}\nType=xfs\nOptions={FLAG_WORDS}\n",
        disk.serial
    );
    let path = Path::new("/run/systemd/system").join(unit);
    crate::state::replace(&path, text.as_bytes(), 0o644).map_err(|source| DiskError::Volume {
        path,
        operation: "written",
        source,
    })?;
    process::run("systemctl", &["daemon-reload"], None, SOON).await.map_err(failed)?;
    process::run("systemctl", &["start", unit], None, MOUNT).await.map_err(failed)?;
    Ok(())
}
