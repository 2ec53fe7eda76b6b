//! The world's own eyes while the agent works: hot-plugs are carried out, the server's log is read, the disks
//! are looked at before the journal, processes are searched for secrets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use super::{Disks, Planted, ServerLog};
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
    log: Arc<ServerLog>,
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
        log: ServerLog,
        planted: &Arc<Planted>,
        cloud: &Cloud,
    ) -> Self {
        let disks = Arc::new(Disks::new(machine, ledger));
        let log = Arc::new(log);
        let tasks = vec![
            tokio::spawn(carry_out(Arc::clone(machine), plugs, enis.clone(), Arc::clone(ledger))),
            tokio::spawn(look_at_disks(Arc::clone(&disks))),
            tokio::spawn(read_server(Arc::clone(&log))),
            tokio::spawn(search_processes(Arc::clone(machine), Arc::clone(planted), cloud.clone())),
        ];
        Self { tasks, disks, log }
    }

    pub const fn disks(&self) -> &Arc<Disks> {
        &self.disks
    }

    /// Looks at disks and logs now: what was written a moment ago is not missed.
    pub fn look(&self) {
        self.disks.look();
        self.log.poll();
    }

    /// Everything that the containers said, searched once more.
    pub fn search_logs_again(&self) {
        self.log.search_again();
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

async fn look_at_disks(disks: Arc<Disks>) {
    loop {
        disks.look();
        tokio::time::sleep(EVERY).await;
    }
}

async fn read_server(log: Arc<ServerLog>) {
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
