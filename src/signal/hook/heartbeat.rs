//! Telling the hook that the boot is still at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::SignalError;
use super::decide::Stage;
use super::group::{Group, Timeouts};
use crate::explain::Explain as _;
use crate::host::Host;
use crate::instance::Identity;
use crate::report::Status;
use crate::retry::{Limits, retry};

/// How often the group is asked whether its hook has begun to wait, and how soon a failed call is repeated.
const LOOK: Duration = Duration::from_secs(5);

/// How long the start of a boot waits to learn what the hook allows.
const LEARN: Limits = Limits::new(Duration::from_secs(30), Duration::from_millis(500), LOOK);

/// How long somebody waits for the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// No hook: nobody.
    Nobody,
    /// There is one, and the service did not tell what it allows.
    Unknown,
    /// The hook's global timeout: its end, whatever is sent.
    Hook(Duration),
}

/// Sends heartbeats for as long as it lives. Dropping it ends them.
#[derive(Debug)]
pub struct Heartbeat {
    task: Option<JoinHandle<()>>,
    patience: Patience,
    held: Arc<AtomicBool>,
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Heartbeat {
    /// Starts heartbeats at a third of the hook's timeout, while the boot makes progress: one that hangs must
    /// time out. Without `[signal.asg]`, or in no group, it does nothing.
    pub async fn start(host: &Host, identity: &Identity) -> Self {
        let mut heartbeat = Self { task: None, patience: Patience::Nobody, held: Arc::default() };
        let Some(group) = super::group(host, identity).await else { return heartbeat };
        let note = |error: &SignalError| tracing::debug!(%error, "asks the group again");
        let known = match retry(LEARN, note, || learn(&group)).await {
            Ok(Some(timeouts)) => Some(timeouts),
            Ok(None) => return heartbeat,
            // The boot goes on: the answer at its end is tried for longer. But a hook that is misnamed can be
            // mended meanwhile by whoever reads this now.
            Err(error) => {
                let remedy = error.remedy();
                host.status.warn(format!("what the lifecycle hook allows is not known: {error}. {remedy}"));
                None
            }
        };
        heartbeat.patience = known.map_or(Patience::Unknown, |timeouts| Patience::Hook(timeouts.global));
        let (status, held) = (host.status.clone(), Arc::clone(&heartbeat.held));
        heartbeat.task = Some(tokio::spawn(async move { beat(&group, &status, known, &held).await }));
        heartbeat
    }

    /// From now on beats are sent whether something moves or not: `signal.on_final = "hold"` keeps the
    /// instance as it is for a person to look at. The service ends it at the hook's global timeout, the caller
    /// by dropping this.
    pub fn hold(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// How long somebody waits.
    pub const fn patience(&self) -> Patience {
        self.patience
    }

    /// Whether the group still waits, or may: nothing tells otherwise.
    pub fn is_waited_for(&self) -> bool {
        self.task.as_ref().is_some_and(|task| !task.is_finished())
    }
}

async fn learn(group: &Group) -> Result<Option<Timeouts>, SignalError> {
    match group.member().await? {
        Some(member) => group.timeouts(&member.group).await.map(Some),
        None => Ok(None),
    }
}

/// Until there is nothing to beat for. Trouble is looked over: the answer itself is what must arrive.
pub(super) async fn beat(group: &Group, status: &Status, mut known: Option<Timeouts>, held: &AtomicBool) {
    let mut seen = None;
    let started = Instant::now();
    loop {
        let pause = match one(group, status, held, &mut known, &mut seen).await {
            Ok(Some(pause)) => pause,
            Ok(None) => return,
            Err(error) => {
                // Final for whoever needs it at once: a permission can be given back while the hook still waits.
                tracing::warn!(%error, "the lifecycle hook got no heartbeat: {error}");
                // A short hook must not run out while its trouble is slept over.
                known.map_or(LOOK, |timeouts| LOOK.min(timeouts.heartbeat / 6))
            }
        };
        // Beats after the global timeout are refused; the instance is decided on by then.
        if known.is_some_and(|timeouts| started.elapsed() + pause > timeouts.global) {
            tracing::warn!("the lifecycle hook's global timeout is reached; heartbeats end");
            return;
        }
        sleep(pause).await;
    }
}

/// One look and perhaps one beat; how long until the next, `None` when it was the last.
async fn one(
    group: &Group,
    status: &Status,
    held: &AtomicBool,
    known: &mut Option<Timeouts>,
    seen: &mut Option<u64>,
) -> Result<Option<Duration>, SignalError> {
    let Some(member) = group.member().await? else { return Ok(None) };
    match member.stage {
        Stage::Outside | Stage::After(_) | Stage::Ending(_) => return Ok(None),
        Stage::Before(_) => return Ok(Some(Duration::from_secs(1))),
        Stage::Waiting(_) => {}
    }
    let timeouts = match known {
        Some(timeouts) => *timeouts,
        None => *known.insert(group.timeouts(&member.group).await?),
    };
    let progress = status.read().1;
    if *seen == Some(progress) && !held.load(Ordering::Relaxed) {
        tracing::warn!("nothing has moved since the last heartbeat; none is sent");
    } else {
        let taken = group.beat(&member.group).await?;
        *seen = Some(progress);
        tracing::debug!(asg.group = %member.group, asg.hook = %group.hook, ?taken, "sent a heartbeat");
    }
    Ok(Some(timeouts.heartbeat / 3))
}
