//! The line that `systemctl status` shows, and the proof of progress that keeps systemd patient.
//!
//! ```text
//! begin(work) ─▶ Working ─┬─ say(work, what)…  lines, in the order in which they began
//!                         └─ dropped: its line goes, and each that is of no work under way
//! rest(what) ─▶ no lines, and this instead
//! ```
//!
//! To add work that is no step of the boot: a variant of [`Work`] and its name.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use super::Step;

/// A journal is read by people: a transfer of an hour is 240 lines of it.
const COUNT_LOGGED: Duration = Duration::from_secs(15);

/// What a line is about: a step of the boot, or something that belongs to no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Step(Step),
    /// The way to the Docker Engine, which several steps need.
    Docker,
    /// The door is closed again.
    Withdraw,
    /// The clean stop.
    Stop,
    /// Held for a person to look.
    Hold,
    /// The report is put into the bucket.
    Report,
    /// The server that clients are shown is not as it was.
    Watch,
    /// A backup is made.
    Backup,
    /// Backups that nobody needs are removed.
    Prune,
    /// A backup is proven.
    Verify,
    /// A backup is restored beside the server, and compared.
    Drill,
    /// Collections of a backup come back into the server that serves.
    Regain,
    /// A backup is brought into a file.
    Export,
    /// And out of one.
    Import,
    /// A backup of the server's own gets a manifest.
    Adopt,
}

impl Work {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Step(step) => step.name(),
            Self::Docker => "docker",
            Self::Withdraw => "withdraw",
            Self::Stop => "stop",
            Self::Hold => "hold",
            Self::Report => "report",
            Self::Watch => "watch",
            Self::Backup => "backup",
            Self::Prune => "prune",
            Self::Verify => "verify",
            Self::Drill => "drill",
            Self::Regain => "restore",
            Self::Export => "export",
            Self::Import => "import",
            Self::Adopt => "adopt",
        }
    }
}

impl From<Step> for Work {
    fn from(step: Step) -> Self {
        Self::Step(step)
    }
}

/// Says what each running step is doing. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Status {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// What is done and how far it is, in the order in which it began.
    lines: Vec<(Work, String)>,
    /// What is under way. The same work may be twice: a step that does a part of another's.
    working: Vec<Work>,
    /// What is said while no step runs.
    resting: String,
    /// Grows with each sign of life.
    progress: u64,
    /// When a count of this work last went into the log.
    counted: Vec<(Work, Instant)>,
    /// What the operator accepted and should not forget.
    warnings: Vec<String>,
    /// The last line that was told.
    told: String,
    /// Who wants to hear every line.
    listener: Option<UnboundedSender<String>>,
}

impl Inner {
    /// Whether the line is another one now.
    fn set(&mut self, work: Work, what: &str) -> bool {
        self.progress += 1;
        match self.lines.iter_mut().find(|(known, _)| *known == work) {
            Some((_, line)) if line == what => return false,
            Some((_, line)) => what.clone_into(line),
            None => self.lines.push((work, what.to_owned())),
        }
        self.tell();
        true
    }

    /// Whether this count of the work belongs into the log too.
    fn due(&mut self, work: Work, now: Instant) -> bool {
        let last = self.counted.iter_mut().find(|(known, _)| *known == work);
        match last {
            Some((_, at)) if now.duration_since(*at) < COUNT_LOGGED => return false,
            Some((_, at)) => *at = now,
            // The work has just said that it begins.
            None => {
                self.counted.push((work, now));
                return false;
            }
        }
        true
    }

    fn text(&self) -> String {
        if self.lines.is_empty() {
            return self.resting.clone();
        }
        let lines: Vec<String> =
            self.lines.iter().map(|(work, what)| format!("{}: {what}", work.name())).collect();
        lines.join("; ")
    }

    fn tell(&mut self) {
        let text = self.text();
        // Blank is what nobody should read.
        if text.is_empty() || text == self.told {
            return;
        }
        self.told.clone_from(&text);
        // Who does not listen any more is not told again.
        self.listener = self.listener.take().filter(|listener| listener.send(text).is_ok());
    }
}

impl Status {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// From now on `work` is under way, until the guard is dropped.
    pub fn begin(&self, work: impl Into<Work>) -> Working {
        let work = work.into();
        self.inner().working.push(work);
        Working { status: self.clone(), work }
    }

    /// `work` now does `what`: "waits for i-0old to release eni-1 (shutting-down)".
    pub fn say(&self, work: impl Into<Work>, what: impl Into<String>) {
        let (work, what) = (work.into(), what.into());
        let changed = self.inner().set(work, &what);
        if changed {
            tracing::info!(step = work.name(), "{}: {what}", work.name());
        }
    }

    /// How far `work` is: "pulls …: 17 MiB". The line has every count, the log one from time to time.
    pub fn count(&self, work: impl Into<Work>, what: impl Into<String>) {
        let (work, what) = (work.into(), what.into());
        let mut inner = self.inner();
        let log = inner.set(work, &what) && inner.due(work, Instant::now());
        drop(inner);
        if log {
            tracing::info!(step = work.name(), "{}: {what}", work.name());
        }
    }

    /// A sign of life without a new line: bytes moved, a poll answered.
    pub fn alive(&self) {
        self.inner().progress += 1;
    }

    /// From now on each change of the line, in its order; who only looked now and then would miss the short steps.
    pub fn listen(&self) -> UnboundedReceiver<String> {
        let (listener, lines) = unbounded_channel();
        self.inner().listener = Some(listener);
        lines
    }

    /// What the program does when no step is at work: "serves on 10.0.2.15". Whatever was said before is over.
    pub fn rest(&self, what: impl Into<String>) {
        let mut inner = self.inner();
        inner.lines.clear();
        inner.resting = what.into();
        inner.tell();
    }

