//! A backup that the server made alone gets a manifest: every byte of it is read, and what it is written down.
//!
//! ```text
//! descriptors, listing ─▶ a manifest without checksums ─▶ every object read ─▶ listed again: nobody wrote meanwhile
//!    ─▶ manifests/<id>.json
//!    └▶ where the manifest's own key holds the plain form, which names this backup: the full one in its place
//! ```
//!
//! What it holds nobody counted: its first restore does.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use serde_json::Value;

use super::Scope;
use super::error::CatalogError;
use super::verify::{Progress, listed};
use super::weigh::differences;
use crate::manifest::{self, Manifest, ManifestError, Object, Unprotected, checksum};
use crate::report::Work;
use crate::restore;
use crate::store::{Condition, Limits, Listed, Store, StoreError, read};

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Adopted {
    pub id: String,
    pub files: u64,
    pub bytes: u64,
    /// It had a manifest already; nothing was read or written.
    pub known: bool,
    /// The manifest names it now: it took the place of a plain one.
    pub named: bool,
    /// Tenants whose data the server had left out.
    pub unprotected: Unprotected,
}

/// Adopts `id`, which must lie below the prefix. The copy is written by `writer`.
pub async fn adopt(
    scope: &Scope<'_>,
    writer: &Store,
    id: &str,
    limits: Limits,
) -> Result<Adopted, CatalogError> {
    let Scope { store, deployment, node, status } = *scope;
    let _working = status.begin(Work::Adopt);
    let unknown = || {
        let (bucket, prefix) = (store.bucket().to_owned(), store.settings().prefix.clone());
        CatalogError::Unknown { bucket, prefix, id: id.to_owned() }
    };
    if !manifest::is_id(id) {
        return Err(unknown());
    }
    let plain = plain(store, id).await?;
    let key = store.settings().key(&format!("{}/{id}.json", manifest::COPIES));
    let copy = manifest::read(store, &key, deployment, node).await?.map(|copy| copy.manifest);
    let known = copy.filter(|copy| !copy.unverified);
    let full = if let Some(copy) = &known {
        copy.clone()
    } else {
        let described = restore::described(store, deployment, node, id).await?.ok_or_else(unknown)?;
        let bare = described.map_err(|why| CatalogError::NotWhole { id: id.to_owned(), why })?;
        let full = hashed(scope, bare, limits).await?;
        write_copy(scope, writer, &full).await?;
        full
    };
    let named = match plain {
        Some(etag) => {
            let key = store.settings().key(manifest::NAME);
            // Nobody's, and above nothing: the next boot takes it.
            let pointer = Manifest { generation: 1, ..full.clone() };
            write(store, store, &key, &pointer, &Condition::IfMatch(etag)).await?;
            true
        }
        None => false,
    };
    let (files, bytes) = (full.objects.len() as u64, full.bytes());
    let unprotected = full.unprotected;
    Ok(Adopted { id: id.to_owned(), files, bytes, known: known.is_some(), named, unprotected })
}

/// The ETag of the manifest's own key, where that holds the plain form: what scripts write that know of nothing but an
/// id. A plain one that names another backup is refused: the next boot would restore neither.
async fn plain(store: &Store, id: &str) -> Result<Option<String>, CatalogError> {
    let key = store.settings().key(manifest::NAME);
    let object = match store.get(&key).await {
        Ok(object) => object,
        Err(StoreError::Absent { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match named_plainly(&object.bytes) {
        None => Ok(None),
        Some(named) if named == id => Ok(Some(object.etag)),
        Some(named) => Err(CatalogError::NamesAnother { bucket: store.bucket().to_owned(), key, named }),
    }
}

/// The id in a manifest of the plain form; `None` for one of ours, or for no manifest at all.
fn named_plainly(bytes: &[u8]) -> Option<String> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(bytes) else { return None };
    if fields.contains_key("schema") {
        return None;
    }
    ["backup_id", "backupId", "id"].iter().find_map(|name| Some(fields.get(*name)?.as_str()?.to_owned()))
}

async fn hashed(scope: &Scope<'_>, bare: Manifest, limits: Limits) -> Result<Manifest, CatalogError> {
    let Scope { store, status, .. } = *scope;
    let id = bare.backup_id.clone().unwrap_or_default();
    let progress = Progress::new(status, Work::Adopt, bare.bytes());
    let mut objects: Vec<Object> = stream::iter(bare.objects.clone())
        .map(async |object| {
            let moved = |bytes: u64| progress.moved(bytes);
            let content = read(store, &object.key, object.size, limits, moved).await?;
            Ok::<_, CatalogError>(Object { sha256: content.sha256, ..object })
        })
        .buffer_unordered(limits.connections)
        .try_collect()
        .await?;
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    let found = listed(store, &bare).await?;
    let by_key: BTreeMap<&str, &Listed> = found.iter().map(|object| (object.key.as_str(), object)).collect();
    let wrong = differences(&bare, &by_key);
    if !wrong.is_empty() {
        return Err(CatalogError::Damaged { id, wrong });
    }
    Ok(Manifest {
        checksum: Some(checksum(&objects)),
        objects,
        unverified: false,
        adopted: true,
        agent: Some(env!("CARGO_PKG_VERSION").to_owned()),
        ..bare
    })
}

/// The immutable copy of a backup that is whole; one that is there and another is an error.
pub async fn write_copy(scope: &Scope<'_>, writer: &Store, manifest: &Manifest) -> Result<(), CatalogError> {
    let id = manifest.backup_id.as_deref().unwrap_or_default();
    let key = scope.store.settings().key(&format!("{}/{id}.json", manifest::COPIES));
    write(scope.store, writer, &key, manifest, &Condition::IfAbsent).await
}

async fn write(
    store: &Store,
    writer: &Store,
    key: &str,
    manifest: &Manifest,
    condition: &Condition,
) -> Result<(), CatalogError> {
    let malformed = |error: serde_json::Error| ManifestError::Malformed {
        bucket: store.bucket().to_owned(),
        key: key.to_owned(),
        what: error.to_string(),
    };
    let bytes = serde_json::to_vec(manifest).map_err(malformed)?;
    match writer.put(key, bytes.clone(), condition).await {
        Ok(_) => Ok(()),
        // A try whose answer got lost may have written it.
        Err(error @ (StoreError::Precondition { .. } | StoreError::Unreachable { .. })) => {
            match store.get(key).await {
                Ok(there) if there.bytes == bytes => Ok(()),
                Ok(_) | Err(_) => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_manifest_is_told_from_ours_and_from_none() {
        let rows = [
            (
                r#"{"backup_id": "weaviate_backup_1", "path": "prod/weaviate_backup_1"}"#,
                Some("weaviate_backup_1"),
            ),
            (r#"{"backupId": "b", "checksum": "ab"}"#, Some("b")),
            (r#"{"id": "b"}"#, Some("b")),
            (r#"{"schema": 1, "backup_id": "b"}"#, None),
            (r#"{"schema": 2, "id": "b"}"#, None),
            (r#"{"id": 7}"#, None),
            ("[]", None),
            ("no JSON", None),
        ];
        for (text, expected) in rows {
            assert_eq!(named_plainly(text.as_bytes()).as_deref(), expected, "{text}");
        }
    }
}
