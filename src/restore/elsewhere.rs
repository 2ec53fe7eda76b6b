//! `restore.from`: another environment's backups, as the source of a node that has none of its own.
//!
//! ```text
//! own manifest names a backup ─▶ that one; the source is not even looked at
//! else its newest copy        ─▶ that one
//! else                        ─▶ the source's manifest, or its newest copy ─▶ the bytes ─▶ restored
//!                                     own manifest: backup_id null, `from` the source ◀─ take over
//! ```
//!
//! The source is only read: no lease, no report and no tag is written there, and its `prune` knows nothing of whoever
//! reads.

use super::choose;
use super::error::RestoreError;
use super::settings::Source;
use crate::host::Host;
use crate::manifest::{self, Manifest, Origin, Pointer};
use crate::store::{self, Store};

/// The bucket that `restore.from` names, and whose backups in it.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    store: Store,
    source: Source,
}

impl Elsewhere {
    pub const fn new(store: Store, source: Source) -> Self {
        Self { store, source }
    }

    /// How it is reached: as the bucket of `[backup]`, but in its own region.
    pub fn settings(host: &Host, source: &Source) -> store::Settings {
        let own = &host.settings.backup;
        store::Settings {
            bucket: source.bucket.clone(),
            prefix: source.prefix.clone(),
            region: source.region.clone().or_else(|| own.region.clone()),
            // Of writes.
            kms_key: None,
            role_arn: None,
            ..own.clone()
        }
    }

    /// For who reads.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// What its manifest names; else its newest copy. Descriptors alone have no checksums: `adopt` makes them, there.
    pub async fn latest(&self) -> Result<Option<Pointer>, RestoreError> {
        let (deployment, node) = (self.source.deployment.as_str(), self.source.node.as_str());
        let key = self.store.settings().key(manifest::NAME);
        let pointer = manifest::read(&self.store, &key, deployment, node).await?;
        match pointer.filter(|pointer| pointer.manifest.backup_id.is_some()) {
            Some(pointer) => Ok(Some(pointer)),
            None => choose::newest_copy(&self.store, deployment, node).await,
        }
    }

    /// Where this backup of it comes from, for the manifest of who restores it.
    pub fn origin(&self, manifest: &Manifest) -> Option<Origin> {
        let Source { bucket, prefix, deployment, node, region: _ } = &self.source;
        Some(Origin {
            bucket: bucket.clone(),
            prefix: prefix.clone(),
            deployment: deployment.to_string(),
            node: node.to_string(),
            backup_id: manifest.backup_id.clone()?,
            other: serde_json::Map::new(),
        })
    }
}
