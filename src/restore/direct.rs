//! What is looked at before the server itself reads a backup: nothing of it lies here.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::RestoreError;
use super::space::{Room, Space};
use super::stage::{is_result, preflight};
use crate::manifest::Manifest;
use crate::store::{Store, StoreError};

/// Whether there is room for what the server unpacks; `goes` are bytes in `data/` that go before.
pub async fn fits(
    store: &Store,
    mount: &Path,
    node: &str,
    manifest: &Manifest,
    goes: u64,
) -> Result<(), RestoreError> {
    let Room { free, total } = {
        let mount = mount.to_owned();
        super::blocking(move || Room::look(&mount)).await?
    };
    // Nothing of it lies on the volume twice.
    preflight(store, mount, node, manifest, Space { total, free, goes, comes: 0 }, None).await
}

/// Whether every object is there with its size and ETag. What the server reads then, nobody sees.
pub async fn compare(store: &Store, manifest: &Manifest) -> Result<(), RestoreError> {
    let mut listed = BTreeMap::new();
    for link in &manifest.chain {
        let root = manifest.root();
        let prefix = if root.is_empty() { format!("{link}/") } else { format!("{root}/{link}/") };
        listed.extend(store.list(&prefix).await?.into_iter().map(|o| (o.key.clone(), o)));
    }
    for object in manifest.objects.iter().filter(|o| !is_result(&o.key)) {
        let changed = |what: String| RestoreError::Changed {
            bucket: store.bucket().to_owned(),
            key: object.key.clone(),
            what,
        };
        let Some(found) = listed.get(&object.key) else {
            let (bucket, key) = (store.bucket().to_owned(), object.key.clone());
            return Err(StoreError::Absent { bucket, key }.into());
        };
        if found.size != object.size {
            return Err(changed(format!("the size ({} bytes, not {})", found.size, object.size)));
        }
        let known = object.etag.as_deref().map(|e| e.trim_matches('"')).filter(|e| !e.is_empty());
        if known.is_some_and(|known| !found.etag.is_empty() && found.etag != known) {
            return Err(changed(format!("the ETag ({})", found.etag)));
        }
    }
    Ok(())
}
