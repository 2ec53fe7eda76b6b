//! What the server sends, as far as this program reads it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// `GET /v1/meta`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Meta {
    pub version: String,
    #[serde(default)]
    pub modules: BTreeMap<String, serde_json::Value>,
}

/// A collection in `GET /v1/schema`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    pub name: String,
    pub multi_tenant: bool,
}

/// A tenant in `GET` and `PUT /v1/schema/{class}/tenants`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    pub name: String,
    /// `HOT`, `COLD`, `FROZEN`, …; absent in old answers for active ones.
    #[serde(rename = "activityStatus", default = "hot")]
    pub status: String,
}

fn hot() -> String {
    "HOT".to_owned()
}

/// Whether a tenant of this status is served. A backup takes what lies on the disk of one that is not, or leaves it out.
pub fn is_active(status: &str) -> bool {
    matches!(status, "HOT" | "ACTIVE")
}

/// Whether what it holds lies in another store than the node's disk, or is on its way: it is neither active nor inactive.
pub fn is_offloaded(status: &str) -> bool {
    !is_active(status) && !matches!(status, "COLD" | "INACTIVE")
}

/// An alias in `GET /v1/aliases`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Alias {
    pub alias: String,
    pub class: String,
}

/// What a count came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    Objects(u64),
    /// The tenant is not active: the server's words.
    Uncounted(String),
}

/// Which backup module moves the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Filesystem,
    S3,
}

impl Backend {
    pub const fn module(self) -> &'static str {
        match self {
            Self::Filesystem => "backup-filesystem",
            Self::S3 => "backup-s3",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Filesystem => "filesystem",
            Self::S3 => "s3",
        })
    }
}

/// The states of a backup or a restore (entities/backup/status.go of 1.39.0). CANCELED has one L and is an
/// end, CANCELLING has two and is not.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum State {
    Started,
    Transferring,
    Transferred,
    Finalizing,
    Success,
    Cancelling,
    Canceled,
    Failed,
    /// A state of a newer server: not an end.
    Unknown(String),
}

impl From<String> for State {
    fn from(text: String) -> Self {
        match text.as_str() {
            "STARTED" => Self::Started,
            "TRANSFERRING" => Self::Transferring,
            "TRANSFERRED" => Self::Transferred,
            "FINALIZING" => Self::Finalizing,
            "SUCCESS" => Self::Success,
            "CANCELLING" => Self::Cancelling,
            "CANCELED" => Self::Canceled,
            "FAILED" => Self::Failed,
            _ => Self::Unknown(text),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Started => "STARTED",
            Self::Transferring => "TRANSFERRING",
            Self::Transferred => "TRANSFERRED",
            Self::Finalizing => "FINALIZING",
            Self::Success => "SUCCESS",
            Self::Cancelling => "CANCELLING",
            Self::Canceled => "CANCELED",
            Self::Failed => "FAILED",
            Self::Unknown(text) => text,
        })
    }
}

/// The answer to `POST` and `GET /v1/backups/{backend}/{id}/restore`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RestoreStatus {
    pub id: String,
    #[serde(rename = "status")]
    pub state: State,
    #[serde(default)]
    pub error: String,
    /// Only in the answer to `POST`.
    #[serde(default)]
    pub classes: Vec<String>,
}

/// The body of `POST /v1/backups/{backend}` (openapi-specs/schema.json of 1.39.0, BackupCreateRequest).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BackupOrder {
    pub id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// At the top level, whatever the documentation's table says (openapi-specs/schema.json).
    #[serde(rename = "incremental_base_backup_id", skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    #[serde(rename = "includeUsers", skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    #[serde(rename = "includeRoles", skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    pub config: BackupConfig,
}

/// How the server makes a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BackupConfig {
    /// 1 to 80; the server's own default is 50.
    #[serde(rename = "CPUPercentage")]
    pub cpu_percentage: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression_level: Option<String>,
}

/// The `config` of `POST /v1/backups/{backend}/{id}/restore` (openapi-specs/schema.json of 1.39.0, RestoreConfig).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreConfig {
    /// 1 to 80.
    #[serde(rename = "CPUPercentage")]
    pub cpu_percentage: u32,
    /// Only where the backup lies elsewhere than the server's own setting says.
    #[serde(rename = "Path", skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `all`; absent is `noRestore`, and all that a server before 1.32 knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users_options: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles_options: Option<&'static str>,
}

/// The body of `POST /v1/backups/{backend}/{id}/restore` (openapi-specs/schema.json of 1.39.0, BackupRestoreRequest).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RestoreOrder {
    pub config: RestoreConfig,
    /// Everything where it is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// The old name and the new one, only where another node made it (recording 09).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_mapping: BTreeMap<String, String>,
    /// An alias that is there already names the restored collection from then on.
    #[serde(rename = "overwriteAlias", skip_serializing_if = "std::ops::Not::not")]
    pub overwrite_alias: bool,
}

/// The answer to `POST` and `GET /v1/backups/{backend}/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BackupStatus {
    pub id: String,
    #[serde(rename = "status")]
    pub state: State,
    #[serde(default)]
    pub error: String,
    /// Only in the answer to `POST`.
    #[serde(default)]
    pub classes: Vec<String>,
}
