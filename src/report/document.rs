//! `report.json`: how the last boot of this instance ended, for `status`, for the bucket and for tests.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::explain::Failure;
use crate::state::replace;

/// How the boot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Serving,
    /// An instance of a warm pool: ready to be put to work, and nothing more.
    Prepared,
    /// Final: a fact that a retry will not change.
    Refused,
    /// Final, and held for a person to look.
    Held,
    /// It may work next time.
    Failed,
}

/// What was restored, as it was counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredReport {
    /// `None`: an empty database, by permission.
    pub backup_id: Option<String>,
    /// Whose it is, where it is another environment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    pub mode: String,
    pub bytes: u64,
    /// Collection → tenant, or "" without tenants → objects. Tenants that are not active are not counted.
    pub collections: BTreeMap<String, BTreeMap<String, u64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub schema: u32,
    pub agent: String,
    pub deployment: String,
    pub node: String,
    pub instance_id: Option<String>,
    pub written: Timestamp,
    pub outcome: Outcome,
    /// One sentence, where it did not end in serving.
    pub reason: Option<String>,
    pub remedy: Option<String>,
    pub details: Vec<String>,
    /// What the operator accepted and should be reminded of: anonymous access, wide security groups.
    pub warnings: Vec<String>,
    pub steps: Vec<Entry>,
    pub restored: Option<RestoredReport>,
}

impl Report {
    pub const FILE: &'static str = "report.json";

    /// Of a boot that did not begin: nobody knows for whom it would have been.
    pub fn of_failure(failure: &Failure, outcome: Outcome) -> Self {
        Self {
            schema: 1,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            deployment: String::new(),
            node: String::new(),
            instance_id: None,
            written: Timestamp::now(),
            outcome,
            reason: Some(failure.reason.clone()),
            remedy: Some(failure.remedy.clone()),
            details: failure.details.clone(),
            warnings: Vec::new(),
            steps: Vec::new(),
            restored: None,
        }
    }

    pub fn write(&self, state: &Path) -> std::io::Result<()> {
        // A configuration that is refused is told of before anything else was written here.
        std::fs::create_dir_all(state)?;
        replace(&state.join(Self::FILE), &serde_json::to_vec_pretty(self)?, 0o644)
    }

    /// The last report; `None` where no boot has ended yet.
    pub fn read(state: &Path) -> std::io::Result<Option<Self>> {
        match std::fs::read(state.join(Self::FILE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
