//! Telling systemd: STATUS with every change, EXTEND_TIMEOUT_USEC while there is progress, READY, the watchdog.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::report::Status;

/// How often systemd hears of us at least.
const PERIOD: Duration = Duration::from_secs(5);
/// Signs of life within one `WatchdogSec=`: five may be lost or late on a machine that is busy restoring.
const SIGNS: u32 = 6;
/// How long a start may go on after the last sign of life.
const PATIENCE: Duration = Duration::from_mins(3);

fn notify(states: &[NotifyState<'_>]) {
    // Without NOTIFY_SOCKET (by hand, in a test) there is nobody to tell, and sd-notify returns Ok.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// The pause between two signs of life, for the watchdog that the unit has, if it has one.
fn pause(watchdog: Option<Duration>) -> Duration {
    watchdog.map_or(PERIOD, |watchdog| PERIOD.min(watchdog / SIGNS)).max(Duration::from_millis(1))
}

/// One line: what follows a line's end would be another assignment to systemd, `READY=1` for example.
fn line(text: &str) -> String {
    text.split(char::is_control).collect::<Vec<_>>().join(" ")
}

/// Speaks until it is dropped.
#[derive(Debug)]
pub struct Voice {
    task: tokio::task::JoinHandle<()>,
}

impl Voice {
    pub fn start(status: Status) -> Self {
        let lines = status.listen();
        Self { task: tokio::spawn(speak(status, lines)) }
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn speak(status: Status, mut lines: UnboundedReceiver<String>) {
    let mut moved = 0;
    let mut ticks = tokio::time::interval(pause(sd_notify::watchdog_enabled()));
    loop {
        // Both arms are cancel-safe: neither a tick nor a line is lost.
        tokio::select! {
            Some(said) = lines.recv() => notify(&[NotifyState::Status(&line(&said))]),
            _ = ticks.tick() => {
                let now = status.read().1;
                if now != moved {
                    // Only real progress buys time: a boot that hangs is ended by systemd.
                    let patience = u32::try_from(PATIENCE.as_micros()).unwrap_or(u32::MAX);
                    notify(&[NotifyState::ExtendTimeoutUsec(patience)]);
                }
                moved = now;
                notify(&[NotifyState::Watchdog]);
            }
        }
    }
}

/// The service is up: clients can be served.
pub fn ready(what: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(&line(what))]);
}

/// The service goes down in order.
pub fn stopping(why: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(&line(why))]);
}

/// One sentence, after which the process ends.
pub fn status(what: &str) {
    notify(&[NotifyState::Status(&line(what))]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_hears_of_us_in_time_however_short_it_is() {
        let rows = [
            (None, PERIOD),
            (Some(Duration::from_secs(30)), PERIOD),
            (Some(Duration::from_mins(10)), PERIOD),
            (Some(Duration::from_secs(6)), Duration::from_secs(1)),
            // A timer of no length at all would not be one.
            (Some(Duration::ZERO), Duration::from_millis(1)),
        ];
        for (watchdog, expected) in rows {
            assert_eq!(pause(watchdog), expected, "{watchdog:?}");
        }
    }

    #[test]
    fn what_somebody_else_said_cannot_speak_for_us() {
        assert_eq!(line("S3 said: no\nREADY=1\n"), "S3 said: no READY=1 ");
    }
}
