//! How hard a file is sent.

use std::time::Duration;

use crate::retry;

/// How a file is sent.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// Bytes of one part. S3 takes no smaller one than 5 MiB but the last ("Multipart upload limits").
    pub part: u64,
    /// For one call with its tries.
    pub tries: retry::Limits,
    /// For an answer, beside what the bytes may take.
    pub answer: Duration,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            part: 8 << 20,
            // A store that is in trouble for minutes ends a backup, and not for a moment.
            tries: retry::Limits::new(
                Duration::from_mins(5),
                Duration::from_millis(200),
                Duration::from_secs(10),
            ),
            answer: Duration::from_secs(30),
        }
    }
}

impl Sending {
    /// Whoever sends gives up what does not move for so long.
    pub fn within(stall: Duration) -> Self {
        let usual = Self::default();
        let tries = retry::Limits { deadline: usual.tries.deadline.min(stall), ..usual.tries };
        Self { tries, ..usual }
    }
}
