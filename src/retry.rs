//! Trying again: bounded, with backoff and jitter, and only where the error says that it may help.

use std::future::Future;
use std::time::Duration;

use rand::RngExt as _;
use tokio::time::Instant;

use crate::explain::{Class, Explain};

/// How long and how often something is tried.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// After this no try is begun, counted from the first one's begin. A try that is at work is never cut short: who
    /// needs that bounds the work itself.
    pub deadline: Duration,
    /// The first pause; doubled each time.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Limits {
    pub const fn new(deadline: Duration, first: Duration, longest: Duration) -> Self {
        Self { deadline, first, longest }
    }

    /// The pause before try number `tries + 1`: exponential with full jitter above one half, so that nodes
    /// which failed together do not come back together.
    pub fn pause(&self, tries: u32) -> Duration {
        let whole = self.first.saturating_mul(2_u32.saturating_pow(tries.min(16))).min(self.longest);
        whole.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

/// Runs `work` until it succeeds, its error is final, or no other try may be begun; then the last error is returned.
/// `note` is told about each failure that will be tried again.
pub async fn retry<T, E, F>(
    limits: Limits,
    mut note: impl FnMut(&E),
    mut work: impl FnMut() -> F,
) -> Result<T, E>
where
    E: Explain,
    F: Future<Output = Result<T, E>>,
{
    let end = Instant::now() + limits.deadline;
    let mut tries = 0;
    loop {
        let error = match work().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let pause = limits.pause(tries);
        tries += 1;
        if error.class() == Class::Final || Instant::now() + pause >= end {
            return Err(error);
        }
        note(&error);
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("broken")]
    struct Broken(Class);

    impl Explain for Broken {
        fn class(&self) -> Class {
            self.0
        }
        fn remedy(&self) -> String {
            String::new()
        }
    }

    const LIMITS: Limits =
        Limits::new(Duration::from_mins(1), Duration::from_secs(1), Duration::from_secs(8));

    #[tokio::test(start_paused = true)]
    async fn final_errors_are_tried_once_and_others_until_the_deadline() {
        for (class, at_least, at_most) in [(Class::Final, 1, 1), (Class::Retry, 8, 20)] {
            let mut tries = 0;
            let result: Result<(), _> = retry(
                LIMITS,
                |_| {},
                || {
                    tries += 1;
                    async move { Err(Broken(class)) }
                },
            )
            .await;
            assert!(result.is_err());
            assert!((at_least..=at_most).contains(&tries), "{class:?}: {tries}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn success_ends_it() {
        let mut tries = 0;
        let done = retry(
            LIMITS,
            |_| {},
            || {
                tries += 1;
                let now = tries;
                async move { if now < 3 { Err(Broken(Class::Retry)) } else { Ok(now) } }
            },
        )
        .await;
        assert_eq!(done.ok(), Some(3));
    }
}
