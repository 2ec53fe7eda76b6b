//! Which instance stores this machine has: from sysfs, by model, never by name.
//!
//! Names are given in the order in which controllers answer, and the root disk "has been observed as nvme0n1,
//! nvme2n1 and nvme3n1" (amazon-eks-ami). The links under `/dev/disk/by-id` need udev, and one disk has several.

use std::path::{Path, PathBuf};

use super::DiskError;

/// One NVMe namespace with the model of an instance store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    pub serial: String,
    /// `<dev>/nvme1n1`, whose number is `number`.
    pub node: PathBuf,
    /// Major and minor.
    pub number: (u64, u64),
    pub bytes: u64,
}

impl Disk {
    /// As `stat` gives it.
    pub fn device(&self) -> u64 {
        nix::sys::stat::makedev(self.number.0, self.number.1)
    }
}

fn read(path: &Path) -> Result<String, DiskError> {
    match std::fs::read_to_string(path) {
        // The fields of the identify page are padded with spaces.
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(DiskError::Sysfs { path: path.to_owned(), source }),
    }
}

fn names(directory: &Path) -> Result<Vec<String>, DiskError> {
    let unreadable = |source| DiskError::Sysfs { path: directory.to_owned(), source };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(unreadable(source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// `nvme1n1`: not `nvme1c0n1` (a path of a multipath device) nor `nvme1n1p1` (a partition).
fn is_namespace(name: &str) -> bool {
    let Some((controller, namespace)) = name.strip_prefix("nvme").and_then(|rest| rest.split_once('n'))
    else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits(controller) && digits(namespace)
}

fn number(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// All namespaces whose controller says `model`, by serial.
pub fn discover(sysfs: &Path, dev: &Path, model: &str) -> Result<Vec<Disk>, DiskError> {
    let class = sysfs.join("class/nvme");
    let mut disks = Vec::new();
    for controller in names(&class)? {
        let directory = class.join(&controller);
        if read(&directory.join("model"))? != model {
            continue;
        }
        let serial = read(&directory.join("serial"))?;
        for namespace in names(&directory)?.into_iter().filter(|name| is_namespace(name)) {
            let block = directory.join(&namespace);
            let text = read(&block.join("dev"))?;
            let odd = |what: &str| DiskError::Odd { serial: serial.clone(), what: what.to_owned() };
            let number = number(&text).ok_or_else(|| odd("has no device number in sysfs"))?;
            let sectors: u64 = read(&block.join("size"))?.parse().map_err(|_| odd("has no size in sysfs"))?;
            if serial.is_empty() {
                return Err(odd("has no serial in sysfs"));
            }
            // sysfs counts in sectors of 512 bytes whatever the disk's own are (Documentation/ABI/stable/sysfs-block).
            disks.push(Disk {
                serial: serial.clone(),
                node: dev.join(namespace),
                number,
                bytes: sectors * 512,
            });
        }
    }
    disks.sort_by(|a, b| (&a.serial, a.number).cmp(&(&b.serial, b.number)));
    Ok(disks)
}

/// Looks the disk up again, right before it is changed: names and numbers may have moved since
/// (aws-ebs-csi-driver#1224), and the node must be the very device.
pub fn verify(sysfs: &Path, dev: &Path, model: &str, disk: &Disk) -> Result<(), DiskError> {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let now = discover(sysfs, dev, model)?;
    if !now.contains(disk) {
        return Err(DiskError::Moved { serial: disk.serial.clone(), node: disk.node.clone() });
    }
    let node = std::fs::metadata(&disk.node).map_err(|source| DiskError::Device {
        node: disk.node.clone(),
        operation: "looked at",
        source,
    })?;
    if !node.file_type().is_block_device() || node.rdev() != disk.device() {
        return Err(DiskError::Moved { serial: disk.serial.clone(), node: disk.node.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_namespace;

    #[test]
    fn namespaces_are_told_from_paths_and_partitions() {
        for (name, expected) in [
            ("nvme0n1", true),
            ("nvme12n3", true),
            ("nvme0c0n1", false),
            ("nvme0n1p1", false),
            ("nvme0", false),
            ("hwmon1", false),
            ("model", false),
        ] {
            assert_eq!(is_namespace(name), expected, "{name}");
        }
    }
}
