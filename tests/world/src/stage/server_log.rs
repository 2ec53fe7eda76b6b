//! What the server says of the requests that it answered: the lines that the stand-in writes to its standard
//! output, read from the engine's own files while they grow. A removed container's file stays open here.
//!
//! The same files say how each container was made, which is what `docker inspect` shows: it is searched when the
//! container appears, because it may be gone at the end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::Value;

use super::planted::Planted;
use crate::ledger::{Event, Ledger};
use crate::machine::Machine;

/// Where the engine keeps its containers.
const CONTAINERS: &str = "/var/lib/docker/containers";
/// The name of a drill's container: nobody is served by it.
const ASIDE: &str = "/weaviate-drill";
/// Everything that `docker inspect` shows of a container comes from these.
const ABOUT: [&str; 2] = ["config.v2.json", "hostconfig.json"];

/// Follows all containers of one machine, through all its lives.
#[derive(Debug)]
pub struct ServerLog {
    machine: Arc<Machine>,
    containers: Mutex<BTreeMap<String, Container>>,
    ledger: Arc<Ledger>,
    planted: Arc<Planted>,
    /// An image of which nothing is known: the engine tells of its starts.
    foreign: bool,
}

/// By its id; what is read of it is the same file after a reboot.
#[derive(Debug, Default)]
struct Container {
    log: Option<File>,
    rest: Vec<u8>,
    searched: [Option<SystemTime>; 2],
    started: Option<Timestamp>,
    /// Whether it may serve; `None` until its name is known.
    serves: Option<bool>,
}

impl ServerLog {
    pub fn new(machine: &Arc<Machine>, ledger: &Arc<Ledger>, planted: &Arc<Planted>, foreign: bool) -> Self {
        Self {
            machine: Arc::clone(machine),
            containers: Mutex::default(),
            ledger: Arc::clone(ledger),
            planted: Arc::clone(planted),
            foreign,
        }
    }

    fn of(&self) -> String {
        self.machine.spec().instance_id.clone()
    }

    /// Reads what is new. The path leads through the machine's first process, which is another after each start.
    pub fn poll(&self) {
        let mut containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in std::fs::read_dir(self.machine.path(CONTAINERS)).into_iter().flatten().flatten() {
            let id = entry.file_name().to_string_lossy().into_owned();
            let container = containers.entry(id.clone()).or_default();
            if container.log.is_none() {
                container.log = File::open(entry.path().join(format!("{id}-json.log"))).ok();
            }
            self.inspect(&entry.path(), container);
        }
        for container in containers.values_mut() {
            self.read(container);
        }
    }

    /// What the container is made of, again whenever it changed.
    fn inspect(&self, folder: &Path, container: &mut Container) {
        let Container { searched, started, serves, .. } = container;
        for (name, searched) in ABOUT.iter().zip(searched) {
            let file = folder.join(name);
            let modified = file.metadata().and_then(|about| about.modified()).ok();
            if modified.is_none() || modified == *searched {
                continue;
            }
            if let Ok(bytes) = std::fs::read(&file) {
                self.planted.search("docker inspect", &bytes);
                *searched = modified;
                if let Some(name) = name_of(&bytes) {
                    *serves = Some(name != ASIDE);
                }
                let foreign = self.foreign && *serves == Some(true);
                let now = start(&bytes).filter(|now| foreign && *started != Some(*now));
                if let Some(now) = now {
                    *started = Some(now);
                    self.ledger.record_at(now, Event::ServerStart { of: self.of() });
                }
            }
        }
    }

    fn read(&self, container: &mut Container) {
        let Container { log: Some(log), rest, serves: Some(serves), .. } = container else { return };
        // An unreadable log shows in the case as counts that were never seen.
        let _ = log.read_to_end(rest);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            self.planted.search("the container's log", &line);
            // A server that nobody is served by may start and count as it likes.
            if let Some((at, event)) = understand(&self.of(), &line).filter(|_| *serves) {
                self.ledger.record_at(at, event);
            }
        }
    }

    /// Searches all logs from their beginning: a line may hold what was not yet known for a secret.
    pub fn search_again(&self) {
        let containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        for log in containers.values().filter_map(|container| container.log.as_ref()) {
            // Where the next poll goes on stays as it is.
            let mut bytes = vec![0; log.metadata().map_or(0, |about| about.len()).try_into().unwrap_or(0)];
            if log.read_exact_at(&mut bytes, 0).is_ok() {
                self.planted.search("the container's log", &bytes);
            }
        }
    }
}

/// When the engine started the container; before it did so, the year is 1.
fn start(about: &[u8]) -> Option<Timestamp> {
    let about: Value = serde_json::from_slice(about).ok()?;
    let at: Timestamp = about["State"]["StartedAt"].as_str()?.parse().ok()?;
    (at > Timestamp::UNIX_EPOCH).then_some(at)
}

/// One line of the engine's file: `{"log":"{\"stand_in\":\"request\",…}\n","stream":"stdout","time":"…"}`.
fn understand(of: &str, line: &[u8]) -> Option<(Timestamp, Event)> {
    let outer: Value = serde_json::from_slice(line).ok()?;
    let inner: Value = serde_json::from_str(outer["log"].as_str()?).ok()?;
    let event = match inner["stand_in"].as_str()? {
        "listening" => Event::ServerStart { of: of.to_owned() },
        "request" => Event::Server {
            of: of.to_owned(),
            method: inner["method"].as_str()?.to_owned(),
            path: inner["path"].as_str()?.to_owned(),
            status: u16::try_from(inner["status"].as_u64()?).ok()?,
            details: inner["details"].clone(),
        },
        _ => return None,
    };
    Some((inner["at"].as_str()?.parse().ok()?, event))
}

/// The name in `config.v2.json`.
fn name_of(about: &[u8]) -> Option<String> {
    serde_json::from_slice::<Value>(about).ok()?["Name"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_known_when_there_was_one() {
        let about = |at: &str| serde_json::json!({ "State": { "StartedAt": at } }).to_string();
        assert_eq!(start(about("0001-01-01T00:00:00Z").as_bytes()), None);
        assert!(start(about("2026-11-21T07:00:00.123456789Z").as_bytes()).is_some());
    }

    #[test]
    fn a_request_and_a_start_are_understood_and_other_lines_are_not() {
        let request = r#"{"stand_in":"request","at":"2026-11-21T07:00:00.5Z","method":"POST","path":"/v1/graphql","status":200,"details":{"count":7}}"#;
        let start = r#"{"stand_in":"listening","at":"2026-11-21T07:00:00.5Z","rest":"0.0.0.0:8080"}"#;
        let rows = [
            (request, Some("server")),
            (start, Some("server-start")),
            (r#"{"level":"info","msg":"restored"}"#, None),
            ("not JSON", None),
        ];
        for (text, expected) in rows {
            let line = serde_json::json!({ "log": format!("{text}\n"), "stream": "stdout", "time": "x" })
                .to_string();
            let event = understand("i-new", line.as_bytes()).map(|(_, event)| serde_json::json!(event));
            assert_eq!(event.as_ref().and_then(|event| event["event"].as_str()), expected, "{text}");
        }
    }
}
