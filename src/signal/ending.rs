//! Asking systemd whether a SIGTERM is meant for this unit or for the whole machine.

use std::path::Path;
use std::time::Duration;

use crate::process::{self, ProcessError};

/// systemd answers from its memory; one that does not is busy stopping units.
const PATIENCE: Duration = Duration::from_secs(5);

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
            tracing::warn!(%error, "systemd does not say why this unit ends, and the server runs on: {error}");
            read_ending(booted, None)
        }
    }
}

async fn state() -> Result<String, ProcessError> {
    // Its exit status follows the state: only what it prints is asked for.
    let asked = process::run_any("systemctl", &["is-system-running"], None, PATIENCE).await;
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
