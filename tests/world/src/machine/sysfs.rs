//! The part of sysfs by which a program finds EC2's disks, shaped as the real tree.
//!
//! ```text
//!  class/nvme/nvme1   ─▶ ../../devices/pci0000:00/0000:00:1f.0/nvme/nvme1      model, serial, transport
//!  class/block/nvme1n1 ─▶ ../../devices/pci0000:00/0000:00:1f.0/nvme/nvme1/nvme1n1   size, dev, queue/
//! ```

use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::stat::{major, minor};

use super::disk::Disk;
use super::store::put;

/// Writes the tree for these disks; their place in the list is their controller's number.
pub(super) fn write(root: &Path, disks: &[std::sync::Arc<Disk>]) -> Result<()> {
    for class in ["class/nvme", "class/block", "block"] {
        std::fs::create_dir_all(root.join(class)).context("make the classes")?;
    }
    for (index, disk) in disks.iter().enumerate() {
        let (controller, namespace) = (format!("nvme{index}"), format!("nvme{index}n1"));
        let pci = format!("devices/pci0000:00/0000:00:{:02x}.0", 4 + index);
        let device = root.join(&pci).join("nvme").join(&controller);
        let (major, minor) = (major(disk.number), minor(disk.number));
        // The fields of the NVMe identify page are padded with spaces, and sysfs prints them as they are.
        for (name, value) in [
            ("model", format!("{:<40}\n", disk.spec.model)),
            ("serial", format!("{:<20}\n", disk.spec.serial)),
            ("firmware_rev", "0       \n".into()),
            ("transport", "pcie\n".into()),
            ("state", "live\n".into()),
            ("address", format!("0000:00:{:02x}.0\n", 4 + index)),
        ] {
            put(&device.join(name), value)?;
        }
        let block = device.join(&namespace);
        for (name, value) in [
            ("size", format!("{}\n", disk.spec.bytes / 512)),
            ("dev", format!("{major}:{minor}\n")),
            ("ro", "0\n".into()),
            ("removable", "0\n".into()),
            ("nsid", "1\n".into()),
            ("queue/rotational", "0\n".into()),
            ("queue/logical_block_size", "512\n".into()),
            ("queue/physical_block_size", "4096\n".into()),
            ("uevent", format!("MAJOR={major}\nMINOR={minor}\nDEVNAME={namespace}\nDEVTYPE=disk\n")),
        ] {
            put(&block.join(name), value)?;
        }
        let path = format!("{pci}/nvme/{controller}");
        for (target, link) in [
            (format!("../../{path}"), format!("class/nvme/{controller}")),
            (format!("../../{path}/{namespace}"), format!("class/block/{namespace}")),
            (format!("../{path}/{namespace}"), format!("block/{namespace}")),
            (format!("../../{controller}"), format!("{path}/{namespace}/device")),
        ] {
            let link = root.join(link);
            symlink(&target, &link).with_context(|| format!("link {}", link.display()))?;
        }
    }
    Ok(())
}
