//! Telling systemd: STATUS with every change, EXTEND_TIMEOUT_USEC while there is progress, READY, the watchdog.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::report::Status;

/// How often systemd hears of us. `WatchdogSec` in the unit is six times this.
const PERIOD: Duration = Duration::from_secs(5);
/// How long a start may go on after the last sign of life.
const PATIENCE: Duration = Duration::from_mins(3);

fn notify(states: &[NotifyState<'_>]) {
    // Without NOTIFY_SOCKET (by hand, in a test) there is nobody to tell, and sd-notify returns Ok.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// Speaks until it is dropped.
#[derive(Debug)]
pub struct Voice {
    task: tokio::task::JoinHandle<()>,
}

impl Voice {
    pub fn start(status: Status) -> Self {
        Self { task: tokio::spawn(speak(status)) }
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn speak(status: Status) {
    let mut known = (String::new(), 0);
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        ticks.tick().await;
        let now = status.read();
        if now.0 != known.0 {
            notify(&[NotifyState::Status(&now.0)]);
        }
        if now.1 != known.1 {
            // Only real progress buys time: a boot that hangs is ended by systemd.
            let patience = u32::try_from(PATIENCE.as_micros()).unwrap_or(u32::MAX);
            notify(&[NotifyState::ExtendTimeoutUsec(patience)]);
        }
        notify(&[NotifyState::Watchdog]);
        known = now;
    }
}

/// The service is up: clients can be served.
pub fn ready(what: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(what)]);
}

/// The service goes down in order.
pub fn stopping(why: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(why)]);
}

/// One sentence, after which the process ends.
pub fn status(what: &str) {
    notify(&[NotifyState::Status(what)]);
}
