//! Why there is no new backup. The last good one stays what the manifest names.

use std::time::Duration;

use thiserror::Error;

use crate::catalog::CatalogError;
use crate::explain::{Class, Explain};
use crate::manifest::ManifestError;
use crate::process::ProcessError;
use crate::restore::RestoreError;
use crate::secrets::SecretsError;
use crate::store::StoreError;
use crate::weaviate::{State, WeaviateError};

#[derive(Debug, Error)]
pub enum BackupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Server(#[from] WeaviateError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),

    /// The store's own sentence; what helps is another role than the boot's.
    #[error(transparent)]
    NotWritable(StoreError),
    #[error("the backup was cancelled")]
    Cancelled,
    #[error("`backup.before` does not agree to a backup")]
    Hook { source: ProcessError },
    #[error("there is nothing to back up: the server holds no collection")]
    Nothing,
    #[error("the server does not follow its mode of operation: a write is answered {status}")]
    Deaf { status: u16 },
    #[error("the server's backups leave out {what}, and `backup.inactive_tenants` is \"{setting}\"")]
    LeavesOut { what: String, setting: &'static str },
    #[error("not all of {what} became active: none in the last {} s", waited.as_secs())]
    Asleep { what: String, waited: Duration },
    /// It would leave the option away without a word.
    #[error("the server is Weaviate {server}, which does not know `{option}`: it needs {since}")]
    TooOld { option: &'static str, since: String, server: String },
    #[error("the server makes another backup at the moment: {message}")]
    Busy { message: String },
    /// It is at something that ends by itself.
    #[error("the server takes no backup for the time being: {message}")]
    Blocked { message: String },
    #[error("the server did not take the order of {backup}: {message}")]
    NotAccepted {
        backup: String,
        message: String,
        /// Trouble of its own: another time it may take it.
        again: bool,
    },
    #[error("the server's backup {backup} ended as {state}: {message}")]
    Ended { backup: String, state: State, message: String },
    #[error("the server forgot the backup {backup}")]
    Forgotten { backup: String },
    #[error("the backup {backup} shows no progress since {} s and was given up", quiet.as_secs())]
    Stalled { backup: String, quiet: Duration },
    #[error("{mount} has {free} MiB free, and a backup leaves {kept} MiB for serving")]
    NoRoom {
        mount: String,
        /// In MiB, both.
        free: u64,
        kept: u64,
    },
    /// What the server says of its own backup does not fit what it wrote.
    #[error("the server's backup {backup} is not whole: {what}")]
    Incomplete { backup: String, what: String },
    #[error("s3://{bucket}/{key} is not what was sent there: {what}")]
    Differs { bucket: String, key: String, what: String },
    #[error("the local file {path} cannot be used")]
    Local { path: String, source: std::io::Error },
}

impl Explain for BackupError {
    fn class(&self) -> Class {
        match self {
            Self::Store(error) => error.class(),
            Self::Manifest(error) => error.class(),
            Self::Server(error) => error.class(),
            Self::Restore(error) => error.class(),
            Self::Secrets(error) => error.class(),
            Self::Catalog(error) => error.class(),
            Self::NotAccepted { again, .. } => {
                if *again {
                    Class::Retry
                } else {
                    Class::Final
                }
            }
            Self::Cancelled
            | Self::Hook { .. }
            | Self::Busy { .. }
            | Self::Blocked { .. }
            | Self::Ended { .. }
            | Self::Forgotten { .. }
            | Self::Stalled { .. }
            | Self::NoRoom { .. }
            | Self::Incomplete { .. }
            | Self::Differs { .. }
            | Self::Deaf { .. }
            | Self::Asleep { .. }
            | Self::Local { .. } => Class::Retry,
            Self::Nothing | Self::NotWritable(_) | Self::LeavesOut { .. } | Self::TooOld { .. } => {
                Class::Final
            }
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Store(error) => error.remedy(),
            Self::Manifest(error) => error.remedy(),
            Self::Server(error) => error.remedy(),
            Self::Restore(error) => error.remedy(),
            Self::Secrets(error) => error.remedy(),
            Self::Catalog(error) => error.remedy(),
            Self::NotWritable(_) => {
                "Name a role in `backup.role_arn` that may write backups (packaging/iam-backup.json), tagged as the \
                 instance's role may assume it; with `backup.kms_key` it needs that key too. A bucket whose policy \
                 demands SSE-KMS takes nothing without `backup.kms_key`."
                    .to_owned()
            }
            Self::Cancelled => "Ask for another one when it suits; what it left is removed.".to_owned(),
            Self::Hook { .. } => {
                "See what it says in the details, mend it, and ask for another backup.".to_owned()
            }
            Self::Nothing => {
                "Make a collection first; until then the manifest says that the node is empty.".to_owned()
            }
            Self::Deaf { .. } => {
                "See the server's log: it reads /etc/weaviate-overrides/overrides.yaml every second. Without \
                 `backup.quiesce` nobody is kept out."
                    .to_owned()
            }
            Self::LeavesOut { .. } => {
                "Weaviate 1.37 and later take inactive tenants along; offloaded ones are in no backup. Or set \
                 `backup.inactive_tenants` to \"activate\", which makes them active for as long as a backup takes, or to \
                 \"accept\", which lists them as unprotected."
                    .to_owned()
            }
            Self::TooOld { .. } => "Use a newer `weaviate.image`, or take the option away.".to_owned(),
            Self::Asleep { .. } => {
                "See the server's log (`docker logs weaviate`) and its memory; `backup.stall` allows more.".to_owned()
            }
            Self::Blocked { .. } => "It was tried again for as long as `backup.stall` and `backup.quiesce` allow. Wait until `GET \
                                     /v1/schema/{collection}/indexes` says \"ready\" of every index, and order another."
                .to_owned(),
            Self::Busy { .. } => "Wait for its end: `GET /v1/backups/filesystem` lists it, or `GET /v1/backups/s3` where `backup.mode` is \"direct\".".to_owned(),
            Self::NotAccepted { .. } => {
                "See the server's own words; `backup.compression` and its like are checked by it too."
                    .to_owned()
            }
            Self::Ended { .. } => {
                "See the server's log (`docker logs weaviate`), then make another one.".to_owned()
            }
            Self::Forgotten { .. } => {
                "The server was restarted meanwhile: see why, then make another one.".to_owned()
            }
            Self::Stalled { .. } => {
                "See the server's log and the disk; `backup.stall` allows more.".to_owned()
            }
            Self::NoRoom { .. } => {
                "What it had written is removed. `backup.mode = \"direct\"` needs no room on the volume; else use an \
                 instance type with more storage, or raise `backup.rate` where it is set."
                    .to_owned()
            }
            Self::Incomplete { .. } | Self::Differs { .. } => {
                "Make another one, and a full one (`weaviate-provisioner backup --full`) where a base is named. If it \
                 stays, see who else writes to the volume or to the bucket."
                    .to_owned()
            }
            Self::Local { .. } => "Check the data volume: `df`, `dmesg`.".to_owned(),
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::Restore(error) => error.details(),
            Self::Catalog(error) => error.details(),
            Self::Hook { source } => vec![source.to_string()],
            _ => Vec::new(),
        }
    }
}
