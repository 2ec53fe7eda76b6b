//! Whether a container reaches the instance metadata service, tried by the world itself from where the container
//! is and as who it is.
//!
//! ```text
//! processes of containers ─▶ their network, their user ─▶ connect to 169.254.169.254:80 ─▶ ledger (forbidden)
//! ```
//! What runs as root is not tried: nothing on a machine keeps root from the service, and `User` is the case's to
//! look at.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use crate::judge::Rule;
use crate::ledger::{Event, Ledger};
use crate::machine::Machine;

const EVERY: Duration = Duration::from_millis(500);
/// Within the machine an answer takes microseconds; a SYN that is dropped gets none.
const KNOCK: &str = "exec timeout 1 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80' 2>/dev/null";

/// How a mark begins that tells of a container's first try.
pub const TRIED: &str = "the metadata service was tried";

/// Runs until it is dropped.
pub(super) async fn watch(machine: Arc<Machine>, ledger: Arc<Ledger>) {
    let (mut tried, mut told) = (BTreeSet::new(), BTreeSet::new());
    loop {
        for (process, user) in strangers(&machine) {
            if told.contains(&process) {
                continue;
            }
            let reached = reaches(process, user).await;
            if tried.insert(process) {
                ledger.record(Event::Mark { what: format!("{TRIED} as process {process} of user {user}") });
            }
            if reached {
                told.insert(process);
                let details = format!("a container's process of user {user} reached 169.254.169.254");
                ledger.record(Event::Forbidden { rule: Rule::Metadata, details });
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// The processes of containers that do not run as root, one for each network and user.
fn strangers(machine: &Machine) -> Vec<(u32, u32)> {
    let space = |process: u32, name: &str| std::fs::read_link(format!("/proc/{process}/ns/{name}")).ok();
    let Ok(init) = machine.pid() else { return Vec::new() };
    let home = space(init, "pid");
    let mut seen: BTreeSet<(Option<PathBuf>, u32)> = BTreeSet::new();
    let mut found = Vec::new();
    for process in machine.processes().unwrap_or_default() {
        // A process may end while we look: then it has no namespace any more.
        let Some(pids) = space(process, "pid") else { continue };
        if Some(pids) == home {
            continue;
        }
        if let Some(user) = user_of(process).filter(|user| *user != 0)
            && seen.insert((space(process, "net"), user))
        {
            found.push((process, user));
        }
    }
    found
}

fn user_of(process: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

async fn reaches(process: u32, user: u32) -> bool {
    let (process, user) = (process.to_string(), user.to_string());
    let tried = tokio::process::Command::new("nsenter")
        .args(["--target", &process, "--net", "--setgid", &user, "--setuid", &user, "sh", "-c", KNOCK])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await;
    tried.is_ok_and(|status| status.success())
}
