//! A whole machine with a kernel of its own, and its lives.
//!
//! ```text
//!  new ─▶ off ─ power_on ─▶ disks served, QEMU ─┬─ shut_down (ACPI) ─▶ everything is on the disks ─┐
//!          ▲                                    ├─ it reboots: QEMU ends by itself ────────────────┤
//!          │                                    └─ power_cut ─▶ what was not flushed is lost ──────┤
//!          └───────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use tokio::process::Child;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::disks::{Image, Served};
use super::guest::Guest;
use super::qemu::{self, Hardware, SLOTS};
use super::qmp::Talk;
use crate::vpc::{EniPlan, Nic, Vpc};

/// An orderly end with a server in it, on an emulated processor.
const SHUT_DOWN: Duration = Duration::from_mins(4);

/// A machine as it is ordered.
#[derive(Clone, Debug)]
pub struct Order {
    pub instance_id: String,
    pub primary: Nic,
    /// The image of an operating system: `disk.img`, `vmlinuz`, `initrd.img`.
    pub os: PathBuf,
    /// Of each instance store, in bytes.
    pub stores: Vec<u64>,
    pub clock: Option<String>,
    /// Files that it can read as disks, after its root disk.
    pub handed: Vec<PathBuf>,
    /// A directory of its own.
    pub folder: PathBuf,
}

pub struct Machine {
    vpc: Vpc,
    order: Order,
    pub guest: Guest,
    state: Mutex<State>,
}

struct State {
    root: Image,
    /// With their serials.
    stores: Vec<(Image, String)>,
    /// How often a start found other instance stores.
    hosts: u32,
    enis: Vec<EniPlan>,
    running: Option<Running>,
}

struct Running {
    qemu: Child,
    monitor: Talk,
    disks: Vec<Served>,
    /// What is in each slot, by the ENI's id.
    slots: [Option<String>; SLOTS.len()],
    /// The taps that go with its power.
    taps: Vec<String>,
}

impl Machine {
    pub fn new(vpc: &Vpc, order: Order) -> Result<Self> {
        std::fs::create_dir_all(&order.folder)?;
        let root = Image::copy(&order.folder, "root", &order.os.join("disk.img"))?;
        let stores = stores(&order, 0)?;
        let guest = Guest::at(&order.folder.join("guest.sock"));
        let state = State { root, stores, hosts: 0, enis: Vec::new(), running: None };
        Ok(Self { vpc: vpc.clone(), order, guest, state: Mutex::new(state) })
    }

    pub async fn power_on(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        ensure!(state.running.is_none(), "{} runs", self.order.instance_id);
        let Order { instance_id, primary, os, stores: _, clock, handed, folder } = &self.order;
        let root = Served::start(&self.vpc, &state.root).await?;
        let mut disks = Vec::new();
        for (image, _) in &state.stores {
            disks.push(Served::start(&self.vpc, image).await?);
        }
        let nvme = disks.iter().zip(&state.stores).map(|(disk, (_, serial))| (disk.url(), serial.clone()));
        self.vpc.grant_metadata(primary).await?;
        let mut taps = vec![primary.mac.clone()];
        let tap = self.vpc.tap(primary, None).await?;
        let mut enis = Vec::new();
        let mut slots = [const { None }; SLOTS.len()];
        for (eni, slot) in state.enis.iter().zip(&mut slots) {
            self.vpc.grant_metadata(&eni.nic).await?;
            enis.push((eni.clone(), self.vpc.tap(&eni.nic, Some(eni)).await?));
            taps.push(eni.nic.mac.clone());
            *slot = Some(eni.id.clone());
        }
        let hardware = Hardware {
            kernel: os.join("vmlinuz"),
            initrd: os.join("initrd.img"),
            root: root.url(),
            handed: handed.clone(),
            nvme: nvme.collect(),
            primary: (primary.clone(), tap),
            enis,
            instance_id: instance_id.clone(),
            clock: clock.clone(),
            folder: folder.clone(),
        };
        for socket in [hardware.monitor(), hardware.guest()] {
            // The last life's.
            let _ = std::fs::remove_file(socket);
        }
        let qemu = hardware.power_on(&self.vpc).await?;
        let mut monitor = Talk::open(&hardware.monitor()).await.context(self.console())?;
        monitor.execute("qmp_capabilities", json!({})).await?;
        disks.push(root);
        state.running = Some(Running { qemu, monitor, disks, slots, taps });
        Ok(())
    }

