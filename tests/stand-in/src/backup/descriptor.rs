//! The two JSON files that describe a backup (entities/backup/descriptor.go), and what restoring one writes.
//!
//! ```text
//! <id>/backup_config.json        Global: nodes, classes, status, compression, base
//! <id>/<node>/backup.json        PerNode: classes with schema, sharding state, shards, chunks
//! <id>/restore_config.json       Global again, written by a restore
//! ```

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Go's zero time.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Global {
    pub started_at: String,
    pub completed_at: String,
    pub id: String,
    pub nodes: BTreeMap<String, NodeEntry>,
    #[serde(rename = "node_mapping", default)]
    pub node_mapping: Option<BTreeMap<String, String>>,
    pub status: String,
    pub version: String,
    pub server_version: String,
    #[serde(default)]
    pub leader: String,
    #[serde(default)]
    pub error: String,
    #[serde(default)]
    pub pre_compression_size_bytes: u64,
    #[serde(default)]
    pub compression_type: String,
    #[serde(default)]
    pub base_backup_id: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeEntry {
    #[serde(default)]
    pub classes: Vec<String>,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub error: String,
    #[serde(default)]
    pub pre_compression_size_bytes: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PerNode {
    pub started_at: String,
    pub completed_at: String,
    pub id: String,
    pub classes: Vec<ClassDescriptor>,
    #[serde(default)]
    pub rbac_backups: String,
    #[serde(default)]
    pub user_backups: String,
    pub status: String,
    pub version: String,
    pub server_version: String,
    #[serde(default)]
    pub error: String,
    #[serde(default)]
    pub pre_compression_size_bytes: u64,
    #[serde(default)]
    pub compression_type: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base_backup_id: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassDescriptor {
    pub name: String,
    pub backup_id: String,
    #[serde(default)]
    pub shards: Vec<ShardDescriptor>,
    /// JSON in base64, as are schema and aliases.
    #[serde(default)]
    pub sharding_state: String,
    #[serde(default)]
    pub schema: String,
    #[serde(default)]
    pub aliases: String,
    #[serde(default)]
    pub aliases_included: bool,
    #[serde(default)]
    pub chunks: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub pre_compression_size_bytes: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardDescriptor {
    pub name: String,
    pub node: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub big_files_chunk: BTreeMap<String, BigFile>,
    #[serde(default)]
    pub incremental_backup_info: Incremental,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BigFile {
    pub chunk_keys: Vec<String>,
    pub size: u64,
    pub modified_at: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Incremental {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files_per_backup: BTreeMap<String, Vec<Unchanged>>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unchanged {
    pub file: String,
    pub chunk_keys: Vec<String>,
}

pub fn encode(value: &impl Serialize) -> String {
    STANDARD.encode(serde_json::to_vec(value).unwrap_or_default())
}

pub fn decode(text: &str) -> Option<serde_json::Value> {
    serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()
}

/// The time of a descriptor in the form of the API: milliseconds, always.
pub fn api_time(text: &str) -> String {
    let moment = text.parse().unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    if text == NEVER {
        "0001-01-01T00:00:00.000Z".into()
    } else {
        moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
    }
}

pub fn now() -> String {
    jiff::Timestamp::now().to_string()
}
