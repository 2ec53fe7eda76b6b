//! The life after the boot: whether what was verified is what runs behind the door.
//!
//! ```text
//!         ┌──────────────── every second ─────────────────┐
//!         ▼                                               │
//! look (Docker) ──decide─┬─ the process that was exposed ─┤
//!                        ├─ Docker silent, or paused ─────┘  said in STATUS, warned of once
//!                        └─ ended, gone, another ─▶ door closed ─▶ Loss: exit 75, and the next run starts the
//!                                                                  server, counts, and opens
//! ```
//!
//! Docker restarts nothing (`container`), so this is who notices. A stop in order drops the watch before anything is
//! stopped, and so cannot be taken for a death.
//!
//! To add something to look at: a variant of [`Seen`], a row in the table of `decide.rs`.

mod decide;
mod error;

pub use decide::{Lost, Plan, Seen, decide};
pub use error::WatchError;

use std::time::Duration;

use crate::container;
use crate::explain::Failure;
use crate::host::Host;
use crate::network::{self, Serving};
use crate::report::Work;

/// The step of a [`Failure`] that was found here.
pub const STEP: &str = "watch";

/// A server needs 2.4 s at least from its start until it answers (measured, empty): one that somebody restarts is
/// noticed before a client can ask it.
const PACE: Duration = Duration::from_secs(1);
/// One that dies as soon as it is shown is shown once in this time, from its second death on: each boot reads its
/// secrets, the manifest and all counts anew.
const AT_MOST_EACH: Duration = Duration::from_mins(1);

/// What was exposed runs no more.
#[derive(Debug)]
pub struct Loss {
    pub failure: Failure,
    /// The door could not be closed.
    pub ajar: bool,
}

/// Until what was exposed runs no more.
pub async fn watch(host: &Host, serving: &Serving) -> Loss {
    let lost = until_lost(host, serving).await;
    // Before anybody asks why: a log that cannot be read must not keep it open.
    let closed = network::withdraw(host).await;
    if let Err(error) = &closed {
        tracing::error!(%error, "the door could not be closed: {error}");
    }
    let error = match lost {
        Lost::Ended { code, oom } => {
            WatchError::Ended { code, oom, log: container::last_lines(host, serving.running()).await }
        }
        Lost::Gone => WatchError::Gone,
        Lost::Another => WatchError::Another,
    };
    Loss { failure: Failure::new(STEP, &error), ajar: closed.is_err() }
}

/// Nothing died, and the node is another instance's all the same: the manifest names it.
pub async fn another_owns(host: &Host, failure: Failure) -> Loss {
    let closed = network::withdraw(host).await;
    if let Err(error) = &closed {
        tracing::error!(%error, "the door could not be closed: {error}");
    }
    Loss { failure, ajar: closed.is_err() }
}

async fn until_lost(host: &Host, serving: &Serving) -> Lost {
    let running = serving.running();
    let mut waits = None;
    loop {
        let seen = match container::look(host, running).await {
            Ok(sight) => Seen::Container(sight),
            Err(error) => {
                tracing::debug!(%error, "cannot look at the server: {error}");
                Seen::Silent
            }
        };
        let plan = decide(&seen, running.process());
        match plan {
            Plan::Rest => {
                if waits.take().is_some() {
                    tracing::info!(step = STEP, "{plan}");
                }
            }
            Plan::AwaitDocker | Plan::AwaitUnpause => {
                waits.get_or_insert_with(|| host.status.begin(Work::Watch));
                host.status.say(Work::Watch, plan.to_string());
                host.status.warn(plan.to_string());
            }
            Plan::Close(lost) => {
                // What became of it, the run's own error says (`WatchError`).
                tracing::error!(step = STEP, "{plan}");
                return lost;
            }
        }
        tokio::time::sleep(PACE).await;
    }
}

/// How long to wait before the node is tried again, whose server `lived` so long since it was shown. `again`: the run
/// before this one ended here as well. Nothing ends such a series: the instance is in service, nobody waits for an
/// answer that could replace it, and its disk may hold the only copy of the latest writes.
pub const fn rest(lived: Duration, again: bool) -> Duration {
    if again { AT_MOST_EACH.saturating_sub(lived) } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_keeps_dying_is_shown_once_a_minute() {
        let seconds = Duration::from_secs;
        let rows = [
            (seconds(0), false, seconds(0)),
            (seconds(5), true, seconds(55)),
            (seconds(60), true, seconds(0)),
            (seconds(86_400), true, seconds(0)),
        ];
        for (lived, again, expected) in rows {
            assert_eq!(rest(lived, again), expected, "{lived:?} {again}");
        }
    }
}
