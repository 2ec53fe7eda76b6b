//! The command line of the emulated machine: pure, and the process behind it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::process::{Child, Command};

use super::qmp::Talk;
use crate::vpc::{EniPlan, Nic, Vpc};

/// Slots for interfaces that are plugged in while it runs.
pub const SLOTS: [&str; 2] = ["slot1", "slot2"];

/// A machine as it is switched on.
#[derive(Clone, Debug)]
pub struct Hardware {
    pub kernel: PathBuf,
    pub initrd: PathBuf,
    /// The disks' addresses: of the root disk, and of the NVMe disks with their serials.
    pub root: String,
    /// Files to be read as disks.
    pub handed: Vec<PathBuf>,
    pub nvme: Vec<(String, String)>,
    /// The primary interface and its tap device.
    pub primary: (Nic, String),
    /// Interfaces that are there at power-on.
    pub enis: Vec<(EniPlan, String)>,
    pub instance_id: String,
    /// What its clock says; absent: the truth.
    pub clock: Option<String>,
    pub folder: PathBuf,
}

impl Hardware {
    pub fn monitor(&self) -> PathBuf {
        self.folder.join("monitor.sock")
    }

    pub fn guest(&self) -> PathBuf {
        self.folder.join("guest.sock")
    }

    pub fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    /// QEMU's arguments. `kvm`: the host can run the machine itself.
    fn arguments(&self, kvm: bool) -> Vec<String> {
        let Self { kernel, initrd, root, handed, nvme, primary, enis, instance_id, clock, folder: _ } = self;
        let path = |path: &Path| path.display().to_string();
        let accelerator = if kvm { "kvm" } else { "tcg" };
        let mut all: Vec<String> = [
            // A guest that reboots ends: whoever watches it switches it on again, and knows that it did.
            // One processor: an emulated one is a thread here, and two cost a fifth more for the same boot.
            "-nodefaults -no-user-config -nographic -no-reboot -M q35 -smp 1 -m 3G",
            // As a PC has it: 1 s is the difference that a boot brings.
            "-object rng-random,filename=/dev/urandom,id=rng -device virtio-rng-pci,rng=rng",
            "-device virtio-serial-pci",
            "-device virtserialport,chardev=guest,name=org.qemu.guest_agent.0",
        ]
        .iter()
        .flat_map(|line| line.split(' ').map(str::to_owned))
        .collect();
        let mut add = |name: &str, value: String| all.extend([format!("-{name}"), value]);
        add("accel", accelerator.to_owned());
        // Without it the guest loads what it would run machines of its own with.
        add("cpu", if kvm { "host" } else { "qemu64,-svm" }.to_owned());
        add("kernel", path(kernel));
        add("initrd", path(initrd));
        add("append", "root=LABEL=root rw console=ttyS0 panic=1 quiet mitigations=off".to_owned());
        add("chardev", format!("file,id=console,path={},append=on", path(&self.console())));
        add("serial", "chardev:console".to_owned());
        add("qmp", format!("unix:{},server=on,wait=off", path(&self.monitor())));
        add("chardev", format!("socket,id=guest,path={},server=on,wait=off", path(&self.guest())));
        add("rtc", format!("base={}", clock.as_deref().unwrap_or("utc")));
        // By which cloud-init knows where it is, and that the metadata service wants tokens (its `identify_aws`).
        let id = uuid(instance_id);
        add("smbios", format!("type=1,manufacturer=Amazon EC2,product=c8gd.large,uuid={id},serial={id}"));
        add("smbios", "type=3,asset=i-0new".replace("i-0new", instance_id));
        add("drive", format!("file={root},format=raw,if=none,id=root"));
        add("device", "virtio-blk-pci,drive=root".to_owned());
        for (n, file) in handed.iter().enumerate() {
            add("drive", format!("file={},format=raw,if=none,readonly=on,id=handed{n}", path(file)));
            add("device", format!("virtio-blk-pci,drive=handed{n}"));
        }
        for (n, (url, serial)) in nvme.iter().enumerate() {
            add("drive", format!("file={url},format=raw,if=none,id=nvme{n}"));
            add("device", format!("nvme,drive=nvme{n},serial={serial}"));
        }
        let (nic, tap) = primary;
        add("netdev", netdev("primary", tap));
        // No ROM of its own: it would look for a network to boot from, for seconds.
        add("device", format!("virtio-net-pci,netdev=primary,romfile=,mac={}", nic.mac));
        for (n, slot) in SLOTS.iter().enumerate() {
            let chassis = n + 1;
            add("device", format!("pcie-root-port,id={slot},chassis={chassis},slot={chassis}"));
        }
        for ((eni, tap), slot) in enis.iter().zip(SLOTS) {
            add("netdev", netdev(&eni.id, tap));
            add(
                "device",
                format!(
                    "virtio-net-pci,id=nic-{},netdev={},romfile=,mac={},bus={slot}",
                    eni.id, eni.id, eni.nic.mac
                ),
            );
        }
        all
    }

