//! Waiting for what the agent comes to, the judge's word on it, and the end of a stage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::{Agent, Stage, scene};
use crate::case::Scene;
use crate::judge::Rule;
use crate::machine::{INSTANCE_STORE, Machine};

const LOOK: Duration = Duration::from_millis(20);
/// The longest that a watcher may still look at a machine that is switched off.
const PATIENCE: Duration = Duration::from_secs(10);

impl Stage {
    /// Waits until the world has seen this call so often since then.
    pub async fn until_called(
        &self,
        call: &str,
        with: &BTreeMap<String, String>,
        times: u64,
        since: Timestamp,
        patience: Duration,
    ) -> Result<()> {
        let end = Instant::now() + patience;
        loop {
            let events = self.ledger.since(since);
            let seen = events.iter().filter(|seen| crate::case::is_call(&seen.event, call, with)).count();
            if u64::try_from(seen)? >= times {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("{call} with {with:?} was called {seen} times within {patience:?}, not {times}");
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until the report of this agent, not of one before it, has this outcome.
    pub async fn until(&self, agent: &mut Agent, outcome: &str, patience: Duration) -> Result<()> {
        let end = Instant::now() + patience;
        loop {
            let written = |report: &serde_json::Value| report["written"].as_str()?.parse::<Timestamp>().ok();
            if self.report().is_ok_and(|report| {
                report["outcome"] == outcome && written(&report).is_some_and(|at| at >= agent.started)
            }) {
                return Ok(());
            }
            if let Some(status) = agent.process.ended() {
                bail!("the agent ended with {status}, not {outcome}:\n{}", self.agent_log());
            }
            if Instant::now() > end {
                bail!("the agent was not {outcome} within {patience:?}:\n{}", self.agent_log());
            }
            sleep(LOOK).await;
        }
    }

    /// Disks that are not the agent's and have changed.
    fn foreign_disks(&self) -> Vec<String> {
        let now = |serial: &String| self.machine.disk(serial).and_then(|disk| disk.sha256()).ok();
        let changed = self.foreign.iter().filter(|(serial, before)| now(serial).as_ref() != Some(before));
        changed.map(|(serial, _)| format!("{}: {serial} was changed", Rule::ForeignDisk)).collect()
    }

    /// Stops the clients and judges what was seen so far: one sentence for each forbidden act.
    pub async fn verdict(&mut self) -> Vec<String> {
        self.quiet().await;
        let mut foreign = self.look_everywhere().await;
        if self.turn().is_ok() {
            foreign.extend(self.look_everywhere().await);
            // Back again: there is one.
            let _ = self.turn();
        }
        let mut forbidden = crate::judge::forbidden(&self.ledger.events());
        forbidden.extend(foreign);
        forbidden.extend(self.planted.found());
        forbidden
    }

    /// At one machine: the disks that are not the agent's and have changed.
    async fn look_everywhere(&self) -> Vec<String> {
        self.watch.look();
        self.search_everywhere().await;
        self.foreign_disks()
    }

    /// Takes everything down; an error is something that could not be taken away.
    pub async fn strike(mut self) -> Result<()> {
        self.quiet().await;
        self.others.shutdown().await;
        let former = self.former.as_ref().map(|former| &former.machine);
        let machines: Vec<Arc<Machine>> =
            [Some(&self.machine), former].into_iter().flatten().cloned().collect();
        for machine in &machines {
            machine.power_cut().await.context("switching the machine off")?;
        }
        // Their watchers, who hold the machines, end a moment after they were told to.
        drop(self);
        for machine in machines {
            let machine = alone(machine).await?;
            machine.destroy().await.context("taking the machine away")?;
        }
        Ok(())
    }
}

/// The machine, once nobody else holds it.
async fn alone(mut machine: Arc<Machine>) -> Result<Machine> {
    let end = Instant::now() + PATIENCE;
    loop {
        machine = match Arc::try_unwrap(machine) {
            Ok(machine) => return Ok(machine),
            Err(held) => held,
        };
        if Instant::now() > end {
            bail!("{} others still hold the machine", Arc::strong_count(&machine) - 1);
        }
        sleep(LOOK).await;
    }
}

/// The disks that nobody may touch, with what they hold: those that are no instance stores, and those that somebody
/// wrote to before.
pub(super) async fn foreign_disks(machine: &Machine, scene: &Scene) -> Result<BTreeMap<String, String>> {
    let hashes = || -> Result<BTreeMap<String, String>> {
        machine.disks().iter().map(|disk| Ok((disk.spec.serial.clone(), disk.sha256()?))).collect()
    };
    let blank = hashes()?;
    scene::prepare_disks(machine, scene).await?;
    let mut foreign = hashes()?;
    for disk in machine.disks().iter().filter(|disk| disk.spec.model == INSTANCE_STORE) {
        let serial = &disk.spec.serial;
        if foreign.get(serial) == blank.get(serial) {
            foreign.remove(serial);
        }
    }
    Ok(foreign)
}
