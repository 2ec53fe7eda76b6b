//! A machine's volumes over its lives: root volumes, disks, and what a power cut does to them.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::stat::{Mode, SFlag, major, minor, mknod};
use tokio::time::{Instant, sleep};

use super::disk::{self, Disk, DiskSpec, INSTANCE_STORE};
use super::root::Boot;
use super::store::put;
use super::{Machine, sysfs};

/// How long the kernel may take to let go of a file system or a loop device.
const PATIENCE: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(5);

impl Machine {
    /// The disk with this serial.
    pub fn disk(&self, serial: &str) -> Result<Arc<Disk>> {
        let disks = self.disks();
        disks.into_iter().find(|disk| disk.spec.serial == serial).with_context(|| format!("no disk {serial}"))
    }

    /// All disks, in the order of their controllers.
    pub fn disks(&self) -> Vec<Arc<Disk>> {
        self.disks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Plugs the disks of the spec. EBS volumes that are there stay; instance stores are new ones.
    pub(super) fn fit_disks(&self, generation: u32) -> Result<()> {
        let old = self.disks();
        let mut disks = Vec::new();
        for (index, spec) in self.spec.disks.iter().enumerate() {
            let ephemeral = spec.model == INSTANCE_STORE;
            if let Some(kept) = old.get(index).filter(|_| !ephemeral) {
                disks.push(Arc::clone(kept));
                continue;
            }
            let mut spec: DiskSpec = spec.clone();
            if generation > 0 {
                let keep = spec.serial.len().saturating_sub(4);
                spec.serial = format!("{}{generation:04X}", &spec.serial[..keep]);
            }
            disks.push(Arc::new(Disk::plug(
                &self.store,
                &format!("{}-nvme{index}-{generation}", self.cgroup),
                &spec,
            )?));
        }
        *self.disks.lock().unwrap_or_else(PoisonError::into_inner) = disks;
        Ok(())
    }

    pub(super) fn volume_path(&self) -> PathBuf {
        self.store.path().join(format!("volumes/root{}", self.root.load(Ordering::Acquire)))
    }

    /// What was written to the root volume since it was made; Docker's files, which lie apart, are not in it.
    pub fn written_root(&self) -> PathBuf {
        self.volume_path().join("upper")
    }

    /// The engine's own files, whether or not the machine runs.
    pub fn engine_files(&self) -> PathBuf {
        self.volume_path().join("docker")
    }

    /// The disk behind a device node of the running machine.
    pub fn disk_of(&self, node: &str) -> Option<Arc<Disk>> {
        let number = std::fs::metadata(self.path(node)).ok()?.rdev();
        self.disks().into_iter().find(|disk| disk.number == number)
    }

    /// A root volume as the image has it, plus what EC2 and cloud-init write into it.
    pub(super) fn fresh_root(&self, number: u32) -> Result<()> {
        let volume = self.store.path().join(format!("volumes/root{number}"));
        for part in ["upper", "work", "docker"] {
            std::fs::create_dir_all(volume.join(part)).context("make the root volume")?;
        }
        let upper = volume.join("upper");
        let address = self.spec.primary.address;
        let mut hosts = format!("127.0.0.1 localhost\n{address} {}\n", self.hostname());
        hosts.extend(self.spec.hosts.iter().map(|(address, name)| format!("{address} {name}\n")));
        put(&upper.join("etc/hosts"), hosts)?;
        put(&upper.join("etc/hostname"), self.hostname() + "\n")?;
        put(&upper.join("etc/machine-id"), uuid().replace('-', "") + "\n")?;
        // Nobody answers there, and quickly: the second address of the VPC is a closed port of the router.
        put(&upper.join("etc/resolv.conf"), "nameserver 10.0.0.2\noptions timeout:1 attempts:1\n")?;
        for hidden in &self.spec.hide {
            let path = upper.join(hidden.strip_prefix("/").unwrap_or(hidden));
            let parent = path.parent().context("the root cannot be hidden")?;
            std::fs::create_dir_all(parent).context("make room for what is hidden")?;
            // Overlayfs takes a character device 0:0 for "not there".
            mknod(&path, SFlag::S_IFCHR, Mode::empty(), 0)
                .with_context(|| format!("hide {}", hidden.display()))?;
        }
        Ok(())
    }

    fn hostname(&self) -> String {
        format!("ip-{}", self.spec.primary.address.to_string().replace('.', "-"))
    }

    /// What is new at each boot: the boot id and the sysfs tree.
    pub(super) fn prepare(&self, boots: u32) -> Result<Boot> {
        let disks = self.disks();
        let fresh = format!("boots/{boots}");
        let directory = self.store.path().join(&fresh);
        put(&directory.join("boot_id"), uuid() + "\n")?;
        sysfs::write(&directory.join("sysfs"), &disks)?;
        Ok(Boot {
            hostname: self.hostname(),
            volume: format!("volumes/root{}", self.root.load(Ordering::Acquire)),
            fresh,
            nodes: disks.iter().enumerate().map(|(n, disk)| (format!("nvme{n}n1"), disk.number)).collect(),
            share: self.spec.share.clone(),
        })
    }

    /// Descriptors of what is mounted from the machine's disks: they keep the file systems while it dies.
    pub(super) fn hold_mounts(&self, init: u32) -> Result<Vec<File>> {
        let table = std::fs::read_to_string(format!("/proc/{init}/mountinfo"))
            .context("read the machine's mounts")?;
        let numbers: Vec<String> =
            self.disks().iter().map(|d| format!("{}:{}", major(d.number), minor(d.number))).collect();
        let ours = table.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(2);
            let (number, _, at) = (fields.next()?, fields.next()?, fields.next()?);
            numbers.iter().any(|ours| ours == number).then(|| at.trim_start_matches('/').to_owned())
        });
        let root = PathBuf::from(format!("/proc/{init}/root"));
        // One that is hidden under another mount cannot be opened; the same file system has others or none.
        Ok(ours.filter_map(|at| File::open(root.join(at)).ok()).collect())
    }

    /// Lets the dead machine's file systems go. A cut first shuts them down without writing anything back,
    /// so that what nobody synced is lost as on real hardware.
    pub(super) async fn release(&self, mounts: Vec<File>, lose_unsynced: bool) -> Result<()> {
        if lose_unsynced {
            for mount in &mounts {
                let path = format!("/proc/{}/fd/{}", std::process::id(), mount.as_raw_fd());
                // Fails when the file system is not an XFS or is down already: it was mounted twice.
                if let Err(error) = disk::run("xfs_io", &["-x", "-c", "shutdown", &path]) {
                    tracing::debug!(%error, "not shut down");
                }
            }
        }
        drop(mounts);
        let names: Vec<String> = self.disks().iter().map(|d| format!("loop{}", minor(d.number))).collect();
        gone(|| {
            let mounted = |name: &String| {
                ["xfs", "ext4"].iter().any(|kind| Path::new("/sys/fs").join(kind).join(name).exists())
            };
            names.iter().filter(|name| mounted(name)).cloned().collect()
        })
        .await
        .context("the dead machine's file systems stay mounted")
    }
}