    pub async fn is_on(&self) -> bool {
        match &mut self.state.lock().await.running {
            Some(running) => running.qemu.try_wait().is_ok_and(|ended| ended.is_none()),
            None => false,
        }
    }

    /// Plugs an ENI in; while the power is off it is there at the next start. One that is here stays as it is.
    pub async fn plug(&self, eni: &EniPlan) -> Result<()> {
        let mut state = self.state.lock().await;
        if state.enis.iter().any(|other| other.id == eni.id) {
            return Ok(());
        }
        state.enis.push(eni.clone());
        let Some(running) = &mut state.running else { return Ok(()) };
        let free =
            running.slots.iter().position(Option::is_none).context("no slot is free for an interface")?;
        self.vpc.grant_metadata(&eni.nic).await?;
        let tap = self.vpc.tap(&eni.nic, Some(eni)).await?;
        running.taps.push(eni.nic.mac.clone());
        qemu::plug(&mut running.monitor, eni, &tap, SLOTS[free]).await?;
        running.slots[free] = Some(eni.id.clone());
        Ok(())
    }

    /// Whether this ENI is plugged in.
    pub async fn has(&self, eni_id: &str) -> bool {
        self.state.lock().await.enis.iter().any(|eni| eni.id == eni_id)
    }

    /// Takes an ENI away. One that is not here is no error.
    pub async fn unplug(&self, eni_id: &str) -> Result<()> {
        let mut state = self.state.lock().await;
        let Some(at) = state.enis.iter().position(|eni| eni.id == eni_id) else { return Ok(()) };
        let eni = state.enis.remove(at);
        let Some(running) = &mut state.running else { return Ok(()) };
        if running.qemu.try_wait()?.is_none() {
            qemu::unplug(&mut running.monitor, &eni.id).await?;
        }
        for slot in &mut running.slots {
            slot.take_if(|id| *id == eni.id);
        }
        self.vpc.untap(&eni.nic.mac).await
    }

    /// Waits until the machine has ended by itself: it reboots, or somebody switched it off.
    pub async fn until_off(&self, patience: Duration) -> Result<()> {
        let mut state = self.state.lock().await;
        let Some(mut running) = state.running.take() else { return Ok(()) };
        let Ok(status) = timeout(patience, running.qemu.wait()).await else {
            running.qemu.kill().await?;
            bail!("the machine does not end within {patience:?}\n{}", self.console());
        };
        let status = status?;
        ensure!(status.success(), "QEMU ended with {status}");
        self.let_go(running).await
    }

    /// The power button: systemd stops everything in order.
    pub async fn shut_down(&self) -> Result<()> {
        {
            let mut state = self.state.lock().await;
            let Some(running) = &mut state.running else { return Ok(()) };
            running.monitor.execute("system_powerdown", json!({})).await?;
        }
        self.until_off(SHUT_DOWN).await
    }

    /// Everything ends at once, and what was not flushed to the disks is lost.
    pub async fn power_cut(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        let Some(mut running) = state.running.take() else { return Ok(()) };
        running.qemu.kill().await.context("kill QEMU")?;
        self.let_go(running).await
    }

    async fn let_go(&self, running: Running) -> Result<()> {
        for disk in running.disks {
            disk.cut().await?;
        }
        for mac in &running.taps {
            self.vpc.untap(mac).await?;
        }
        Ok(())
    }

    /// Another host: the instance stores are blank, and others.
    pub async fn elsewhere(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        ensure!(state.running.is_none(), "a machine that runs stays where it is");
        state.hosts += 1;
        state.stores = stores(&self.order, state.hosts)?;
        Ok(())
    }

    /// EC2's root volume replacement: the disk as the image has it; the instance stores stay.
    pub async fn replace_root(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        ensure!(state.running.is_none(), "the root volume of a machine that runs cannot be replaced");
        state.root = Image::copy(&self.order.folder, "root", &self.order.os.join("disk.img"))?;
        Ok(())
    }

    /// What the machine's console has shown, its last lines first to help.
    pub fn console(&self) -> String {
        let bytes = std::fs::read(self.order.folder.join("console.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub const fn order(&self) -> &Order {
        &self.order
    }
}

fn stores(order: &Order, host: u32) -> Result<Vec<(Image, String)>> {
    let blank = |(n, bytes): (usize, &u64)| {
        let serial = format!("AWS{host}A1B3C4D5E6F7081{n}");
        Ok((Image::blank(&order.folder, &format!("store{n}"), *bytes)?, serial))
    };
    order.stores.iter().enumerate().map(blank).collect()
}
