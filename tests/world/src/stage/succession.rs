//! One instance after the other, or beside it: each has a machine of its own, and the stage is about one of them.
//!
//! ```text
//! stage: machine, watch, ear, … ◀─exchange─▶ Former: the same of the instance that was there before
//! succeed ─▶ a new machine, switched off ─▶ the cloud launches its instance ─▶ power on ─▶ wake
//! ```

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{ServerLog, Stage, Steady, notify, observer, scene, verdict, watch};
use crate::case::Scene;
use crate::cloud::Hotplug;
use crate::cloud::resources::mac_of;
use crate::kill::{Gate, shim};
use crate::machine::{INSTANCE_STORE, Machine, MachineSpec};
use crate::vpc::{EniPlan, Nic};

use super::site::Site;

/// What a stage has of one instance.
pub struct Former {
    pub(super) gate: Arc<Gate>,
    pub(super) machine: Arc<Machine>,
    pub(super) steady: Steady,
    pub(super) foreign: BTreeMap<String, String>,
    pub(super) woken: AtomicBool,
    pub(super) watch: watch::Watch,
    pub(super) ear: Mutex<Option<notify::Ear>>,
    pub(super) shims: Mutex<Option<shim::Shims>>,
    pub(super) observer: Mutex<Option<observer::Observer>>,
}

/// What the cloud does to machines, told to the hosts of all of them; each obeys what is meant for its own.
pub(super) struct Switchboard(Arc<Mutex<Vec<UnboundedSender<Hotplug>>>>);

impl Switchboard {
    pub fn start(mut plugs: UnboundedReceiver<Hotplug>, others: &mut tokio::task::JoinSet<()>) -> Self {
        let lines: Arc<Mutex<Vec<UnboundedSender<Hotplug>>>> = Arc::default();
        let hosts = Arc::clone(&lines);
        others.spawn(async move {
            while let Some(plug) = plugs.recv().await {
                let mut hosts = hosts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                // One that is gone has no machine any more.
                hosts.retain(|host| host.send(plug.clone()).is_ok());
            }
        });
        Self(lines)
    }

    fn line(&self) -> UnboundedReceiver<Hotplug> {
        let (sender, receiver) = unbounded_channel();
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(sender);
        receiver
    }
}

impl Former {
    /// A machine that has booted, and whoever watches it.
    pub(super) async fn boot(
        site: &Site,
        scene: &Scene,
        spec: &MachineSpec,
        enis: &BTreeMap<String, EniPlan>,
        switchboard: &Switchboard,
    ) -> Result<Self> {
        let Site { cloud, vpc, ledger, planted, programs, .. } = site;
        let plugs = switchboard.line();
        let machine = Arc::new(Machine::boot(vpc, spec).await.context("booting the machine")?);
        let foreign = verdict::foreign_disks(&machine, scene).await?;
        let steady = Steady::default();
        let log = ServerLog::new(&machine, ledger, planted, programs.archive.is_some());
        let host = watch::Host {
            machine: Arc::clone(&machine),
            enis: enis.clone(),
            cloud: cloud.clone(),
            steady: Arc::clone(&steady),
        };
        let watch = watch::Watch::start(host, plugs, ledger, log, planted)?;
        Ok(Self {
            gate: Arc::new(Gate::new(None)),
            machine,
            steady,
            foreign,
            woken: AtomicBool::new(false),
            watch,
            ear: Mutex::default(),
            shims: Mutex::default(),
            observer: Mutex::default(),
        })
    }
}

impl Stage {
    /// The stage is about the other one from here on.
    fn exchange(&mut self, other: &mut Former) {
        let Former { gate, machine, steady, foreign, woken, watch, ear, shims, observer } = other;
        std::mem::swap(&mut self.gate, gate);
        std::mem::swap(&mut self.machine, machine);
        std::mem::swap(&mut self.steady, steady);
        std::mem::swap(&mut self.foreign, foreign);
        std::mem::swap(&mut self.woken, woken);
        std::mem::swap(&mut self.watch, watch);
        std::mem::swap(&mut self.ear, ear);
        std::mem::swap(&mut self.shims, shims);
        std::mem::swap(&mut self.observer, observer);
    }

    /// The same for as long as it is about the one before; twice is not at all.
    pub fn turn(&mut self) -> Result<()> {
        let mut former = self.former.take().context("there was no instance before this one")?;
        self.exchange(&mut former);
        self.former = Some(former);
        Ok(())
    }

    /// A machine for the instance that comes next, switched off; the stage is about it from here on. As many as there
    /// are fit on one machine of ours: two.
    pub async fn succeed(&mut self, instance: &str, address: &str) -> Result<()> {
        ensure!(self.former.is_none(), "a third instance has no machine");
        let before = self.machine.spec().clone();
        let configuration = self.configuration()?;
        let primary = Nic {
            address: address.parse::<Ipv4Addr>().context("the address of an instance")?,
            mac: mac_of(address),
            ..before.primary.clone()
        };
        let mut spec = MachineSpec { instance_id: instance.to_owned(), primary, ..before };
        for disk in spec.disks.iter_mut().filter(|disk| disk.model == INSTANCE_STORE) {
            disk.serial = disk.serial.replacen("AWS2", "AWS3", 1);
        }
        let mut next = Former::boot(&self.site, &self.scene, &spec, &self.enis, &self.switchboard).await?;
        self.exchange(&mut next);
        self.former = Some(next);
        self.configure(&configuration)?;
        self.cloud.house(instance);
        self.machine.power_cut().await.context("a machine for later")?;
        self.cloud.powered(instance, false);
        Ok(())
    }

    /// What happens at its first start.
    pub async fn begin(&self) -> Result<()> {
        self.wake().await?;
        scene::prepare_machine(self).await
    }
}
