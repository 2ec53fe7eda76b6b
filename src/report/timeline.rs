//! When each step of the boot began and ended: for people (text, SVG), for the report, and for the journal.
//!
//! ```text
//! boot ──step(Claim, future)──▶ Timeline ──▶ span, deadline, STATUS
//!                                  └──▶ timeline.json after every change
//! ```
//!
//! To add a step: a variant of [`Step`], its name, its deadline, its line in `boot/mod.rs`.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::Status;
use crate::explain::{Class, Explain, Failure};

/// The steps of a boot, in the order in which the design draws them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    Close,
    Identify,
    Locate,
    Claim,
    Place,
    Prepare,
    Fetch,
    Image,
    Choose,
    Stage,
    Start,
    Restore,
    Verify,
    Refresh,
    TakeOver,
    Mark,
    Warm,
    Expose,
    Probe,
    Signal,
}

impl Step {
    pub const ALL: [Self; 20] = [
        Self::Close,
        Self::Identify,
        Self::Locate,
        Self::Claim,
        Self::Place,
        Self::Prepare,
        Self::Fetch,
        Self::Image,
        Self::Choose,
        Self::Stage,
        Self::Start,
        Self::Restore,
        Self::Verify,
        Self::Refresh,
        Self::TakeOver,
        Self::Mark,
        Self::Warm,
        Self::Expose,
        Self::Probe,
        Self::Signal,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Identify => "identify",
            Self::Locate => "locate",
            Self::Claim => "claim",
            Self::Place => "place",
            Self::Prepare => "prepare",
            Self::Fetch => "fetch",
            Self::Image => "image",
            Self::Choose => "choose",
            Self::Stage => "stage",
            Self::Start => "start",
            Self::Restore => "restore",
            Self::Verify => "verify",
            Self::Refresh => "refresh",
            Self::TakeOver => "take-over",
            Self::Mark => "mark",
            Self::Warm => "warm",
            Self::Expose => "expose",
            Self::Probe => "probe",
            Self::Signal => "signal",
        }
    }

    /// Whether a failure of this step means that what is served may be wrong, or not ours to serve: an address
    /// that went, a fence that is lost, counts that differ. A secret that cannot be read means no such thing.
    pub const fn doubts_what_is_served(self) -> bool {
        match self {
            Self::Claim
            | Self::Prepare
            | Self::Stage
            | Self::Restore
            | Self::Verify
            | Self::Refresh
            | Self::TakeOver => true,
            Self::Close
            | Self::Identify
            | Self::Locate
            | Self::Place
            | Self::Fetch
            | Self::Image
            | Self::Choose
            | Self::Start
            | Self::Mark
            | Self::Warm
            | Self::Expose
            | Self::Probe
            | Self::Signal => false,
        }
    }

    /// The longest that the step may take: more than all its own limits together (`tests/deadlines.rs`), whose errors
    /// say what was waited for. Steps whose length follows the data, or another machine, bound themselves by lack of
    /// progress or by a setting; for them this is the boot's own deadline.
    pub(crate) const fn deadline(self) -> Option<Duration> {
        match self {
            Self::Close | Self::Place | Self::Mark => Some(Duration::from_mins(1)),
            Self::Expose => Some(Duration::from_mins(2)),
            Self::Identify | Self::Fetch | Self::Probe => Some(Duration::from_mins(3)),
            Self::Locate => Some(Duration::from_mins(6)),
            Self::Choose | Self::Warm => Some(Duration::from_mins(10)),
            Self::Prepare => Some(Duration::from_mins(15)),
            Self::Image => Some(Duration::from_mins(30)),
            Self::Claim
            | Self::Stage
            | Self::Start
            | Self::Restore
            | Self::Verify
            | Self::Refresh
            | Self::TakeOver
            | Self::Signal => None,
        }
    }
}

/// How a step came to its evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// It did its work.
    Done,
    /// It found its work done by an earlier run.
    Reused,
    /// There was nothing to do.
    Skipped,
    Failed,
}

impl How {
    /// For people, in the journal and in drawings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Reused => "reused",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// What a step returns: it says how it came about.
pub trait Evidence {
    fn how(&self) -> How {
        How::Done
    }
}

impl Evidence for () {}

/// One step's times, in milliseconds since the agent started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub name: Step,
    pub start_ms: u64,
    pub end_ms: Option<u64>,
    pub status: Option<How>,
}

/// The boot's clock and record. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Timeline {
    started: Instant,
    entries: Arc<Mutex<Vec<Entry>>>,
    status: Status,
    file: PathBuf,
}

/// A step took longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("the step did not end within {} s", deadline.as_secs())]
struct TooLate {
    deadline: Duration,
    said: String,
}

impl Explain for TooLate {
    fn class(&self) -> Class {
        Class::Retry
    }
    fn remedy(&self) -> String {
        "It is tried again; `weaviate-provisioner timeline` shows where the time went.".to_owned()
    }
    fn details(&self) -> Vec<String> {
        vec![format!("it last said: {}", self.said)]
    }
}

