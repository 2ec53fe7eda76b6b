//! `identity.json`: what the volume says about itself, at its own root.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The version of this file's form.
pub const SCHEMA: u32 = 1;
/// At the root of the volume, which only root can write.
pub const FILE: &str = "identity.json";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub schema: u32,
    pub deployment: String,
    pub node: String,
    pub instance_id: String,
    /// The file system's own.
    pub uuid: String,
    pub serials: Vec<String>,
    /// Made once per file system; the proof file inside `data/` holds it too.
    pub nonce: String,
    /// What was restored here, when a restore is finished; an empty first boot as well, without a backup's id.
    #[serde(default)]
    pub restored: Option<Restored>,
    /// Counts at the last clean stop: `None` when the server was not stopped cleanly, or never.
    #[serde(default)]
    pub clean_stop: Option<BTreeMap<String, BTreeMap<String, TenantRecord>>>,
    /// The server's process for which the door was opened last: while it runs on, nothing has interrupted it.
    #[serde(default)]
    pub served: Option<ServerProcess>,
    /// That process was ended in order by this program, which made another container; nothing was counted.
    #[serde(default)]
    pub ended_in_order: bool,
}

/// One life of the server, as Docker tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerProcess {
    pub container: String,
    /// `State.StartedAt`: the same container may be started again.
    pub started: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    pub backup_id: Option<String>,
    /// Whose it is, where it is another environment's.
    #[serde(default)]
    pub from: Option<String>,
    /// Generation and owner's nonce of the manifest that was taken over.
    pub generation: u64,
    pub nonce: String,
    pub mode: String,
    pub bytes: u64,
    /// Collection → tenant (or "") → what was counted.
    pub collections: BTreeMap<String, BTreeMap<String, TenantRecord>>,
    pub verified: bool,
    /// The manifest was really written. Without it the record is an intent: a run that was killed before its
    /// write has taken nothing, and a missing manifest means nothing then.
    #[serde(default)]
    pub taken: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRecord {
    pub objects: Option<u64>,
    pub status: Option<String>,
}

/// What was found where the record belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Absent,
    Unreadable(String),
    Corrupt(String),
    Here(Box<Record>),
}

impl Record {
    pub fn read(mount: &Path) -> Found {
        use std::io::Read as _;
        // It holds counts of collections and tenants: a million tenants are some 60 MB.
        const MOST: u64 = 256 << 20;
        let mut bytes = Vec::new();
        match std::fs::File::open(mount.join(FILE)).and_then(|file| file.take(MOST).read_to_end(&mut bytes)) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Found::Absent,
            Err(error) => return Found::Unreadable(error.to_string()),
        }
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(record) if record.schema == SCHEMA => Found::Here(Box::new(record)),
            Ok(record) => Found::Corrupt(format!("its schema is {}, not {SCHEMA}", record.schema)),
            Err(error) => Found::Corrupt(error.to_string()),
        }
    }
}
