//! Telling the hook that the boot is still at work.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::SignalError;
use super::decide::Stage;
use super::group::{Group, Timeouts};
use crate::explain::{Class, Explain as _};
use crate::host::Host;
use crate::instance::Identity;
use crate::report::Status;

/// How often the group is asked whether its hook has begun to wait, and how soon a failed call is repeated.
const LOOK: Duration = Duration::from_secs(5);

/// Which beats are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// Only when something moved since the last one: a boot that hangs must time out.
    Progress,
    /// Always: a person is to find the instance as it is.
    Hold,
}

/// Sends heartbeats for as long as it lives. Dropping it ends them.
#[derive(Debug)]
pub struct Heartbeat(Option<JoinHandle<()>>);

impl Drop for Heartbeat {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Heartbeat {
    /// Starts heartbeats at a third of the hook's timeout, while the boot makes progress. Without
    /// `[signal.asg]` it does nothing.
    pub async fn start(host: &Host, identity: &Identity) -> Self {
        Self::spawn(host, identity, Reason::Progress).await
    }

    /// Keeps the instance as it is, for a person to look at: `signal.on_final = "hold"`. The service ends it
    /// at the hook's global timeout; the caller ends it earlier by dropping this.
    pub async fn hold(host: &Host, identity: &Identity) -> Self {
        Self::spawn(host, identity, Reason::Hold).await
    }

    async fn spawn(host: &Host, identity: &Identity, reason: Reason) -> Self {
        let Some(asg) = &host.settings.signal.asg else { return Self(None) };
        let group = Group {
            client: host.aws(identity.region()).await.autoscaling.clone(),
            instance: identity.instance_id().to_owned(),
            hook: asg.launch_hook.clone(),
        };
        let status = host.status.clone();
        Self(Some(tokio::spawn(async move { beat(&group, &status, reason).await })))
    }
}

/// Until there is nothing to beat for. Trouble is looked over: the answer itself is what must arrive.
async fn beat(group: &Group, status: &Status, reason: Reason) {
    let mut known: Option<Timeouts> = None;
    let mut seen = None;
    let started = Instant::now();
    loop {
        let pause = match one(group, status, reason, &mut known, &mut seen).await {
            Ok(Some(pause)) => pause,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the lifecycle hook got no heartbeat");
                if error.class() == Class::Final {
                    return;
                }
                LOOK
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
    reason: Reason,
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
    if reason == Reason::Progress && *seen == Some(progress) {
        tracing::warn!("nothing has moved since the last heartbeat; none is sent");
    } else {
        *seen = Some(progress);
        let taken = group.beat(&member.group).await?;
        tracing::debug!(asg.group = %member.group, asg.hook = %group.hook, ?taken, "sent a heartbeat");
    }
    Ok(Some(timeouts.heartbeat / 3))
}

#[cfg(test)]
pub(super) async fn beat_for_tests(group: &Group, status: &Status) {
    beat(group, status, Reason::Progress).await;
}
