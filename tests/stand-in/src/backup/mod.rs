//! Backups as the real server makes and restores them: a coordinator that polls after 2 s and then
//! every 10 s, and a participant that moves the bytes.
//!
//! ```text
//! POST ─► checks ─► slot taken ─► descriptor STARTED / TRANSFERRING ─► 200
//!                                    └─► participant ─┐
//!         coordinator: 2 s, 12 s, 22 s ... looks ◄────┘ ─► (FINALIZING) ─► descriptor SUCCESS | FAILED | CANCELED
//! ```

pub mod archive;
pub mod backend;
pub mod create;
pub mod descriptor;
pub mod restore;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinHandle;

use crate::settings::Timing;

/// What runs now; a create and a restore each have one slot.
#[derive(Debug, Default)]
pub struct Slot(Mutex<Operation>);

#[derive(Debug, Default)]
pub struct Operation {
    pub id: String,
    pub status: &'static str,
    pub home: String,
    /// Stays when the operation has ended: the server prints it in its 404 (recording 06).
    pub started: Option<Timestamp>,
    pub canceled: Arc<AtomicBool>,
}

impl Slot {
    pub fn get(&self) -> MutexGuard<'_, Operation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id in the way, if the slot is taken.
    pub fn take(&self, id: &str, status: &'static str, home: String) -> Result<Arc<AtomicBool>, String> {
        let mut operation = self.get();
        if !operation.id.is_empty() {
            return Err(operation.id.clone());
        }
        let canceled = Arc::new(AtomicBool::new(false));
        *operation = Operation {
            id: id.to_owned(),
            status,
            home,
            started: Some(Timestamp::now()),
            canceled: Arc::clone(&canceled),
        };
        Ok(canceled)
    }

    pub fn release(&self) {
        self.get().id.clear();
    }

    pub fn set(&self, status: &'static str) {
        self.get().status = status;
    }

    /// Go's print of the emptied slot, as it stands in a 404.
    pub fn printed(&self) -> String {
        let started = self.get().started;
        let time = started.map_or_else(
            || "0001-01-01 00:00:00 +0000 UTC".to_owned(),
            |at| format!("{} +0000 UTC", at.to_string().replace('T', " ").trim_end_matches('Z')),
        );
        format!("{{{time}     }}")
    }
}

#[derive(Debug, Default)]
pub struct Slots {
    pub create: Slot,
    pub restore: Slot,
}

/// Waits for the participant as the coordinator does: it looks after 2 s, then every 10 s.
async fn poll<T>(timing: &Timing, participant: JoinHandle<T>) -> Result<T, tokio::task::JoinError> {
    let mut wait: Duration = timing.first_poll;
    loop {
        tokio::time::sleep(wait).await;
        if participant.is_finished() {
            return participant.await;
        }
        wait = timing.next_poll;
    }
}

fn is_canceled(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed)
}

/// `CPUPercentage` of the cores, at least one (backend.go routinePoolSize).
pub fn workers(cores: usize, percentage: Option<u64>) -> usize {
    let percentage = percentage.filter(|percentage| *percentage > 0).unwrap_or(50).min(80);
    (cores * usize::try_from(percentage).unwrap_or(50) / 100).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_a_share_of_the_cores_and_at_least_one() {
        let rows = [
            (1, None, 1),
            (2, None, 1),
            (8, None, 4),
            (8, Some(0), 4),
            (10, Some(80), 8),
            (10, Some(100), 8),
            (4, Some(10), 1),
            (64, Some(25), 16),
        ];
        for (cores, percentage, expected) in rows {
            assert_eq!(workers(cores, percentage), expected, "{cores} cores, {percentage:?} %");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_participant_is_looked_at_after_two_seconds_and_then_every_ten() {
        let second = Duration::from_secs(1);
        let timing = Timing {
            live: second,
            ready: second,
            first_poll: 2 * second,
            next_poll: 10 * second,
            class_apply: second,
            stop: second,
            disk_look: second,
        };
        for (works, expected) in [(0, 2_000), (1_900, 2_000), (2_100, 12_000), (12_500, 22_000)] {
            let started = tokio::time::Instant::now();
            let participant = tokio::spawn(tokio::time::sleep(Duration::from_millis(works)));
            poll(&timing, participant).await.unwrap();
            // A timer of tokio may be a millisecond late.
            let took = started.elapsed().as_millis();
            assert!((expected..expected + 3).contains(&took), "works {works} ms: seen after {took} ms");
        }
    }
}