/// Closes the disks and waits until the kernel has freed their loop devices.
pub(super) async fn free(disks: Vec<Arc<Disk>>) -> Result<()> {
    if let Some(held) = disks.iter().find(|disk| Arc::strong_count(disk) > 1) {
        bail!("somebody still holds disk {}", held.spec.serial);
    }
    let backing: Vec<PathBuf> = disks
        .iter()
        .map(|d| {
            PathBuf::from(format!("/sys/dev/block/{}:{}/loop/backing_file", major(d.number), minor(d.number)))
        })
        .collect();
    let ours: Vec<Vec<u8>> = backing.iter().map(|path| std::fs::read(path).unwrap_or_default()).collect();
    drop(disks);
    gone(|| {
        let still = backing
            .iter()
            .zip(&ours)
            .filter(|(path, ours)| std::fs::read(path).is_ok_and(|now| now == **ours));
        still.map(|(path, _)| path.display().to_string()).collect()
    })
    .await
    .context("loop devices stay")
}

async fn gone(left: impl Fn() -> Vec<String>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = left();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{left:?} after {PATIENCE:?}");
        }
        sleep(INTERVAL).await;
    }
}

/// A random UUID in the kernel's own format.
fn uuid() -> String {
    let n: u128 = rand::random::<u128>() & !(0xf000 << 64 | 0xc << 60) | (0x4000 << 64 | 0x8 << 60);
    let hex = format!("{n:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
