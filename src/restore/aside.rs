//! The same restore and the same comparison in a server that nobody is served by: for a drill.
//!
//! ```text
//! manifest ─bring_aside▶ bytes, checked ─▶ order, SUCCESS ─▶ counts, tenants, aliases, samples ─▶ Seen
//! ```

use super::error::RestoreError;
use super::part;
use super::samples;
use super::serve::{self, Accepted, Order, Patience};
use super::verify::{self, Seen};
use crate::host::Host;
use crate::manifest::Manifest;
use crate::store::{Store, Tree};
use crate::weaviate::{Backend, Client, RestoreConfig};

/// Brings the bytes into a tree of their own, checked one by one. The serving server keeps its tenth of the volume.
pub async fn bring_aside(
    host: &Host,
    store: &Store,
    backups: &Tree,
    manifest: Manifest,
) -> Result<Manifest, RestoreError> {
    part::bring_beside(host, store, backups, manifest, None).await
}

/// Restores what lies beside the server, and compares what it holds then.
pub async fn prove(host: &Host, client: &Client, manifest: &Manifest) -> Result<Seen, RestoreError> {
    let id = manifest.backup_id.clone().unwrap_or_default();
    let order = Order {
        backend: Backend::Filesystem,
        backup: &id,
        // Who may come in there is nobody's business.
        config: RestoreConfig {
            cpu_percentage: host.settings.restore.cpu_percentage,
            ..RestoreConfig::default()
        },
        only: Vec::new(),
        overwrite_alias: false,
        renamed: None,
        mount: &host.settings.storage.mount,
    };
    if let Accepted::Busy(message) = serve::order(client, &order).await? {
        return Err(RestoreError::NotAccepted { backup: id, message, again: true });
    }
    serve::wait(client, &order, Patience::default(), &host.status).await?;
    let seen = verify::count(client, &host.status).await?;
    verify::compare(manifest, &seen)?;
    let most = host.settings.restore.samples as usize;
    let found = samples::differences(client, &manifest.collections, most, &host.status).await?;
    if found.is_empty() {
        return Ok(seen);
    }
    Err(RestoreError::Differs { reference: format!("the manifest of {id}"), differences: found })
}
