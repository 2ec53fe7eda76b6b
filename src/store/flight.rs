//! The requests that are in the air: a turn for each, as many as [`Climb`] allows. And the turns on the disk, which are
//! fewer, and show what the requests wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::climb::{Climb, Tick};

/// Long enough for some ranges of each connection, short enough that a restore of a minute gains from it.
const TICK: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Flight {
    turns: Arc<Semaphore>,
    /// Turns that are not given to anybody else when they end.
    owed: AtomicUsize,
    /// Since the last tick.
    bytes: AtomicU64,
    refused: AtomicBool,
    disk: Semaphore,
    /// Pieces that were written at once, and that waited for others to be.
    at_once: AtomicUsize,
    waited: AtomicUsize,
    first: usize,
    most: usize,
}

/// Writes and hashes at a time: a hash keeps a core busy, a write half of one; each more is a thread that only holds
/// memory.
fn disk_jobs() -> usize {
    2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// One request's; it ends with it.
#[derive(Debug)]
pub(super) struct Turn {
    flight: Arc<Flight>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take().filter(|_| self.flight.pays()) {
            permit.forget();
        }
    }
}

impl Flight {
    pub fn new(first: usize, most: usize) -> Arc<Self> {
        let first = first.clamp(1, most.max(1));
        Arc::new(Self {
            turns: Arc::new(Semaphore::new(first)),
            owed: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            disk: Semaphore::new(disk_jobs()),
            at_once: AtomicUsize::new(0),
            waited: AtomicUsize::new(0),
            first,
            most: most.max(1),
        })
    }

    /// Waits for a turn, in the order of asking.
    pub async fn turn(self: &Arc<Self>) -> Turn {
        // Never closed.
        let permit = Arc::clone(&self.turns).acquire_owned().await.ok();
        Turn { flight: Arc::clone(self), permit }
    }

    /// To read what lies there already.
    pub async fn disk(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        self.disk.acquire().await.ok()
    }

    /// To write what has come.
    pub async fn disk_for_a_piece(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(turn) = self.disk.try_acquire() {
            self.at_once.fetch_add(1, Ordering::Relaxed);
            return Some(turn);
        }
        self.waited.fetch_add(1, Ordering::Relaxed);
        self.disk().await
    }

    /// So many bytes have come.
    pub fn moved(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The store has said that it is asked too often.
    pub fn refused(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Allows more or fewer, for as long as it is polled.
    pub async fn steer(&self) -> std::convert::Infallible {
        let mut climb = Climb::new(self.first, self.most);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first comes at once.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let tick = Tick {
                bytes: self.bytes.swap(0, Ordering::Relaxed),
                busy: self.turns.available_permits() == 0,
                refused: self.refused.swap(false, Ordering::Relaxed),
                disk: self.waited.swap(0, Ordering::Relaxed) > self.at_once.swap(0, Ordering::Relaxed),
            };
            let (before, now) = (climb.connections(), climb.tick(tick));
            if now != before {
                tracing::debug!(
                    before,
                    now,
                    bytes = tick.bytes,
                    "{now} requests at a time instead of {before}"
                );
            }
            self.allow(before, now);
        }
    }

    fn allow(&self, before: usize, now: usize) {
        for _ in before..now {
            // One that is still to be given back is kept instead.
            if !self.pays() {
                self.turns.add_permits(1);
            }
        }
        let fewer = before.saturating_sub(now);
        let idle = self.turns.forget_permits(fewer);
        self.owed.fetch_add(fewer - idle, Ordering::Relaxed);
    }

    fn pays(&self) -> bool {
        self.owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |owed| owed.checked_sub(1)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that all share, and a first byte that each waits for. Objects of 1,000 bytes.
    struct Line {
        first_byte: Duration,
        turn: tokio::sync::Mutex<()>,
        each: Duration,
    }

    impl Line {
        fn new(first_byte_ms: u64, each_us: u64) -> Arc<Self> {
            let (first_byte, each) = (Duration::from_millis(first_byte_ms), Duration::from_micros(each_us));
            Arc::new(Self { first_byte, turn: tokio::sync::Mutex::new(()), each })
        }

        async fn carry(&self) {
            tokio::time::sleep(self.first_byte).await;
            let _mine = self.turn.lock().await;
            tokio::time::sleep(self.each).await;
        }
    }

    /// So many objects over the line, and the most that were in the air in the last quarter of them.
    async fn carried(flight: &Arc<Flight>, line: &Arc<Line>, objects: usize) -> usize {
        let (flying, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let one = |at: usize| {
            let (flight, line) = (Arc::clone(flight), Arc::clone(line));
            let (flying, most) = (Arc::clone(&flying), Arc::clone(&most));
            async move {
                let _turn = flight.turn().await;
                let now = flying.fetch_add(1, Ordering::Relaxed) + 1;
                if at >= objects * 3 / 4 {
                    most.fetch_max(now, Ordering::Relaxed);
                }
                line.carry().await;
                flight.moved(1000);
                flying.fetch_sub(1, Ordering::Relaxed);
            }
        };
        let all = futures_util::future::join_all((0..objects).map(|at| tokio::spawn(one(at))));
        tokio::select! {
            _ = all => {}
            never = flight.steer() => match never {},
        }
        most.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_are_in_the_air_as_bring_something() {
        // (first byte, time on the line, most) → between.
        let rows = [
            // The wait for the first byte is all: as many as are allowed.
            (100, 0, 64, 64..=64),
            (100, 0, 16, 16..=16),
            (100, 0, 3, 3..=3),
            // 21 of them keep the line busy.
            (20, 1000, 64, 16..=36),
            // One does.
            (1, 2000, 64, 16..=16),
        ];
        for (first_byte, each, most, expected) in rows {
            let (flight, line) = (Flight::new(16, most), Line::new(first_byte, each));
            let seen = carried(&flight, &line, 8000).await;
            assert!(expected.contains(&seen), "{first_byte} ms, {each} µs, at most {most}: {seen}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_is_owed_is_given_to_nobody() {
        let flight = Flight::new(4, 8);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(flight.turn().await);
        }
        // Overrun: half of them.
        flight.allow(4, 2);
        held.truncate(2);
        assert_eq!(flight.turns.available_permits(), 0, "two have ended, and two were too many");
        held.pop();
        assert_eq!(flight.turns.available_permits(), 1);
        flight.allow(2, 1);
        assert_eq!(flight.turns.available_permits(), 0, "an idle one goes at once");
        // More again, before what is owed was paid.
        flight.allow(1, 0);
        flight.allow(0, 2);
        held.pop();
        assert_eq!(flight.turns.available_permits(), 2);
    }
}
