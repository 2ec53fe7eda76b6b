//! Everything that the world saw, in the order in which it saw it. The judge reads nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::judge::Rule;
use crate::kill::{Gate, When};

/// Who knocks at the node's door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// In the ENI's own subnet, its group allowed.
    Near,
    /// In another subnet, its group allowed.
    Far,
    /// Its group is not allowed.
    Stranger,
}

/// One thing that the world saw.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A call to one of the doubles (`ec2`, `autoscaling`, `sts`, `secretsmanager`, `ssm`, `s3`, `imds`, `registry`).
    Call {
        service: String,
        operation: String,
        /// The instance whose credentials or metadata service were used, where known.
        caller: Option<String>,
        /// Flat parameters; never a secret's value.
        parameters: BTreeMap<String, String>,
        status: u16,
        /// The service's error code where it refused.
        code: Option<String>,
    },
    /// The cloud's own state moved: an ENI, an instance, a lifecycle action.
    State { of: String, from: String, to: String },
    /// A client's connection to the node was accepted.
    Reached { client: Client, port: u16 },
    /// What the server reported of one request that it answered, or what was seen of it on the network.
    Server {
        /// The instance on which it runs.
        of: String,
        method: String,
        path: String,
        status: u16,
        details: serde_json::Value,
    },
    /// The server (the stand-in) of an instance started to listen: whatever it serves was not counted yet.
    ServerStart { of: String },
    /// Somebody other than the machine's instance wrote an object: what it says, if it is a manifest.
    Published { key: String, parameters: BTreeMap<String, String> },
    /// The image of a disk changed for the first time.
    DiskTouched { serial: String, journalled: bool },
    /// One line of what the agent told the service manager: `READY=1`, `STATUS=…`.
    Notified { line: String },
    /// Something that the agent must never do, seen by the double itself.
    Forbidden { rule: Rule, details: String },
    /// A mark of the case: a power cut, a reboot, the start of the agent.
    Mark { what: String },
}

/// An event with its time.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    pub at: Timestamp,
    #[serde(flatten)]
    pub event: Event,
}

/// The append-only list. Shared by `Arc` between all doubles.
#[derive(Debug, Default)]
pub struct Ledger {
    seen: Mutex<Vec<Seen>>,
    gate: OnceLock<Arc<Gate>>,
}

impl Ledger {
    /// From here on the gate may kill the agent after a call acted: doubles record before they answer.
    pub fn guard(&self, gate: &Arc<Gate>) {
        let _ = self.gate.set(Arc::clone(gate));
    }

    /// # Panics
    /// When another thread panicked while it wrote.
    pub fn record(&self, event: Event) {
        self.record_at(Timestamp::now(), event);
    }

    /// For what was seen elsewhere and arrives late, such as a container's log line.
    ///
    /// # Panics
    /// When another thread panicked while it wrote.
    pub fn record_at(&self, at: Timestamp, event: Event) {
        tracing::debug!(?event, "seen");
        if let (Some(gate), Event::Call { service, operation, .. }) = (self.gate.get(), &event)
            && service != "registry"
        {
            gate.pass(&format!("{service}:{operation}"), When::After);
        }
        self.seen.lock().expect("the ledger is written without panics").push(Seen { at, event });
    }

    /// All events so far, ordered by their time.
    ///
    /// # Panics
    /// When another thread panicked while it wrote.
    pub fn events(&self) -> Vec<Seen> {
        let mut events = self.seen.lock().expect("the ledger is written without panics").clone();
        events.sort_by_key(|seen| seen.at);
        events
    }

    /// What happened from this moment on, whenever it was noticed.
    ///
    /// # Panics
    /// When another thread panicked while it wrote.
    pub fn since(&self, moment: Timestamp) -> Vec<Seen> {
        let mut events = self.events();
        events.retain(|seen| seen.at >= moment);
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_late_belongs_to_its_own_time() {
        let ledger = Ledger::default();
        let at = |second: i64| Timestamp::from_second(second).expect("a time");
        for (second, what) in
            [(1, "before"), (5, "during"), (2, "before, told late"), (4, "at the beginning")]
        {
            ledger.record_at(at(second), Event::Mark { what: what.to_owned() });
        }
        let seen: Vec<Event> = ledger.since(at(4)).into_iter().map(|seen| seen.event).collect();
        assert_eq!(seen, ["at the beginning", "during"].map(|what| Event::Mark { what: what.to_owned() }));
    }
}
