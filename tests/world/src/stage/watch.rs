//! The world's own eyes while the agent works: hot-plugs and switches of the power are carried out, the server's
//! log is read, the disks are looked at before the journal, processes are searched for secrets.
//!
//! What only looks reads files, waits for disks to be flushed and walks through all processes: it has threads of its
//! own, because the doubles of every world answer on the same few workers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
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
    threads: Vec<Thread>,
    /// The threads look no longer.
    over: Arc<AtomicBool>,
    disks: Arc<Disks>,
    log: Arc<ServerLog>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in &self.threads {
            thread.unpark();
        }
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
    ) -> Result<Self> {
        let (machine, cloud) = (Arc::clone(&host.machine), host.cloud.clone());
        let disks = Arc::new(Disks::new(&machine, ledger));
        let log = Arc::new(log);
        let tasks = vec![
            tokio::spawn(carry_out(host, plugs, Arc::clone(ledger))),
            tokio::spawn(super::metadata::watch(Arc::clone(&machine), Arc::clone(ledger))),
        ];
        let over = Arc::new(AtomicBool::new(false));
        let (seen, read) = (Arc::clone(&disks), Arc::clone(&log));
        let look = move || {
            seen.look();
            read.poll();
        };
        let planted = Arc::clone(planted);
        let search = move || search_processes(&machine, &planted, &cloud);
        let threads =
            vec![again(&over, "disks-and-log", EVERY, look)?, again(&over, "processes", EVERY * 10, search)?];
        Ok(Self { tasks, threads, over, disks, log })
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
            Hotplug::Plug { eni, instance, .. } if instance == ours => {
                let plan = self.enis.get(eni).with_context(|| format!("no plan says how {eni} is wired"))?;
                machine.plug(plan).await
            }
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

/// Looks again and again on a thread of its own, until it is over.
fn again(
    over: &Arc<AtomicBool>,
    name: &str,
    every: Duration,
    look: impl Fn() + Send + 'static,
) -> Result<Thread> {
    let over = Arc::clone(over);
    let looks = move || {
        while !over.load(Ordering::Relaxed) {
            look();
            std::thread::park_timeout(every);
        }
    };
    let thread = std::thread::Builder::new().name(name.to_owned());
    Ok(thread.spawn(looks).context("a thread that looks")?.thread().clone())
}

/// Command lines and environments of everything that runs in the machine.
fn search_processes(machine: &Machine, planted: &Planted, cloud: &Cloud) {
    planted.know_vended(cloud);
    for process in machine.processes().unwrap_or_default() {
        for (file, what) in [("cmdline", "argv"), ("environ", "the environment")] {
            if let Ok(bytes) = std::fs::read(format!("/proc/{process}/{file}")) {
                let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
                planted.search(&format!("{what} of {}", name.trim()), &bytes);
            }
        }
    }
}
