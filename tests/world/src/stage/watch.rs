//! The world's own eyes while the agent works: hot-plugs are carried out, the server's log is read, the disks
//! are looked at before the journal, processes are searched for secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use super::{Planted, ServerLog};
use crate::cloud::{Cloud, Hotplug};
use crate::ledger::{Event, Ledger};
use crate::machine::Machine;
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
    ) -> Self {
        let disks = Arc::new(Disks::new(machine, ledger));
        let tasks = vec![
            tokio::spawn(carry_out(Arc::clone(machine), plugs, enis.clone(), Arc::clone(ledger))),
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
}

async fn carry_out(
    machine: Arc<Machine>,
    mut plugs: UnboundedReceiver<Hotplug>,
    enis: BTreeMap<String, EniPlan>,
    ledger: Arc<Ledger>,
) {
    while let Some(plug) = plugs.recv().await {
        let done = match &plug {
            Hotplug::Plug { eni, instance, .. } if *instance == machine.spec().instance_id => {
                match enis.get(eni) {
                    Some(plan) => machine.plug(plan).await,
                    None => continue,
                }
            }
            Hotplug::Unplug { eni, instance } if *instance == machine.spec().instance_id => {
                machine.unplug(eni).await
            }
            // The other instances of the cloud have no machines.
            Hotplug::Plug { .. } | Hotplug::Unplug { .. } => continue,
        };
        if let Err(error) = done {
            ledger.record(Event::Mark { what: format!("the world failed: {plug:?}: {error:#}") });
        }
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
    let mut log = ServerLog::new(machine.path("/var/lib/docker/containers"), ledger, planted);
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