    /// Switches it on, in the VPC's own namespace, where its tap devices are.
    pub async fn power_on(&self, vpc: &Vpc) -> Result<Child> {
        let mut command = Command::new("qemu-system-x86_64");
        command.args(self.arguments(hardware_helps()));
        vpc.spawn(command).await.context("start qemu-system-x86_64")
    }
}

/// Whether this processor runs machines itself. Where only the device is there, somebody emulates it, and a kernel does
/// not come up in minutes.
fn hardware_helps() -> bool {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let able = processor.split_whitespace().any(|flag| flag == "vmx" || flag == "svm");
    able && Path::new("/dev/kvm").exists()
}

fn netdev(id: &str, tap: &str) -> String {
    format!("tap,id={id},ifname={tap},script=no,downscript=no")
}

/// EC2's begin with `ec2`; the rest is as stable as the instance.
fn uuid(instance_id: &str) -> String {
    let digits = crate::endpoint::hex(instance_id.as_bytes());
    let digits = format!("{digits:0<29}");
    format!(
        "ec2{}-{}-4{}-8{}-{}",
        &digits[..5],
        &digits[5..9],
        &digits[9..12],
        &digits[12..15],
        &digits[15..27]
    )
}

/// Plugs an interface in.
pub async fn plug(monitor: &mut Talk, eni: &EniPlan, tap: &str, slot: &str) -> Result<()> {
    let netdev = json!({ "type": "tap", "id": eni.id, "ifname": tap, "script": "no", "downscript": "no" });
    monitor.execute("netdev_add", netdev).await?;
    let device = json!({
        "driver": "virtio-net-pci", "romfile": "", "id": format!("nic-{}", eni.id), "netdev": eni.id,
        "mac": eni.nic.mac, "bus": slot,
    });
    monitor.execute("device_add", device).await.map(drop)
}

/// Takes an interface away, and waits until the guest has let go of it.
pub async fn unplug(monitor: &mut Talk, eni: &str) -> Result<()> {
    monitor.execute("device_del", json!({ "id": format!("nic-{eni}") })).await?;
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        // The guest's driver lets go first; until then the device is in use.
        let left = monitor.execute("qom-list", json!({ "path": "/machine/peripheral" })).await?;
        let name = format!("nic-{eni}");
        let there = left.as_array().is_some_and(|all| all.iter().any(|one| one["name"] == name.as_str()));
        if !there {
            break;
        }
        anyhow::ensure!(tokio::time::Instant::now() < end, "the guest does not let go of {eni}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    monitor.execute("netdev_del", json!({ "id": eni })).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_of_ec2_is_known_by_its_uuid() {
        let id = uuid("i-0new");
        assert!(id.starts_with("ec2"), "{id}");
        assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{id}");
        assert_eq!(id, uuid("i-0new"));
    }
}
