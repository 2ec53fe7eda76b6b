//! The world's own eyes while the agent works: hot-plugs and switches of the power are carried out, the server's
//! log is read, the disks are looked at before the journal, processes are searched for secrets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use super::{Disks, Planted, ServerLog};
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
        host: Host,
        plugs: UnboundedReceiver<Hotplug>,
        ledger: &Arc<Ledger>,
        log: ServerLog,
        planted: &Arc<Planted>,
    ) -> Self {
        let (machine, cloud) = (Arc::clone(&host.machine), host.cloud.clone());
        let disks = Arc::new(Disks::new(&machine, ledger));
        let log = Arc::new(log);
        let tasks = vec![
            tokio::spawn(carry_out(host, plugs, Arc::clone(ledger))),
            tokio::spawn(look_at_disks(Arc::clone(&disks))),
            tokio::spawn(read_server(Arc::clone(&log))),
            tokio::spawn(super::metadata::watch(Arc::clone(&machine), Arc::clone(ledger))),
            tokio::spawn(search_processes(machine, Arc::clone(planted), cloud)),
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

    /// The machine starts: whatever is written from now on must be named by the journal that it has now, which a
    /// replaced root volume has taken away.
    pub fn begin(&self) -> Result<()> {
        self.disks.begin()
    }
}

/// While somebody holds it the power stays as it is: the world looks at the machine.
pub type Steady = Arc<tokio::sync::Mutex<()>>;

/// Whoever does to the machine what the cloud says.
pub struct Host {
    pub machine: Arc<Machine>,
    pub enis: BTreeMap<String, EniPlan>,
    pub cloud: Cloud,
    pub steady: Steady,
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
