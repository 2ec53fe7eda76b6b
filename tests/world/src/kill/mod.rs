//! `kill -9` of the agent at every call of a clean run and at random moments; then it runs again and is judged on
//! everything that the world saw.
//!
//! ```text
//!  clean run ─▶ counts of calls ─▶ attempts ─┬─▶ new stage, run, kill at the point, run again ─▶ complaints
//!  doubles (faults: before, ledger: after) ──┤
//!  proxy on Docker's socket ─────────────────┼─▶ gate
//!  shims of programs, failpoints (kernel) ───┘
//! ```
//! To add a kind of call: let it pass the [`Gate`] on both sides.

mod docker;
mod gate;
mod plan;
pub mod shim;

pub use gate::{Counts, Gate, Point, When};
pub use plan::{Attempt, Spec};

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::case::{Case, Played, look, perform};
use crate::ledger::Event;
use crate::stage::{BUCKET, Programs, RESTART, Stage};

/// What the node itself writes.
const OWN: [&str; 3] = ["latest_weaviate_backup.manifest.json", ".tmp", "/reports/"];
const SIGKILL: i32 = 9;
/// A first run that is not killed must have ended by then.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often a point is tried that did not come by: how often something is polled differs from run to run.
const TRIES: u32 = 4;
const LOOK: Duration = Duration::from_millis(20);
/// The kinds of call that are taken where a case takes all.
const KINDS: [&str; 11] = [
    "ec2:",
    "s3:",
    "imds:",
    "autoscaling:",
    "secretsmanager:",
    "ssm:",
    "docker:",
    "process:nft",
    "process:mkfs.xfs",
    "process:blkid",
    "kernel:",
];

/// What one stage showed.
struct Tried {
    played: Played,
    counts: Counts,
    took: Duration,
    struck: bool,
}

/// Plays the case once for each attempt; the clean run's outcome with all complaints, and a line of figures.
pub async fn play(
    case: &Case,
    spec: &Spec,
    programs: &Programs,
    soak: bool,
    slots: &Arc<Semaphore>,
) -> Result<(Played, String)> {
    let began = Instant::now();
    let clean = {
        let _slot = slots.acquire().await?;
        attempt(case, programs, None).await.context("the clean run")?
    };
    let mut played = clean.played;
    let unseen = plan::unseen(&clean.counts, spec, &KINDS);
    played.complaints.extend(unseen.iter().map(|kind| format!("the clean run showed no call {kind}")));
    let mut trying = JoinSet::new();
    let attempts = plan::choose(&clean.counts, clean.took, spec, soak);
    let all = attempts.len();
    tracing::info!(all, took = ?clean.took, "attempts");
    for what in attempts {
        let (case, programs, slots) = (case.clone(), programs.clone(), Arc::clone(slots));
        trying.spawn(async move {
            let _slot = slots.acquire_owned().await;
            let tried = until_struck(&case, &programs, &what).await;
            (what, tried)
        });
    }
    let (mut failed, mut missed) = (0, Vec::new());
    while let Some(done) = trying.join_next().await {
        let (what, tried) = done.context("an attempt panicked")?;
        let complaints = match tried {
            Ok(tried) => {
                if !tried.struck {
                    missed.push(what.clone());
                }
                if !tried.played.complaints.is_empty() {
                    let (log, ledger) = (tried.played.log, tried.played.ledger);
                    let _ = write!(played.log, "\n==== killed {what}\n{log}");
                    let _ = write!(played.ledger, "==== killed {what}\n{ledger}");
                }
                tried.played.complaints
            }
            Err(error) => vec![format!("{error:#}")],
        };
        failed += usize::from(!complaints.is_empty());
        if !complaints.is_empty() {
            // A soak takes minutes: its failures are told when they happen.
            tracing::warn!("killed {what}: {}", complaints.join("; "));
        }
        played
            .complaints
            .extend(complaints.into_iter().map(|complaint| format!("killed {what}: {complaint}")));
    }
    // A late repeat of a poll may never come; the first call of each kind must.
    let first = missed.iter().filter(|what| matches!(what, Attempt::At(point) if point.nth == 1));
    played.complaints.extend(first.map(|what| format!("never came to be killed {what}")));
    let figures = format!(
        "{}: {all} points, {failed} failed, {} not reached, {:.0} s{}{}",
        case.name,
        missed.len(),
        began.elapsed().as_secs_f64(),
        if missed.is_empty() { "" } else { ": " },
        missed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    );
    Ok((played, figures))
}

/// Tries a point until the first run comes by it. What a run that was not killed shows counts as well.
async fn until_struck(case: &Case, programs: &Programs, what: &Attempt) -> Result<Tried> {
    let mut tried = attempt(case, programs, Some(what)).await?;
    for _ in 1..TRIES {
        if tried.struck || !tried.played.complaints.is_empty() {
            break;
        }
        tried = attempt(case, programs, Some(what)).await?;
    }
    Ok(tried)
}

/// Kills the first run there and lets the case go on: everything that is not as it must be.
pub async fn strike(case: &Case, programs: &Programs, what: &Attempt) -> Result<Vec<String>> {
    let tried = attempt(case, programs, Some(what)).await?;
    ensure!(tried.struck, "it never came to be killed {what}");
    Ok(tried.played.complaints)
}

