//! `backup.marker`: an object that somebody writes when there is something worth a backup, an indexing job at its end.
//!
//! ```text
//! listed ─▶ which writing of it ─▶ the manifest's own `marker`? ─┬─ the same ─▶ nothing
//!                                                                └─ another ─▶ a backup, whose manifest names it
//! ```
//!
//! It is followed exactly once, however many see it, because the manifest says that it was: one conditional PUT, by the
//! owner alone, publishes the backup and notes what it was made for. Nothing is deleted, so the writer needs no more
//! than its own key.

use std::time::Duration;

use jiff::Timestamp;

use super::error::BackupError;
use crate::host::Host;
use crate::instance::Identity;
use crate::manifest;
use crate::restore;
use crate::store::Listed;

/// The longest pause after backups that failed.
const LONGEST: Duration = Duration::from_hours(1);

/// The writing of the marker that asks for a backup; `None` where there is none, or where it was followed.
pub async fn waiting(host: &Host, me: &Identity) -> Result<Option<String>, BackupError> {
    let Some(name) = &host.settings.making.marker else { return Ok(None) };
    let store = restore::connect(host, me).await?;
    let key = store.settings().key(name);
    let listed = store.list(&key).await?;
    let Some(found) = listed.iter().find(|object| object.key == key) else { return Ok(None) };
    let node = &host.settings.node;
    let pointer = store.settings().key(manifest::NAME);
    let pointer = manifest::read(&store, &pointer, node.deployment.as_str(), node.name.as_str()).await?;
    let followed = pointer.and_then(|pointer| pointer.manifest.marker);
    Ok(decide(&writing(found), followed.as_deref()))
}

/// Which writing of it this is: a job may write the same bytes each time.
fn writing(object: &Listed) -> String {
    let at = Timestamp::from_second(object.modified).map_or_else(|_| String::new(), |at| at.to_string());
    format!("{} {at}", object.etag)
}

fn decide(found: &str, followed: Option<&str>) -> Option<String> {
    (followed != Some(found)).then(|| found.to_owned())
}

/// When it is looked for next.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    every: Duration,
    failures: u32,
}

impl Pace {
    pub const fn new(every: Duration) -> Self {
        Self { every, failures: 0 }
    }

    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A backup costs: one that fails is not asked for at every look.
    pub const fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    pub fn pause(&self) -> Duration {
        let doubled = self.every.saturating_mul(2_u32.saturating_pow(self.failures.min(16)));
        doubled.min(LONGEST.max(self.every))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_writing_is_followed_once() {
        let listed = |etag: &str, modified| {
            let (key, etag) = ("prod/indexed".to_owned(), etag.to_owned());
            Listed { key, size: 1, etag, modified }
        };
        let first = writing(&listed("e", 1_790_000_000));
        assert_eq!(first, "e 2026-09-21T14:13:20Z");
        assert_eq!(decide(&first, None), Some(first.clone()));
        assert_eq!(decide(&first, Some(&first)), None);
        // The same bytes, another day; and other bytes.
        for other in [writing(&listed("e", 1_790_000_001)), writing(&listed("f", 1_790_000_000))] {
            assert_eq!(decide(&other, Some(&first)), Some(other.clone()));
        }
    }

    #[test]
    fn after_failures_it_is_asked_for_ever_more_rarely() {
        let mut pace = Pace::new(Duration::from_secs(30));
        let pauses: Vec<u64> = (0..9)
            .map(|_| {
                let pause = pace.pause().as_secs();
                pace.failed();
                pause
            })
            .collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        pace.succeeded();
        assert_eq!(pace.pause().as_secs(), 30);
        let slow = Pace { every: Duration::from_hours(3), failures: 40 };
        assert_eq!(slow.pause(), Duration::from_hours(3));
    }
}
