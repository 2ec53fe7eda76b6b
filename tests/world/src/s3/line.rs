//! One line to the store: all connections share it, whatever each of them may carry, and it is known how long the
//! objects took that somebody asks about.
//!
//! ```text
//! connection ─┐
//! connection ─┼─▶ Line (due times, one after another) ─▶ counted where the key is one of those watched
//! connection ─┘
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How far the line may catch up after nobody had anything to send.
const SLACK: Duration = Duration::from_millis(20);

/// Both directions share it: nobody measures both at once.
#[derive(Debug)]
pub struct Line {
    bytes_per_second: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    due: Instant,
    watched: String,
    carried: Option<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    bytes: u64,
    first: Instant,
    last: Instant,
}

/// What went through for the keys that were watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    pub bytes: u64,
    /// From the first byte to the last.
    pub took: Duration,
}

impl Line {
    pub fn new(bytes_per_second: u64) -> Self {
        let state = State { due: Instant::now(), watched: String::new(), carried: None };
        Self { bytes_per_second: bytes_per_second.max(1), state: Mutex::new(state) }
    }

    /// From now on what goes through for keys that begin so is counted; what was counted before is forgotten.
    pub fn watch(&self, prefix: &str) {
        let mut state = self.state();
        prefix.clone_into(&mut state.watched);
        state.carried = None;
    }

    pub fn carried(&self) -> Option<Carried> {
        let Span { bytes, first, last } = self.state().carried?;
        Some(Carried { bytes, took: last - first })
    }

    /// Whether what goes through for this key is counted.
    pub(super) fn watches(&self, key: &str) -> bool {
        let state = self.state();
        !state.watched.is_empty() && key.starts_with(&state.watched)
    }

    /// When these bytes are through.
    pub(super) fn take(&self, bytes: usize, watched: bool) -> Instant {
        let mut state = self.state();
        let now = Instant::now();
        let bytes = bytes as u64;
        let nanoseconds = bytes.saturating_mul(1_000_000_000) / self.bytes_per_second;
        state.due = state.due.max(now.checked_sub(SLACK).unwrap_or(now)) + Duration::from_nanos(nanoseconds);
        let due = state.due;
        if watched && bytes > 0 {
            let span = state.carried.get_or_insert(Span { bytes: 0, first: now, last: now });
            span.bytes += bytes;
            span.last = span.last.max(due).max(now);
        }
        due
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_share_the_line_and_only_what_is_watched_is_counted() {
        let line = Line::new(1_000_000);
        line.watch("prod/full-1/");
        assert!(line.watches("prod/full-1/a") && !line.watches("prod/latest.json"));
        let began = Instant::now();
        line.take(100_000, false);
        let due = line.take(400_000, true);
        let took = due - began;
        assert!((Duration::from_millis(480)..=Duration::from_millis(500)).contains(&took), "{took:?}");
        let carried = line.carried().expect("something went through");
        assert_eq!(carried, Carried { bytes: 400_000, took });
        line.watch("prod/other/");
        assert_eq!(line.carried(), None);
    }
}
