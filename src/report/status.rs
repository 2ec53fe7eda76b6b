//! The line that `systemctl status` shows, and the proof of progress that keeps systemd patient.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Says what each running step is doing. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Status {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Step and what it does, in the order in which the steps began.
    lines: Vec<(String, String)>,
    /// What is said while no step runs.
    resting: String,
    /// Grows with each sign of life.
    progress: u64,
    /// What the operator accepted and should not forget.
    warnings: Vec<String>,
    /// The last line that was told.
    told: String,
    /// Who wants to hear every line.
    listener: Option<UnboundedSender<String>>,
}

impl Inner {
    fn text(&self) -> String {
        if self.lines.is_empty() {
            return self.resting.clone();
        }
        let lines: Vec<String> = self.lines.iter().map(|(step, what)| format!("{step}: {what}")).collect();
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

    /// `step` now does `what`: "waits for i-0old to release eni-1 (shutting-down)".
    pub fn say(&self, step: &str, what: impl Into<String>) {
        let what = what.into();
        let mut inner = self.inner();
        inner.progress += 1;
        match inner.lines.iter_mut().find(|(known, _)| known == step) {
            Some((_, line)) if *line == what => return,
            Some((_, line)) => line.clone_from(&what),
            None => inner.lines.push((step.to_owned(), what.clone())),
        }
        inner.tell();
        drop(inner);
        tracing::info!(step, "{what}");
    }

    /// A sign of life without a new line: bytes moved, a poll answered.
    pub fn alive(&self) {
        self.inner().progress += 1;
    }

    /// `step` has ended.
    pub fn done(&self, step: &str) {
        let mut inner = self.inner();
        inner.progress += 1;
        inner.lines.retain(|(known, _)| known != step);
        inner.tell();
    }

    /// From now on each change of the line, in its order; who only looked now and then would miss the short steps.
    pub fn listen(&self) -> UnboundedReceiver<String> {
        let (listener, lines) = unbounded_channel();
        self.inner().listener = Some(listener);
        lines
    }

    /// What the program does when no step is at work: "serves on 10.0.2.15".
    pub fn rest(&self, what: impl Into<String>) {
        let mut inner = self.inner();
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

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn each_step_has_one_line_until_it_ends() {
        let status = Status::default();
        status.say("claim", "waits");
        status.say("stage", "1 of 9");
        status.say("claim", "attaches");
        assert_eq!(status.read().0, "claim: attaches; stage: 1 of 9");
        status.done("claim");
        assert_eq!(status.read().0, "stage: 1 of 9");
        status.rest("serves");
        assert_eq!(status.read().0, "stage: 1 of 9");
        status.done("stage");
        assert_eq!(status.read().0, "serves", "not blank, for whoever asks the service manager");
    }

    #[test]
    fn a_listener_hears_every_change_in_its_order() {
        let status = Status::default();
        let mut lines = status.listen();
        status.say("close", "begins");
        status.done("close");
        status.say("claim", "waits");
        status.done("close");
        status.say("claim", "waits");
        status.say("stage", "begins");
        status.done("claim");
        status.rest("serves");
        status.done("stage");
        let heard: Vec<String> = std::iter::from_fn(|| lines.try_recv().ok()).collect();
        assert_eq!(
            heard,
            ["close: begins", "claim: waits", "claim: waits; stage: begins", "stage: begins", "serves"]
        );
    }

    #[test]
    fn every_sign_of_life_is_progress() {
        let status = Status::default();
        let before = status.read().1;
        status.say("claim", "waits");
        status.say("claim", "waits");
        status.alive();
        assert_eq!(status.read().1, before + 3);
    }
}
