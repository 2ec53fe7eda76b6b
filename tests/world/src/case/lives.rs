//! Acts on the machine's life and on the group's: power, disks, warm pool, replacement.
//!
//! ```text
//!  power-cut, reboot, replace-root ─▶ machine ─────────────┐
//!  stop-start, put-to-work, replace ─▶ cloud ─▶ its host ──┴─▶ the machine runs ─▶ wake (door closed, engine)
//! ```
//! To add one: a variant of [`Act`] and its function here.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;

use super::Act;
use super::run::calls;
use crate::cloud::resources::{InstanceState, Lifecycle, Resources};
use crate::cloud::spec::{GROUP, InstanceSpec, NEW, NEXT, OLD};
use crate::cloud::{Cloud, Order};
use crate::stage::{Agent, Stage, TRY_AGAIN};

/// The longest that the cloud and its host may take for one of their own steps: an orderly end of a machine with
/// a server in it is the slowest.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until the cloud's resources look like this.
async fn until(cloud: &Cloud, what: &str, holds: impl Fn(&Resources) -> bool) -> Result<()> {
    tokio::time::timeout(PATIENCE, cloud.until(holds))
        .await
        .with_context(|| format!("{what} did not come about"))
}

/// Waits until the instance runs, and its machine.
async fn until_running(stage: &Stage) -> Result<()> {
    let id = &stage.machine.spec().instance_id;
    let running = |r: &Resources| r.instance_state(id) == Some(InstanceState::Running);
    until(&stage.cloud, "the instance's start", running).await?;
    let on = async {
        while !stage.cloud.is_powered(id) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, on).await.context("the machine does not run")
}

/// Waits until the group has ended the instance.
pub async fn until_ended(stage: &Stage) -> Result<()> {
    let id = &stage.machine.spec().instance_id;
    let ended = |r: &Resources| r.instance_state(id) == Some(InstanceState::Terminated);
    until(&stage.cloud, "the instance's end", ended).await?;
    ensure!(stage.machine.pid().is_err(), "EC2 calls the instance terminated, and its machine runs");
    Ok(())
}

/// One machine life ends, and the next begins.
pub async fn live_on(stage: &Stage, act: &Act) -> Result<()> {
    let machine = &stage.machine;
    match act {
        Act::PowerCut => {
            machine.power_cut().await?;
            machine.power_on().await?;
        }
        Act::Reboot => machine.reboot().await?,
        Act::ReplaceRoot => {
            let configuration = stage.configuration()?;
            machine.replace_root().await?;
            // What the image and the user data bring.
            stage.configure(&configuration)?;
        }
        Act::StopStart => {
            let id = &machine.spec().instance_id;
            ensure!(stage.cloud.stop(id), "the instance was not there to be stopped");
            let stopped = |r: &Resources| r.instance_state(id) == Some(InstanceState::Stopped);
            until(&stage.cloud, "the instance's stop", stopped).await?;
            ensure!(stage.cloud.start_instance(id), "the instance was not there to be started");
            until_running(stage).await?;
        }
        other => bail!("{other:?} is no end of a machine's life"),
    }
    stage.wake().await
}

/// Takes the instance out of the pool as the group does, which lets it rest there first.
pub async fn put_to_work(stage: &Stage) -> Result<()> {
    let cloud = &stage.cloud;
    let member = |r: &Resources| r.group_of(NEW).map(|(_, member)| member.state);
    until(cloud, "the rest in the warm pool", |r| {
        member(r) == Some(Lifecycle::WarmedRunning)
            || member(r) == Some(Lifecycle::WarmedStopped)
                && r.instance_state(NEW) == Some(InstanceState::Stopped)
    })
    .await?;
    let slept = cloud.instance_state(NEW) == Some(InstanceState::Stopped);
    cloud.leave_warm_pool(NEW);
    until_running(stage).await?;
    if slept { stage.wake().await } else { Ok(()) }
}

