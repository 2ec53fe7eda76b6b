//! Telling systemd: STATUS with every change, EXTEND_TIMEOUT_USEC while there is progress, READY, the watchdog; and
//! asking it whether a SIGTERM is meant for this unit or for the whole machine.

use std::path::Path;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::process::{self, ProcessError};
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

/// For what a SIGTERM was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Of this program only: an upgrade, an operator. The node serves on.
    Unit,
    /// Of the machine: a reboot, a stop.
    Machine,
}

/// What `systemctl is-system-running` prints, or that no systemd runs here.
///
/// It says `stopping` as soon as `shutdown.target` has a job (systemd, `manager_state`), which is before any unit is
/// stopped. Whatever else it says, or fails to say, must not stop a node that serves.
fn read_ending(booted: bool, printed: Option<&str>) -> Ending {
    match (booted, printed.map(str::trim)) {
        // Nobody restarts single units there: SIGTERM comes from an init that ends everything.
        (false, _) | (true, Some("stopping")) => Ending::Machine,
        (true, _) => Ending::Unit,
    }
}

/// Asks for what the SIGTERM was sent that has just arrived.
pub async fn ending() -> Ending {
    // What sd_booted(3) looks at.
    let booted = Path::new("/run/systemd/system").is_dir();
    let printed = if booted { state().await } else { Ok(String::new()) };
    match printed {
        Ok(printed) => read_ending(booted, Some(&printed)),
        Err(error) => {
            tracing::warn!(%error, "systemd does not say why this unit ends; the server runs on");
            read_ending(booted, None)
        }
    }
}

async fn state() -> Result<String, ProcessError> {
    // Its exit status follows the state: only what it prints is asked for.
    let asked = process::run_any("systemctl", &["is-system-running"], None, PERIOD).await;
    asked.map(|(_, output)| output.stdout)
}

#[cfg(test)]
mod tests {
    use super::{Ending, read_ending};

    #[test]
    fn only_the_end_of_the_machine_stops_the_server() {
        let rows = [
            (true, Some("stopping\n"), Ending::Machine),
            (true, Some("running\n"), Ending::Unit),
            (true, Some("degraded\n"), Ending::Unit),
            (true, Some("maintenance\n"), Ending::Unit),
            (true, Some(""), Ending::Unit),
            (true, None, Ending::Unit),
            (false, None, Ending::Machine),
        ];
        for (booted, printed, expected) in rows {
            assert_eq!(read_ending(booted, printed), expected, "{booted} {printed:?}");
        }
    }
}
