//! The world's own eyes while the agent works: hot-plugs and switches of the power are carried out, the server's
//! log is read, the disks are looked at before the journal, processes are searched for secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use super::{Planted, ServerLog};
use crate::cloud::{Cloud, Hotplug, Power};
use crate::ledger::{Event, Ledger};
use crate::machine::{GRACE, Machine};
use crate::vpc::EniPlan;

/// How often the watchers look.
const EVERY: Duration = Duration::from_millis(20);

/// Runs until it is dropped.
#[derive(Debug)]
pub struct Watch {
    tasks: Vec<JoinHandle<()>>,
    disks: Arc<Disks>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Watch {
    pub fn start(
        machine: &Arc<Machine>,
        plugs: UnboundedReceiver<Hotplug>,
        enis: &BTreeMap<String, EniPlan>,
        ledger: &Arc<Ledger>,
        planted: &Arc<Planted>,
        cloud: &Cloud,
        steady: &Steady,
    ) -> Self {
        let disks = Arc::new(Disks::new(machine, ledger));
        let host = Host {
            machine: Arc::clone(machine),
            enis: enis.clone(),
            cloud: cloud.clone(),
            steady: Arc::clone(steady),
        };
        let tasks = vec![
            tokio::spawn(carry_out(host, plugs, Arc::clone(ledger))),
            tokio::spawn(look_at_disks(Arc::clone(&disks))),
            tokio::spawn(read_server(Arc::clone(machine), Arc::clone(ledger), Arc::clone(planted))),
            tokio::spawn(super::metadata::watch(Arc::clone(machine), Arc::clone(ledger))),
            tokio::spawn(search_processes(Arc::clone(machine), Arc::clone(planted), cloud.clone())),
        ];
        Self { tasks, disks }
    }

    /// Looks at the disks now: what was written a moment ago is not missed.
    pub fn look(&self) {
        self.disks.look();
    }

    /// The machine starts: whatever is written from now on must be named by the journal that it has now, which a
    /// replaced root volume has taken away.
    pub fn begin(&self) -> Result<()> {
        self.disks.begin()
    }
}

/// While somebody holds it the power stays as it is: the world looks at the machine.
pub type Steady = Arc<tokio::sync::Mutex<()>>;

/// Whoever does to the machine what the cloud says.
struct Host {
    machine: Arc<Machine>,
    enis: BTreeMap<String, EniPlan>,
    cloud: Cloud,
    steady: Steady,
}

async fn carry_out(host: Host, mut plugs: UnboundedReceiver<Hotplug>, ledger: Arc<Ledger>) {
    while let Some(plug) = plugs.recv().await {
        if let Err(error) = host.obey(&plug).await {
            ledger.record(Event::Mark { what: format!("the world failed: {plug:?}: {error:#}") });
        }
    }
}

impl Host {
    async fn obey(&self, plug: &Hotplug) -> Result<()> {
        let machine = &self.machine;
        let ours = &machine.spec().instance_id;
        match plug {
            Hotplug::Plug { eni, instance, .. } if instance == ours => match self.enis.get(eni) {
                Some(plan) => machine.plug(plan).await,
                None => Ok(()),
            },
            Hotplug::Unplug { eni, instance } if instance == ours => machine.unplug(eni).await,
            Hotplug::Power { instance, power } if instance == ours => self.switch(*power).await,
            // The other instances of the cloud have no machines.
            Hotplug::Plug { .. } | Hotplug::Unplug { .. } | Hotplug::Power { .. } => Ok(()),
        }
    }

    /// What is on or off already stays so: the machine of an instance that the case begins with runs.
    async fn switch(&self, power: Power) -> Result<()> {
        let _steady = self.steady.lock().await;
        let (machine, id) = (&self.machine, &self.machine.spec().instance_id);
        let on = machine.pid().is_ok();
        let switched = match power {
            Power::Off if on => machine.shut_down(GRACE).await,
            Power::On if !on => machine.power_on().await,
            Power::OnElsewhere if !on => machine.power_on_elsewhere().await,
            Power::Off | Power::On | Power::OnElsewhere => Ok(()),
        };
        // An end that failed is told, and must not keep the instance from its end.
        self.cloud.powered(id, power != Power::Off);
        switched
    }
}

/// The machine's disks, each told of once.
#[derive(Debug)]
struct Disks {
    machine: Arc<Machine>,
    ledger: Arc<Ledger>,
    told: Mutex<BTreeSet<String>>,
}

impl Disks {
    fn new(machine: &Arc<Machine>, ledger: &Arc<Ledger>) -> Self {
        Self { machine: Arc::clone(machine), ledger: Arc::clone(ledger), told: Mutex::default() }
    }

    fn begin(&self) -> Result<()> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.machine.disks().iter().try_for_each(|disk| disk.begin())?;
        told.clear();
        Ok(())
    }

    /// Disk first, journal second: a disk that is seen changed while a journal read later does not name it was
    /// changed before it was named.
    fn look(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for disk in self.machine.disks() {
            let serial = disk.spec.serial.clone();
            if told.contains(&serial) || !disk.written().unwrap_or(false) {
                continue;
            }
            let journal = std::fs::read(self.machine.path("/var/lib/weaviate-provisioner/state.json"));
            let journal: serde_json::Value =
                serde_json::from_slice(&journal.unwrap_or_default()).unwrap_or_default();
            let journalled =
                journal["disks"].as_array().is_some_and(|disks| disks.iter().any(|d| *d == serial));
            self.ledger.record(Event::DiskTouched { serial: serial.clone(), journalled });
            told.insert(serial);
        }
    }
}

async fn look_at_disks(disks: Arc<Disks>) {
    loop {
        disks.look();
        tokio::time::sleep(EVERY).await;
    }
}

async fn read_server(machine: Arc<Machine>, ledger: Arc<Ledger>, planted: Arc<Planted>) {
    let mut log = ServerLog::new(machine, ledger, planted);
    loop {
        log.poll();
        tokio::time::sleep(EVERY).await;
    }
}

/// Command lines and environments of everything that runs in the machine.
async fn search_processes(machine: Arc<Machine>, planted: Arc<Planted>, cloud: Cloud) {
    loop {
        planted.know_vended(&cloud);
        for process in machine.processes().unwrap_or_default() {
            for (file, what) in [("cmdline", "argv"), ("environ", "the environment")] {
                if let Ok(bytes) = std::fs::read(format!("/proc/{process}/{file}")) {
                    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
                    planted.search(&format!("{what} of {}", name.trim()), &bytes);
                }
            }
        }
        tokio::time::sleep(EVERY * 10).await;
    }
}
