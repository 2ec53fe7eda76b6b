//! What the server says of the requests that it answered: the lines that the stand-in writes to its standard
//! output, read from the engine's own files while they grow. A removed container's file stays open here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::planted::Planted;
use crate::ledger::{Event, Ledger};
use crate::machine::Machine;

/// Follows the logs of all containers of a machine's engine, by their ids, over all its boots.
#[derive(Debug)]
pub struct ServerLog {
    machine: Arc<Machine>,
    open: BTreeMap<PathBuf, (File, Vec<u8>)>,
    ledger: Arc<Ledger>,
    planted: Arc<Planted>,
}

impl ServerLog {
    pub const fn new(machine: Arc<Machine>, ledger: Arc<Ledger>, planted: Arc<Planted>) -> Self {
        Self { machine, open: BTreeMap::new(), ledger, planted }
    }

    /// Reads what is new. Containers that are gone keep their open files.
    pub fn poll(&mut self) {
        // Another one after each boot: the path leads through the machine's first process.
        let containers = self.machine.path("/var/lib/docker/containers");
        for entry in std::fs::read_dir(containers).into_iter().flatten().flatten() {
            let id = entry.file_name();
            let file = entry.path().join(format!("{}-json.log", id.to_string_lossy()));
            let name = PathBuf::from(file.file_name().unwrap_or_default());
            if !self.open.contains_key(&name)
                && let Ok(log) = File::open(&file)
            {
                self.open.insert(name, (log, Vec::new()));
            }
        }
        for (file, rest) in self.open.values_mut() {
            // An unreadable log shows in the case as counts that were never seen.
            let _ = file.read_to_end(rest);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                self.planted.search("the container's log", &line);
                if let Some((at, event)) = understand(&line) {
                    self.ledger.record_at(at, event);
                }
            }
        }
    }
}

/// One line of the engine's file: `{"log":"{\"stand_in\":\"request\",…}\n","stream":"stdout","time":"…"}`.
fn understand(line: &[u8]) -> Option<(Timestamp, Event)> {
    let outer: Value = serde_json::from_slice(line).ok()?;
    let inner: Value = serde_json::from_str(outer["log"].as_str()?).ok()?;
    if inner["stand_in"] != "request" {
        return None;
    }
    let at = inner["at"].as_str()?.parse().ok()?;
    let event = Event::Server {
        method: inner["method"].as_str()?.to_owned(),
        path: inner["path"].as_str()?.to_owned(),
        status: u16::try_from(inner["status"].as_u64()?).ok()?,
        details: inner["details"].clone(),
    };
    Some((at, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_understood_and_other_lines_are_not() {
        let request = r#"{"stand_in":"request","at":"2026-11-21T07:00:00.5Z","method":"POST","path":"/v1/graphql","status":200,"details":{"count":7}}"#;
        let rows = [(request, true), (r#"{"level":"info","msg":"restored"}"#, false), ("not JSON", false)];
        for (text, expected) in rows {
            let line = serde_json::json!({ "log": format!("{text}\n"), "stream": "stdout", "time": "x" })
                .to_string();
            assert_eq!(understand(line.as_bytes()).is_some(), expected, "{text}");
        }
    }
}