    /// Something that is allowed but should not be forgotten; kept for the report.
    pub fn warn(&self, what: impl Into<String>) {
        let what = what.into();
        let mut inner = self.inner();
        if !inner.warnings.contains(&what) {
            tracing::warn!("{what}");
            inner.warnings.push(what);
        }
    }

    pub fn warnings(&self) -> Vec<String> {
        self.inner().warnings.clone()
    }

    /// All lines as one, and how often anything moved.
    pub fn read(&self) -> (String, u64) {
        let inner = self.inner();
        (inner.text(), inner.progress)
    }
}

/// Work under way. Its line ends with it, also where it is dropped in the middle, and so does each line that is of
/// no work under way: what a step said of another's, whose end nobody tells.
#[derive(Debug)]
#[must_use = "the work ends where this is dropped"]
pub struct Working {
    status: Status,
    work: Work,
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut inner = self.status.inner();
        if let Some(at) = inner.working.iter().position(|work| *work == self.work) {
            inner.working.swap_remove(at);
        }
        inner.progress += 1;
        let Inner { lines, working, .. } = &mut *inner;
        lines.retain(|(work, _)| working.contains(work));
        inner.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::{Status, Step, Work};

    #[test]
    fn each_step_has_one_line_until_it_ends() {
        let status = Status::default();
        let (claim, stage) = (status.begin(Step::Claim), status.begin(Step::Stage));
        status.say(Step::Claim, "waits");
        status.say(Step::Stage, "1 of 9");
        status.say(Step::Claim, "attaches");
        assert_eq!(status.read().0, "claim: attaches; stage: 1 of 9");
        drop(claim);
        assert_eq!(status.read().0, "stage: 1 of 9");
        drop(stage);
        assert_eq!(status.read().0, "");
        status.rest("serves");
        let signal = status.begin(Step::Signal);
        status.say(Step::Signal, "waits");
        assert_eq!(status.read().0, "signal: waits");
        drop(signal);
        assert_eq!(status.read().0, "serves", "not blank, for whoever asks the service manager");
    }

    #[test]
    fn no_line_outlives_the_work_that_said_it() {
        let status = Status::default();
        let refresh = status.begin(Step::Refresh);
        status.say(Step::Refresh, "the manifest moved on");
        // A newer backup is restored and counted in this step, whose own steps have ended long ago.
        status.say(Step::Restore, "full-2: FINALIZING");
        status.say(Step::Verify, "waits until the disk has it all");
        let docker = status.begin(Work::Docker);
        status.say(Work::Docker, "waits");
        drop(docker);
        assert_eq!(status.read().0, "refresh: the manifest moved on", "what is still said is said again");
        status.say(Step::Restore, "full-2: FINALIZING");
        drop(refresh);
        assert_eq!(status.read().0, "");
        // Nobody told the end of this.
        status.say(Step::Fetch, "tries again");
        status.rest("serves");
        assert_eq!(status.read().0, "serves");
    }

    #[test]
    fn a_step_that_works_twice_has_its_line_until_both_end() {
        let status = Status::default();
        let (outer, inner) = (status.begin(Step::Signal), status.begin(Step::Signal));
        status.say(Step::Signal, "waits");
        drop(inner);
        assert_eq!(status.read().0, "signal: waits");
        drop(outer);
        assert_eq!(status.read().0, "");
    }

    #[test]
    fn each_work_has_its_own_name() {
        let others = [Work::Docker, Work::Withdraw, Work::Stop, Work::Hold, Work::Report, Work::Watch];
        let all: Vec<Work> = Step::ALL.into_iter().map(Work::Step).chain(others).collect();
        let names: std::collections::BTreeSet<&str> = all.iter().map(|work| work.name()).collect();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn a_listener_hears_every_change_in_its_order() {
        let status = Status::default();
        let mut lines = status.listen();
        let close = status.begin(Step::Close);
        status.say(Step::Close, "begins");
        drop(close);
        let claim = status.begin(Step::Claim);
        status.say(Step::Claim, "waits");
        status.say(Step::Claim, "waits");
        let stage = status.begin(Step::Stage);
        status.say(Step::Stage, "begins");
        drop(claim);
        drop(stage);
        status.rest("serves");
        let heard: Vec<String> = std::iter::from_fn(|| lines.try_recv().ok()).collect();
        assert_eq!(
            heard,
            ["close: begins", "claim: waits", "claim: waits; stage: begins", "stage: begins", "serves"]
        );
    }

    #[test]
    fn counts_are_in_every_line_and_now_and_then_in_the_log() {
        let mut inner = super::Inner::default();
        let (stage, image) = (Work::Step(Step::Stage), Work::Step(Step::Image));
        let start = tokio::time::Instant::now();
        let after = |seconds| start + std::time::Duration::from_secs(seconds);
        let due = [0, 14, 15, 16, 29, 30].map(|seconds| inner.due(stage, after(seconds)));
        assert_eq!(due, [false, false, true, false, false, true]);
        assert!(!inner.due(image, after(30)), "another work has its own time");
        let status = Status::default();
        status.count(Step::Stage, "1 of 9");
        status.count(Step::Stage, "2 of 9");
        assert_eq!(status.read(), ("stage: 2 of 9".to_owned(), 2));
    }

    #[test]
    fn every_sign_of_life_is_progress() {
        let status = Status::default();
        let before = status.read().1;
        status.say(Step::Claim, "waits");
        status.say(Step::Claim, "waits");
        status.alive();
        assert_eq!(status.read().1, before + 3);
    }
}
