//! Why data cannot be restored, or not be believed. Each sentence names what stands in the way.

use thiserror::Error;

use crate::container::ContainerError;
use crate::disk::DiskError;
use crate::explain::{Class, Explain};
use crate::manifest::ManifestError;
use crate::network::NetworkError;
use crate::secrets::SecretsError;
use crate::store::StoreError;
use crate::weaviate::{State, WeaviateError};

#[derive(Debug, Error)]
pub enum RestoreError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Server(#[from] WeaviateError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    #[error(transparent)]
    Container(#[from] ContainerError),
    #[error(transparent)]
    Network(#[from] NetworkError),

    // Choosing.
    #[error("s3://{bucket}/{prefix} holds no backup, and `restore.allow_empty` is not set")]
    EmptyNotAllowed { bucket: String, prefix: String },
    #[error(
        "s3://{bucket}/{prefix} holds no backup, but {eni} is tagged weaviate:initialized: there was one"
    )]
    Initialized { bucket: String, prefix: String, eni: String },
    #[error("s3://{bucket}/{key} has no manifest, so no checksums, and `restore.unverified` is \"refuse\"")]
    Unverified { bucket: String, key: String },
    #[error("{from}, which `restore.from` names, holds no backup with a manifest")]
    NoSource { from: String },
    #[error(
        "the backup {backup} of {from} has no collection {name}, which `restore.from.include` names: it has {known}"
    )]
    SourceWithout { from: String, backup: String, name: String, known: String },
    #[error("`restore.from` leaves nothing of the backup {backup} of {from}: it has {known}")]
    NothingLeft { from: String, backup: String, known: String },
    #[error("s3://{bucket}/{prefix} holds backups, but none that can be restored: {why}")]
    NoneUsable { bucket: String, prefix: String, why: String },
    #[error("the descriptor s3://{bucket}/{key} is malformed: {what}")]
    Descriptor { bucket: String, key: String, what: String },
    #[error("the backup {backup} is of node{} {nodes}, not of {node:?}", if nodes.contains(',') { "s" } else { "" })]
    OtherNode { backup: String, nodes: String, node: String },
    #[error("the backup {backup} was made by Weaviate {made}, which is newer than {running}")]
    NewerServer { backup: String, made: String, running: String },

    // Staging.
    #[error("the volume at {mount} has {free} MiB free; the backup {backup} needs {needed} MiB")]
    NoSpace { mount: String, backup: String, free: u64, needed: u64 },
    #[error("the free space of {mount} cannot be read")]
    Space { mount: String, source: std::io::Error },
    #[error("{what} of s3://{bucket}/{key} is not what the manifest says")]
    Changed { bucket: String, key: String, what: String },
    #[error(
        "s3://{bucket}/{key} is gone, while {record} says that this volume serves generation {generation} of it"
    )]
    ManifestGone { bucket: String, key: String, record: String, generation: u64 },

    // Restoring.
    #[error("the server did not take the restore of {backup}: {message}")]
    NotAccepted {
        backup: String,
        message: String,
        /// The server had trouble of its own: another time it may take it.
        again: bool,
    },
    #[error("the server's restore of {backup} ended as {state}: {message}")]
    Ended {
        backup: String,
        state: State,
        message: String,
        /// The server's last lines.
        log: Vec<String>,
    },
    #[error("the server forgot the restore of {backup}")]
    Forgotten { backup: String },
    #[error("the restore of {backup} shows no progress since {} s in state {state}", quiet.as_secs())]
    Stalled { backup: String, state: State, quiet: std::time::Duration },
    #[error("the server did not count the same twice within {} s after its last client was shut out", within.as_secs())]
    Unsettled { within: std::time::Duration },
    #[error("the local file {path} cannot be used")]
    Local { path: String, source: std::io::Error },

    // Verifying.
    #[error("the data is not what {reference} says: {}{}", first(.differences), more(.differences))]
    Differs { reference: String, differences: Vec<String> },
    #[error("the data in {data} is not what {reference} says: {}{}", first(.differences), more(.differences))]
    KeptDiffers { data: String, reference: String, differences: Vec<String> },
    #[error("the server answers {status} without a key, not 401")]
    Open { status: u16 },
    #[error("the reader's key can write: the server answers {status}, not 403")]
    ReaderWrites { status: u16 },
    #[error("the server does not know the {role}'s key")]
    UnknownKey { role: &'static str },
    #[error("the server runs without module {module}")]
    NoModule { module: String },
}

