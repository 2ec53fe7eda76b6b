//! Whether one backup could be restored: by what is listed, or by its every byte.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::Scope;
use super::error::CatalogError;
use super::weigh::differences;
use crate::manifest::{self, Manifest, Object};
use crate::report::{Status, Work};
use crate::store::{Limits, Listed, Store, StoreError, read};
use crate::weaviate::descriptor::RESTORE;

/// What was proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    pub id: String,
    /// The backups that it needs, itself last.
    pub chain: Vec<String>,
    pub files: u64,
    pub bytes: u64,
    /// Every byte was read; else sizes and ETags were compared.
    pub deep: bool,
}

/// Checks `id`, or what the manifest names; with limits, by reading every byte within them. Anything that is not as it
/// was is an error.
pub async fn verify(
    scope: &Scope<'_>,
    id: Option<&str>,
    deep: Option<Limits>,
) -> Result<Checked, CatalogError> {
    let Scope { store, status, .. } = *scope;
    let _working = status.begin(Work::Verify);
    let manifest = find(scope, id).await?;
    let id = manifest.backup_id.clone().unwrap_or_default();
    if manifest.unverified {
        return Err(CatalogError::NoManifest { id });
    }
    status.say(Work::Verify, format!("looks at the objects of {id}"));
    let found = listed(store, &manifest).await?;
    let by_key: BTreeMap<&str, &Listed> = found.iter().map(|object| (object.key.as_str(), object)).collect();
    let wrong = differences(&manifest, &by_key);
    if !wrong.is_empty() {
        return Err(CatalogError::Damaged { id, wrong });
    }
    if let Some(limits) = deep {
        let wrong = read_all(scope, &manifest, limits).await?;
        if !wrong.is_empty() {
            return Err(CatalogError::Damaged { id, wrong });
        }
    }
    let (files, bytes) = (manifest.objects.len() as u64, manifest.bytes());
    Ok(Checked { id, chain: manifest.chain, files, bytes, deep: deep.is_some() })
}

/// The manifest that speaks for it: the pointer's, or its copy.
pub async fn find(scope: &Scope<'_>, id: Option<&str>) -> Result<Manifest, CatalogError> {
    let Scope { store, deployment, node, status: _ } = *scope;
    let at = async |key: &str| manifest::read(store, key, deployment, node).await;
    let (bucket, prefix) = (store.bucket().to_owned(), store.settings().prefix.clone());
    let pointer = at(&store.settings().key(manifest::NAME)).await?.map(|pointer| pointer.manifest);
    let named = pointer.filter(|manifest| manifest.backup_id.is_some());
    let Some(id) = id else { return named.ok_or(CatalogError::NoneNamed { bucket, prefix }) };
    if let Some(named) = named.filter(|named| named.backup_id.as_deref() == Some(id)) {
        return Ok(named);
    }
    let unknown = || CatalogError::Unknown { bucket, prefix, id: id.to_owned() };
    if !manifest::is_id(id) {
        return Err(unknown());
    }
    if let Some(copy) = at(&store.settings().key(&format!("{}/{id}.json", manifest::COPIES))).await? {
        return Ok(copy.manifest);
    }
    if store.list(&store.settings().key(&format!("{id}/"))).await?.is_empty() {
        return Err(unknown());
    }
    Err(CatalogError::NoManifest { id: id.to_owned() })
}

/// What the bucket lists of the chain.
pub async fn listed(store: &Store, manifest: &Manifest) -> Result<Vec<Listed>, CatalogError> {
    let mut found = Vec::new();
    for link in &manifest.chain {
        let root = manifest.root();
        let folder = if root.is_empty() { format!("{link}/") } else { format!("{root}/{link}/") };
        found.extend(store.list(&folder).await?);
    }
    Ok(found)
}

/// Says how far it is.
pub struct Progress<'a> {
    status: &'a Status,
    work: Work,
    total: u64,
    done: AtomicU64,
}

impl<'a> Progress<'a> {
    pub const fn new(status: &'a Status, work: Work, total: u64) -> Self {
        Self { status, work, total, done: AtomicU64::new(0) }
    }

    pub fn moved(&self, bytes: u64) {
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        let (before, now) = (before >> 20, (before + bytes) >> 20);
        if now != before {
            self.status.count(self.work, format!("read {now} of {} MiB", self.total >> 20));
        }
    }
}

/// Every byte of the chain, hashed; what is not as it was.
async fn read_all(
    scope: &Scope<'_>,
    manifest: &Manifest,
    limits: Limits,
) -> Result<Vec<String>, CatalogError> {
    let Scope { store, status, .. } = *scope;
    let progress = Progress::new(status, Work::Verify, manifest.bytes());
    let moved = |bytes: u64| progress.moved(bytes);
    let objects = manifest.objects.iter().filter(|object| object.key.rsplit('/').next() != Some(RESTORE));
    stream::iter(objects)
        .map(async |object| one(store, object, limits, &moved).await)
        .buffer_unordered(limits.connections)
        .try_filter_map(async |wrong| Ok(wrong))
        .try_collect()
        .await
}

async fn one(
    store: &Store,
    object: &Object,
    limits: Limits,
    moved: &(impl Fn(u64) + Send + Sync),
) -> Result<Option<String>, CatalogError> {
    let Object { key, size, sha256, etag: _, version_id: _, other: _ } = object;
    match read(store, key, *size, limits, moved).await {
        Ok(content) if content.sha256 == *sha256 => Ok(None),
        Ok(content) => Ok(Some(format!("{key} has the SHA-256 {}, not {sha256}", content.sha256))),
        Err(error @ (StoreError::Corrupt { .. } | StoreError::Absent { .. })) => Ok(Some(error.to_string())),
        Err(error) => Err(error.into()),
    }
}