/// One stage: the first run with its death, then the case as it stands.
async fn attempt(case: &Case, programs: &Programs, what: Option<&Attempt>) -> Result<Tried> {
    let mut stage = Stage::set(programs, &case.whole()).await.context("setting the stage")?;
    let tried = on_stage(case, &mut stage, what).await;
    let struck = stage.strike().await.context("taking the stage down");
    let mut tried = tried?;
    tried.played.complaints.extend(struck.err().map(|error| format!("{error:#}")));
    Ok(tried)
}

async fn on_stage(case: &Case, stage: &mut Stage, what: Option<&Attempt>) -> Result<Tried> {
    let point = match what {
        Some(Attempt::At(point)) => Some(point.clone()),
        Some(Attempt::Moment(_)) | None => None,
    };
    let gate = Arc::clone(&stage.gate);
    gate.aim(point);
    stage.faults.guard(&gate);
    stage.ledger.guard(&gate);
    let _between = Aborted(docker::stand_between(&stage.machine, &gate)?);
    let there = objects(stage);

    let Struck { took, struck } = match case.kill.as_ref().filter(|spec| !spec.during.is_empty()) {
        None => a_boot(stage, &gate, what).await?,
        Some(spec) => a_command(stage, &gate, what, spec).await?,
    };
    let words = what.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    stage.ledger.record(Event::Mark { what: format!("killed {words} (struck: {struck})") });
    tokio::time::sleep(RESTART).await;

    let mut played = perform(case, stage).await;
    for (key, etag) in there {
        if objects(stage).get(&key) != Some(&etag) {
            played.complaints.push(format!("{key} is lost or changed"));
        }
    }
    match containers(stage).await {
        Ok(1) => {}
        Ok(containers) => played.complaints.push(format!("{containers} containers are left, not 1")),
        // The group has ended the machine: what it was ended for is told first.
        Err(error) => played.complaints.push(format!("the containers cannot be counted: {error:#}")),
    }
    Ok(Tried { played, counts: gate.counts(), took, struck })
}

/// How the life ended that was to be struck.
struct Struck {
    took: Duration,
    struck: bool,
}

/// What an attempt waits for before it strikes by itself.
const fn moment(what: Option<&Attempt>) -> Option<Duration> {
    match what {
        Some(Attempt::Moment(after)) => Some(*after),
        Some(Attempt::At(_)) | None => None,
    }
}

/// The first boot of the stage.
async fn a_boot(stage: &mut Stage, gate: &Gate, what: Option<&Attempt>) -> Result<Struck> {
    let began = Instant::now();
    let mut agent = stage.start_agent(&["--once"])?;
    gate.arm(agent.process.killer());
    let patience = moment(what).unwrap_or(PATIENCE);
    let ended = tokio::time::timeout(patience, agent.process.wait()).await;
    let took = began.elapsed();
    let mut struck = gate.struck();
    if ended.is_err() {
        let status = agent.process.kill().await?;
        ensure!(moment(what).is_some(), "the first run did not end:\n{}", stage.agent_log());
        // It may have come to its own end in this very moment.
        struck = status.signal() == Some(SIGKILL);
    }
    gate.disarm();
    if struck {
        let status = agent.process.wait().await?;
        ensure!(status.signal() == Some(SIGKILL), "the first run was struck and ended with {status}");
    }
    Ok(Struck { took, struck })
}

/// An agent that serves, while a command is asked of it.
async fn a_command(stage: &mut Stage, gate: &Gate, what: Option<&Attempt>, spec: &Spec) -> Result<Struck> {
    let command = &spec.during;
    let mut agent = stage.start_agent(&[])?;
    stage.until(&mut agent, "serving", PATIENCE).await?;
    // The boot's last write comes after its outcome: it is no call of the command, and would be looked for in vain.
    until_reported(stage).await?;
    for act in &spec.before {
        let complaints = look(stage, act).await?;
        ensure!(complaints.is_empty(), "{}", complaints.join("; "));
    }
    let began = Instant::now();
    gate.arm(agent.process.killer());
    let nothing = BTreeMap::new();
    let asked = stage.command(command, 0, &[], &nothing);
    let asked = tokio::time::timeout(moment(what).unwrap_or(PATIENCE), asked).await;
    let took = began.elapsed();
    gate.disarm();
    let struck = gate.struck() || asked.is_err();
    if let Ok(complaints) = asked {
        let complaints = complaints?;
        ensure!(struck || complaints.is_empty(), "{}", complaints.join("; "));
    } else {
        ensure!(moment(what).is_some(), "{command:?} did not end:\n{}", stage.agent_log());
    }
    // Struck already, or here: what comes after it finds a life that ended in the middle or right after the command.
    let _ = agent.process.kill().await;
    let status = agent.process.wait().await?;
    ensure!(status.signal() == Some(SIGKILL), "the agent was struck and ended with {status}");
    Ok(Struck { took, struck })
}

async fn until_reported(stage: &Stage) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !stage.report_is_kept() {
        ensure!(Instant::now() < end, "its report is not in the bucket:\n{}", stage.agent_log());
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Listens no longer than its stage stands.
struct Aborted(JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What others have in the bucket.
fn objects(stage: &Stage) -> BTreeMap<String, String> {
    let all = stage.store.keys(BUCKET, "prod/").into_iter();
    let others = all.filter(|object| !OWN.iter().any(|own| object.key.contains(own)));
    others.map(|object| (object.key, object.etag)).collect()
}

async fn containers(stage: &Stage) -> Result<usize> {
    let docker = stage.machine.command("docker")?.args(["ps", "--all", "--quiet"]);
    Ok(docker.succeed(Duration::from_secs(10)).await?.lines().count())
}
