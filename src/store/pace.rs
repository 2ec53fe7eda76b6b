//! At most so many bytes a second, over all connections of one store: `restore.rate`, `backup.rate`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How much may come at once after nothing came: a second's worth, so that pieces of any size keep the rate.
const AHEAD: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Pace {
    per_second: u64,
    /// When everything that was taken so far is paid for.
    paid: Mutex<Instant>,
}

impl Pace {
    pub fn new(per_second: u64) -> Self {
        Self { per_second: per_second.max(1), paid: Mutex::new(Instant::now()) }
    }

    /// Takes so many bytes, and waits as long as they are too early.
    pub async fn take(&self, bytes: u64) {
        let now = Instant::now();
        let until = {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(self.per_second);
            *paid = (*paid).max(now) + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
            *paid
        };
        if let Some(early) = until.checked_sub(AHEAD).filter(|early| *early > now) {
            tokio::time::sleep_until(early).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_takers_together_keep_the_rate() {
        let pace = Pace::new(1000);
        let began = Instant::now();
        let takers = (0..10).map(|_| pace.take(500));
        futures_util::future::join_all(takers).await;
        // The first second's worth is free.
        assert_eq!(began.elapsed(), Duration::from_secs(4));
        tokio::time::sleep(Duration::from_mins(1)).await;
        let began = Instant::now();
        pace.take(1000).await;
        assert_eq!(began.elapsed(), Duration::ZERO, "what nobody took is not owed for longer than that");
        pace.take(1000).await;
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }
}