fn first(differences: &[String]) -> &str {
    differences.first().map_or("nothing differs", String::as_str)
}

fn more(differences: &[String]) -> String {
    match differences.len() {
        0 | 1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    }
}

impl Explain for RestoreError {
    fn class(&self) -> Class {
        match self {
            Self::Store(error) => error.class(),
            Self::Manifest(error) => error.class(),
            Self::Network(error) => error.class(),
            Self::Server(error) => error.class(),
            Self::Disk(error) => error.class(),
            Self::Secrets(error) => error.class(),
            Self::Container(error) => error.class(),
            Self::Space { .. }
            | Self::NotAccepted { again: true, .. }
            | Self::Forgotten { .. }
            | Self::Stalled { .. }
            | Self::Unsettled { .. }
            | Self::Local { .. } => Class::Retry,
            Self::EmptyNotAllowed { .. }
            | Self::Initialized { .. }
            | Self::Unverified { .. }
            | Self::NoSource { .. }
            | Self::SourceWithout { .. }
            | Self::NothingLeft { .. }
            | Self::NoneUsable { .. }
            | Self::Descriptor { .. }
            | Self::OtherNode { .. }
            | Self::NewerServer { .. }
            | Self::NoSpace { .. }
            | Self::ManifestGone { .. }
            | Self::Changed { .. }
            | Self::NotAccepted { again: false, .. }
            | Self::Ended { .. }
            | Self::Differs { .. }
            | Self::KeptDiffers { .. }
            | Self::Open { .. }
            | Self::ReaderWrites { .. }
            | Self::UnknownKey { .. }
            | Self::NoModule { .. } => Class::Final,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Store(error) => error.remedy(),
            Self::Manifest(error) => error.remedy(),
            Self::Network(error) => error.remedy(),
            Self::Server(error) => error.remedy(),
            Self::Disk(error) => error.remedy(),
            Self::Secrets(error) => error.remedy(),
            Self::Container(error) => error.remedy(),
            Self::EmptyNotAllowed { .. } => {
                "Check `backup.bucket` and `backup.prefix`; for a deployment that \
                                             has no data yet set `restore.allow_empty = true`."
                    .to_owned()
            }
            Self::Initialized { eni, .. } => format!(
                "Check `backup.bucket` and `backup.prefix` and bring the backup back; only if its data may be \
                 lost remove the tag weaviate:initialized from {eni}."
            ),
            Self::Unverified { .. } => {
                "Set `restore.unverified = \"allow\"` to take it on trust: what is read is counted, and its checksums \
                 are written down for the next restore."
                    .to_owned()
            }
            Self::NoSource { .. } => {
                "Check `restore.from`; a backup there that has no manifest gets one by `adopt`, on a node of that \
                 deployment."
                    .to_owned()
            }
            Self::SourceWithout { .. } | Self::NothingLeft { .. } => {
                "Mend `restore.from.include` and `restore.from.exclude`: names of its collections, or patterns with `*` \
                 and `?`."
                    .to_owned()
            }
            Self::NoneUsable { .. } => {
                "Bring a whole backup back, from the bucket's versions or from a replica.".to_owned()
            }
            Self::Descriptor { .. } => {
                "Restore it from the bucket's versions, or move the backup's folder away.".to_owned()
            }
            Self::OtherNode { .. } => {
                "Set `node.name` to the backup's node, or give this node a prefix of its \
                                       own; backups of several nodes are not for a single one."
                    .to_owned()
            }
            Self::NewerServer { made, .. } => format!("Set `weaviate.image` to {made} or later."),
            Self::NoSpace { .. } => {
                "Choose an instance type with a larger instance store, or set `restore.mode = \"direct\"`, where the \
                 server reads the bucket itself and nothing lies on the volume twice, or delete what is not needed."
                    .to_owned()
            }
            Self::ManifestGone { .. } => {
                "See who removed it and bring it back from the bucket's versions, or mend \
                                          `backup.prefix`; another instance would restore what is older than \
                                          this volume's data."
                    .to_owned()
            }
            Self::Space { mount, .. } => format!("Check the file system at {mount}."),
            Self::Changed { .. } => "Somebody wrote into the backup's folder; restore the object from the \
                                     bucket's versions, or use another backup."
                .to_owned(),
            Self::NotAccepted { again: true, .. } => {
                "Another time it may: try again in some minutes, and see the server's log where it still does not: \
                 `docker logs weaviate`."
                    .to_owned()
            }
            Self::NotAccepted { again: false, .. } => "See the server's log: `docker logs weaviate`.".to_owned(),
            Self::Ended { .. } => {
                "Read the server's last lines in the details, and mend what they name.".to_owned()
            }
            Self::Forgotten { .. } => {
                "It was restarted in the middle; the next run restores anew on an empty directory.".to_owned()
            }
            Self::Stalled { .. } => {
                "See the server's log and the disk: `docker logs weaviate`, `iostat`.".to_owned()
            }
            Self::Unsettled { .. } => {
                "The data is kept; the next boot says what differs from the count after the restore.".to_owned()
            }
            Self::Local { path, .. } => format!("Check {path} and the file system that holds it."),
            Self::Differs { .. } => {
                "The backup cannot be trusted; use an older one: name it in the manifest, or remove the manifest's \
                 newer copy."
                    .to_owned()
            }
            Self::KeptDiffers { data, .. } => format!(
                "See who changed it meanwhile. Nothing was removed: copy {data} away before this instance ends; \
                 another instance restores the latest backup."
            ),
            Self::Open { .. } => "Remove what opens it from `weaviate.env`; anonymous access has a name: \
                                  `weaviate.anonymous = true`."
                .to_owned(),
            Self::ReaderWrites { .. } => "Check that `weaviate.keys.reader` is a key of its own.".to_owned(),
            Self::UnknownKey { role } => {
                format!("Check that the container has the configuration file with `weaviate.keys.{role}`.")
            }
            Self::NoModule { .. } => "Check `weaviate.modules` and the image.".to_owned(),
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::Differs { differences, .. } | Self::KeptDiffers { differences, .. } => {
                differences.iter().take(100).cloned().collect()
            }
            Self::Ended { log, .. } => log.clone(),
            Self::Container(error) => error.details(),
            Self::Store(error) => error.details(),
            Self::Manifest(error) => error.details(),
            Self::Network(error) => error.details(),
            Self::Server(error) => error.details(),
            Self::Disk(error) => error.details(),
            Self::Secrets(error) => error.details(),
            Self::EmptyNotAllowed { .. }
            | Self::Initialized { .. }
            | Self::Unverified { .. }
            | Self::NoSource { .. }
            | Self::SourceWithout { .. }
            | Self::NothingLeft { .. }
            | Self::NoneUsable { .. }
            | Self::Descriptor { .. }
            | Self::OtherNode { .. }
            | Self::NewerServer { .. }
            | Self::NoSpace { .. }
            | Self::Space { .. }
            | Self::Changed { .. }
            | Self::ManifestGone { .. }
            | Self::NotAccepted { .. }
            | Self::Forgotten { .. }
            | Self::Stalled { .. }
            | Self::Local { .. }
            | Self::Unsettled { .. }
            | Self::Open { .. }
            | Self::ReaderWrites { .. }
            | Self::UnknownKey { .. }
            | Self::NoModule { .. } => Vec::new(),
        }
    }
}