impl Timeline {
    pub fn new(status: Status, file: PathBuf) -> Self {
        Self { started: Instant::now(), entries: Arc::default(), status, file }
    }

    /// Runs one step: its deadline, span and entry.
    pub async fn step<T: Evidence, E: Explain>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        let working = self.status.begin(step);
        let index = self.begin(step);
        let work = work.instrument(tracing::info_span!("step", step = step.name()));
        let done = match step.deadline() {
            None => work.await.map_err(|error| Failure::new(step.name(), &error)),
            Some(deadline) => match tokio::time::timeout(deadline, work).await {
                Ok(done) => done.map_err(|error| Failure::new(step.name(), &error)),
                Err(_) => Err(Failure::new(step.name(), &TooLate { deadline, said: self.status.read().0 })),
            },
        };
        let how = done.as_ref().map_or(How::Failed, Evidence::how);
        self.end(index, how);
        drop(working);
        let name = step.name();
        match &done {
            Ok(_) => tracing::info!(step = name, "{name}: {}", how.word()),
            Err(failure) => {
                tracing::error!(step = name, error_class = failure.class.name(), "{name}: {failure}");
            }
        }
        done
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn begin(&self, step: Step) -> usize {
        let start_ms = self.elapsed();
        let mut entries = self.entries();
        entries.push(Entry { name: step, start_ms, end_ms: None, status: None });
        let index = entries.len() - 1;
        drop(entries);
        self.status.say(step, "begins");
        self.write();
        index
    }

    fn end(&self, index: usize, how: How) {
        let end_ms = self.elapsed();
        if let Some(entry) = self.entries().get_mut(index) {
            entry.end_ms = Some(end_ms);
            entry.status = Some(how);
        }
        self.write();
    }

    /// All entries so far.
    pub fn read(&self) -> Vec<Entry> {
        self.entries().clone()
    }

    /// A timeline that cannot be written is not worth a failed boot; it is said once in the log.
    fn write(&self) {
        let written = serde_json::to_vec(&self.read())
            .map_err(std::io::Error::from)
            .and_then(|text| renew(&self.file, &text));
        if let Err(error) = written {
            tracing::warn!(%error, "the timeline could not be written: {error}");
        }
    }
}

/// Old or new for every reader, but not made durable: two syncs per step would be in the way of the boot, and after a
/// power cut nobody asks for this.
fn renew(file: &std::path::Path, text: &[u8]) -> std::io::Result<()> {
    let beside = file.with_extension("json.tmp");
    std::fs::write(&beside, text)?;
    std::fs::rename(beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(directory: &std::path::Path) -> Timeline {
        Timeline::new(Status::default(), directory.join("timeline.json"))
    }

    #[test]
    fn every_step_has_its_own_name() {
        let names: std::collections::BTreeSet<&str> = Step::ALL.iter().map(|step| step.name()).collect();
        assert_eq!(names.len(), Step::ALL.len());
        for step in Step::ALL {
            assert_eq!(serde_json::to_value(step).expect("a name"), step.name());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_hangs_ends_at_its_deadline_and_is_tried_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let timeline = timeline(directory.path());
        let failure = timeline
            .step(Step::Close, std::future::pending::<Result<(), TooLate>>())
            .await
            .expect_err("it hangs");
        assert_eq!((failure.class, failure.step.as_str()), (Class::Retry, "close"));
        assert_eq!(timeline.read()[0].status, Some(How::Failed));
    }

    /// As `try_join!` does with the others when one of them fails: while the instance is held for hours, and in the
    /// reason why a boot was late, nobody is named who does not work any more.
    #[tokio::test(start_paused = true)]
    async fn a_step_that_is_dropped_leaves_no_line() {
        let directory = tempfile::tempdir().expect("a directory");
        let timeline = timeline(directory.path());
        let status = timeline.status.clone();
        let waits = async {
            status.say(Step::Claim, "waits for i-0old");
            std::future::pending::<Result<(), TooLate>>().await
        };
        let fails = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert_eq!(status.read().0, "claim: waits for i-0old; stage: begins");
            Err::<(), _>(TooLate { deadline: Duration::ZERO, said: String::new() })
        };
        let joined =
            async { tokio::try_join!(timeline.step(Step::Claim, waits), timeline.step(Step::Stage, fails)) };
        joined.await.expect_err("one fails");
        assert_eq!(status.read().0, "");
    }

    #[tokio::test(start_paused = true)]
    async fn times_are_written_for_the_commands() {
        let directory = tempfile::tempdir().expect("a directory");
        let timeline = timeline(directory.path());
        let work = async {
            tokio::time::sleep(Duration::from_millis(70)).await;
            Ok::<(), TooLate>(())
        };
        timeline.step(Step::Warm, work).await.expect("it works");
        let text = std::fs::read(directory.path().join("timeline.json")).expect("written");
        let entries: Vec<Entry> = serde_json::from_slice(&text).expect("entries");
        assert_eq!(
            entries,
            [Entry { name: Step::Warm, start_ms: 0, end_ms: Some(70), status: Some(How::Done) }]
        );
    }
}
