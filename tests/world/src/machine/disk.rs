//! Disks: sparse files of the store on loop devices.
//!
//! ```text
//!  image (sparse) ─ losetup ─▶ loop device, held open ─ losetup -d ─▶ marked autoclear: freed at the last close
//! ```
//! The world's descriptor keeps the loop; a world that dies lets go, and the kernel frees it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use sha2::{Digest, Sha256};

use super::store::{MOUNTED, Store, put};

/// What EC2 calls an instance store volume. NVMe pads the field with spaces to 40 characters.
pub const INSTANCE_STORE: &str = "Amazon EC2 NVMe Instance Storage";
/// What EC2 calls an EBS volume.
pub const EBS: &str = "Amazon Elastic Block Store";

/// A disk as it is asked for. Its place in the list is its NVMe controller's number.
#[derive(Clone, Debug)]
pub struct DiskSpec {
    pub model: String,
    pub serial: String,
    pub bytes: u64,
    /// What stands at its beginning already: a foreign disk is not blank.
    pub contents: Vec<u8>,
}

impl DiskSpec {
    pub fn instance_store(serial: &str, bytes: u64) -> Self {
        Self { model: INSTANCE_STORE.into(), serial: serial.into(), bytes, contents: Vec::new() }
    }

    /// The root volume as a block device: nothing is mounted from it, and nobody may write to it.
    pub fn ebs_root(serial: &str) -> Self {
        let contents = b"the root volume's own data ".repeat(4096);
        Self { model: EBS.into(), serial: serial.into(), bytes: 64 << 20, contents }
    }
}

/// The state of an image that a poller compares: cheap, and never the same after a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    blocks: u64,
    modified: (i64, i64),
}

/// A disk that is plugged into a machine.
#[derive(Debug)]
pub struct Disk {
    pub spec: DiskSpec,
    pub(super) number: u64,
    image: PathBuf,
    device: File,
    /// As it was when the case began.
    begun: Mutex<Touch>,
}

impl Disk {
    /// Makes the image and its loop device.
    pub(super) fn plug(store: &Store, name: &str, spec: &DiskSpec) -> Result<Self> {
        let image = store.path().join("disks").join(name);
        put(&image, &spec.contents)?;
        OpenOptions::new().write(true).open(&image)?.set_len(spec.bytes).context("size the image")?;
        let (device, number) = store.enter(|| {
            let inside = format!("{MOUNTED}/disks/{name}");
            let node = run("losetup", &["--find", "--show", "--nooverlap", &inside])?;
            let node = node.trim();
            let device =
                OpenOptions::new().read(true).write(true).open(node).context("open the loop device")?;
            // Held open it is not detached but marked: the kernel frees it at the last close.
            run("losetup", &["--detach", node])?;
            let number = device.metadata().context("look at the loop device")?.rdev();
            Ok((device, number))
        })?;
        let begun = Mutex::new(touch(&image)?);
        Ok(Self { spec: spec.clone(), number, image, device, begun })
    }

    /// The image on the host.
    pub fn image(&self) -> &std::path::Path {
        &self.image
    }

    /// What a poller compares. Writes that the guest has not flushed yet are not in it.
    pub fn touch(&self) -> Result<Touch> {
        touch(&self.image)
    }

    /// Whether anything was written since the case began; flushes the device first.
    pub fn written(&self) -> Result<bool> {
        self.device.sync_all().context("flush the loop device")?;
        Ok(self.touch()? != *self.begun())
    }

    /// The case begins with the disk as it is now.
    pub fn begin(&self) -> Result<()> {
        self.device.sync_all().context("flush the loop device")?;
        *self.begun() = self.touch()?;
        Ok(())
    }

    fn begun(&self) -> MutexGuard<'_, Touch> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// SHA-256 over the offset and contents of every block that is not zero; flushes the device first.
    pub fn sha256(&self) -> Result<String> {
        self.device.sync_all().context("flush the loop device")?;
        let mut file = File::open(&self.image).context("open the image")?;
        let mut digest = Sha256::new();
        let mut block = vec![0; 4096];
        let mut offset = 0;
        loop {
            offset = match lseek(&file, offset, Whence::SeekData) {
                Ok(data) => data & !4095,
                Err(Errno::ENXIO) => break,
                Err(e) => return Err(e).context("find the image's next data"),
            };
            file.seek(SeekFrom::Start(offset.unsigned_abs()))?;
            let read = file.by_ref().take(4096).read(&mut block).context("read the image")?;
            if block[..read].iter().any(|byte| *byte != 0) {
                digest.update(offset.to_le_bytes());
                digest.update(&block[..read]);
            }
            offset += 4096;
        }
        Ok(digest.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")))
    }
}

fn touch(image: &std::path::Path) -> Result<Touch> {
    let meta = std::fs::metadata(image).with_context(|| format!("look at {}", image.display()))?;
    Ok(Touch { blocks: meta.blocks(), modified: (meta.mtime(), meta.mtime_nsec()) })
}

/// Runs a program of the host, in the namespaces of the calling thread, and returns what it prints.
pub(super) fn run(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).output().with_context(|| format!("start {program}"))?;
    if !output.status.success() {
        bail!("{program} {args:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("read what {program} prints"))
}
