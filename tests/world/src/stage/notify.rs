//! The service manager's ear: a datagram socket in the machine, as systemd gives one to a service of `Type=notify`.
//!
//! ```text
//! agent ──NOTIFY_SOCKET──▶ /run/world-notify ─▶ lines ─▶ ledger (and the search for secrets)
//! ```

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use tokio::net::UnixDatagram;
use tokio::task::JoinHandle;

use super::Planted;
use crate::ledger::{Event, Ledger};
use crate::machine::Machine;

/// Where the socket is in the machine.
pub const SOCKET: &str = "/run/world-notify";
/// `WatchdogSec=` of the unit: so short that a case sees several signs of life without waiting for long.
pub const WATCHDOG: Duration = Duration::from_secs(6);

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Ear {
    task: JoinHandle<()>,
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ear {
    /// Once for each start of the machine: its /run begins empty.
    pub fn open(machine: &Machine, ledger: &Arc<Ledger>, planted: &Arc<Planted>) -> Result<Self> {
        let socket = UnixDatagram::bind(machine.path(SOCKET)).context("listening as the service manager")?;
        let (ledger, planted) = (Arc::clone(ledger), Arc::clone(planted));
        Ok(Self { task: tokio::spawn(hear(socket, ledger, planted)) })
    }
}

async fn hear(socket: UnixDatagram, ledger: Arc<Ledger>, planted: Arc<Planted>) {
    // Longer than anything that systemd itself takes (NOTIFY_BUFFER_MAX, 4096).
    let mut buffer = vec![0; 8192];
    loop {
        let length = match socket.recv(&mut buffer).await {
            Ok(length) => length,
            Err(error) => {
                let what = format!("the world failed: the service manager's socket: {error}");
                return ledger.record(Event::Mark { what });
            }
        };
        // The search may have to wait for others: what the agent did next must not be dated before this.
        let at = Timestamp::now();
        planted.search("what systemd is told", &buffer[..length]);
        for line in String::from_utf8_lossy(&buffer[..length]).lines() {
            ledger.record_at(at, Event::Notified { line: line.to_owned() });
        }
    }
}
