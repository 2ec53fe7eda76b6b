//! What came of a drill, where it outlives it: `drill.json` on this machine, `drills/<time>_<id>.json` in the bucket.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::Proven;
use super::error::DrillError;
use crate::explain::Failure;
use crate::host::Host;
use crate::instance::Identity;
use crate::report::Work;
use crate::restore;
use crate::state::replace;
use crate::store::{Condition, Store};

/// In the state directory.
const FILE: &str = "drill.json";
/// Below the prefix.
const FOLDER: &str = "drills";

/// A drill and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drilled {
    pub backup_id: String,
    pub at: Timestamp,
    pub instance_id: String,
    /// Restored, and as it was when it was backed up.
    pub proven: bool,
    pub bytes: u64,
    pub objects: u64,
    pub queries: u64,
    pub seconds: u64,
    /// Why it is not proven.
    pub reason: Option<String>,
    pub details: Vec<String>,
    pub agent: String,
}

impl Drilled {
    pub(super) fn of(
        host: &Host,
        me: &Identity,
        backup: &str,
        attempted: Result<&Proven, &DrillError>,
    ) -> Self {
        let failure = attempted.err().map(|error| Failure::new("drill", error));
        let (bytes, objects, queries) =
            attempted.map_or((0, 0, 0), |Proven { bytes, objects, queries }| (*bytes, *objects, *queries));
        Self {
            backup_id: backup.to_owned(),
            at: host.now(),
            instance_id: me.instance_id().to_owned(),
            proven: failure.is_none(),
            bytes,
            objects,
            queries,
            seconds: 0,
            reason: failure.as_ref().map(|failure| failure.reason.clone()),
            details: failure.map(|failure| failure.details).unwrap_or_default(),
            agent: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Writes it down, here and there; what cannot be written is a warning, because the drill itself has been.
pub async fn keep(host: &Host, me: &Identity, store: &Store, drilled: &Drilled) {
    let bytes = match serde_json::to_vec_pretty(drilled) {
        Ok(bytes) => bytes,
        Err(error) => return host.status.warn(format!("the drill's result cannot be written: {error}")),
    };
    if let Err(error) = replace(&host.roots.state.join(FILE), &bytes, 0o600) {
        host.status.warn(format!("the drill's result is not kept on this machine: {error}"));
    }
    let time = drilled.at.to_zoned(TimeZone::UTC).strftime("%Y%m%d_%H%M%S").to_string();
    let key = store.settings().key(&format!("{FOLDER}/{time}_{}.json", drilled.backup_id));
    host.status.say(Work::Drill, "writes down what came of it");
    let writer = restore::connect_writer(host, me, store).await;
    if let Err(error) = writer.put(&key, bytes, &Condition::Always).await {
        host.status.warn(format!("the drill's result is not in the bucket: {error}"));
    }
}

/// The last drill of this machine; `None` where there was none, or where it cannot be read.
pub fn last(state: &Path) -> Option<Drilled> {
    serde_json::from_slice(&std::fs::read(state.join(FILE)).ok()?).ok()
}