/// Replaces the old owner by an instance that is launched now.
pub async fn replace(stage: &mut Stage, order: Order, backup: Option<&str>) -> Result<()> {
    let spec = stage.cloud.spec().instances.iter().find(|instance| instance.id == NEW).cloned();
    let spec = spec.context("the new instance is specified")?;
    let cloud = stage.cloud.clone();
    match order {
        Order::TerminateFirst => {
            let replaced = tokio::time::timeout(PATIENCE, cloud.replace(GROUP, OLD, &spec, order));
            let (replaced, retired) = tokio::join!(replaced, stage.retire(backup));
            retired?;
            replaced.context("the replacement did not come about")?;
        }
        Order::LaunchFirst => {
            ensure!(
                backup.is_none(),
                "the old owner publishes when it is retired, which is a deed of its own"
            );
            stage.spawn(async move { cloud.replace(GROUP, OLD, &spec, order).await });
        }
    }
    until_running(stage).await?;
    stage.wake().await
}

/// Launches another instance, on a machine of its own; the stage is about that one then.
pub async fn succeed(stage: &mut Stage, order: Order) -> Result<()> {
    let former = stage.machine.spec().instance_id.clone();
    let spec =
        InstanceSpec { id: NEXT.to_owned(), address: "10.0.1.12".to_owned(), ..InstanceSpec::default() };
    stage.succeed(&spec.id, &spec.address).await?;
    match order {
        Order::TerminateFirst => {
            let replaced = stage.cloud.replace(GROUP, &former, &spec, order);
            tokio::time::timeout(PATIENCE, replaced).await.context("the replacement did not come about")?;
        }
        Order::LaunchFirst => stage.cloud.launch(&spec, Some(GROUP), false),
    }
    until_running(stage).await?;
    stage.begin().await
}

/// The agent that stayed ends to be tried again.
pub async fn ends(ended: &mut Agent, patience: Duration) -> Result<()> {
    let status = tokio::time::timeout(patience, ended.process.wait()).await;
    let status = status.context("the agent that stays does not end")??;
    ensure!(
        status.code() == Some(TRY_AGAIN),
        "the agent that stayed ended with {status}, not to be tried again"
    );
    Ok(())
}

/// The same; the service manager starts it.
pub async fn restarted(stage: &Stage, mut ended: Agent, patience: Duration) -> Result<Agent> {
    ends(&mut ended, patience).await?;
    let mut agent = stage.start_agent(&[])?;
    stage.until(&mut agent, "serving", patience).await?;
    Ok(agent)
}

/// What is not as an act wants its run.
pub fn check_run(stage: &Stage, since: Timestamp, ends: Option<&str>, without: &[String]) -> Vec<String> {
    let mut complaints = Vec::new();
    if let Some(ends) = ends {
        match stage.fresh_report() {
            Ok(report) if report["outcome"] == ends => {}
            Ok(report) => {
                let (outcome, reason) = (&report["outcome"], &report["reason"]);
                complaints.push(format!("a run ended {outcome} ({reason}), not {ends:?}"));
            }
            Err(error) => complaints.push(format!("a run was to end {ends:?}: {error:#}")),
        }
    }
    let seen: BTreeSet<String> = calls(&stage.ledger.since(since)).into_keys().collect();
    let called = without.iter().filter(|call| seen.contains(*call));
    complaints.extend(called.map(|call| format!("a run called {call}")));
    complaints
}

/// Whoever serves has the interface, and does not take it along when it ends.
pub fn check_interface(stage: &Stage) -> Option<String> {
    let id = &stage.cloud.spec().enis.first()?.id;
    let attachment = stage.cloud.eni(id).and_then(|eni| eni.attachment);
    match attachment {
        Some(held) if held.instance == stage.machine.spec().instance_id && !held.delete_on_termination => {
            None
        }
        other => Some(format!("the node serves, and {id} has the attachment {other:?}")),
    }
}
