//! Everything below the prefix, listed once; what must be read to know what it is.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::Scope;
use super::error::CatalogError;
use crate::manifest::{self, Manifest, ManifestError, Pointer};
use crate::restore::{self, Lease};
use crate::store::{Listed, Store, StoreError};
use crate::weaviate::descriptor::{GLOBAL, Global};

/// Copies and descriptors that are read at a time: at some 30 ms for a first byte 250 a second.
const READS: usize = 8;

/// What the bucket holds of this deployment and node.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    pub pointer: Option<Pointer>,
    /// By id.
    pub folders: BTreeMap<String, Folder>,
    /// Of instances that are reading at this moment.
    pub leases: Vec<Lease>,
}

/// What it holds of one backup.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    pub copy: Copy,
    /// The server's own words about it, or why they cannot be read; looked for only where no copy speaks.
    pub described: Option<Result<Global, String>>,
    /// What lies below `<id>/`.
    pub listed: Vec<Listed>,
}

/// `manifests/<id>.json`.
#[derive(Clone, Debug, Default)]
pub enum Copy {
    #[default]
    Absent,
    /// And why.
    Unreadable(String),
    Readable(Box<Manifest>),
}

/// Looks; changes nothing.
pub async fn look(scope: &Scope<'_>, now: Timestamp) -> Result<Catalog, CatalogError> {
    let Scope { store, deployment, node, status: _ } = *scope;
    let pointer = manifest::read(store, &store.settings().key(manifest::NAME), deployment, node).await?;
    let root = store.settings().key("");
    let Sorted { mut folders, copies, leases } = sort(&root, store.list(&root).await?);
    let copies: Vec<(String, Copy)> = stream::iter(copies)
        .map(async |(id, key)| Ok::<_, CatalogError>((id, copy(store, &key, deployment, node).await?)))
        .buffer_unordered(READS)
        .try_collect()
        .await?;
    for (id, copy) in copies {
        folders.entry(id).or_default().copy = copy;
    }
    let silent = folders.iter().filter(|(_, folder)| !matches!(folder.copy, Copy::Readable(_)));
    let silent: Vec<String> = silent.map(|(id, _)| id.clone()).collect();
    let described: Vec<(String, Option<Result<Global, String>>)> = stream::iter(silent)
        .map(async |id| {
            let described = describe(store, &store.settings().key(&format!("{id}/{GLOBAL}"))).await?;
            Ok::<_, CatalogError>((id, described))
        })
        .buffer_unordered(READS)
        .try_collect()
        .await?;
    for (id, described) in described {
        folders.entry(id).or_default().described = described;
    }
    let mut held = Vec::new();
    for key in &leases {
        held.extend(lease(store, key).await?.filter(|lease| lease.until > now));
    }
    Ok(Catalog { pointer, folders, leases: held })
}

#[derive(Debug, Default)]
struct Sorted {
    folders: BTreeMap<String, Folder>,
    /// Id and key.
    copies: Vec<(String, String)>,
    /// Keys.
    leases: Vec<String>,
}

/// What is what, by its key alone. Whatever is no backup's, no copy and no lease is somebody else's, and left alone.
fn sort(root: &str, listed: Vec<Listed>) -> Sorted {
    let (copies, leases) = (format!("{}/", manifest::COPIES), format!("{}/", restore::LEASES));
    let mut sorted = Sorted::default();
    for object in listed {
        let Some(below) = object.key.strip_prefix(root) else { continue };
        if let Some(name) = below.strip_prefix(&copies) {
            if let Some(id) = name.strip_suffix(".json").filter(|id| manifest::is_id(id)) {
                sorted.copies.push((id.to_owned(), object.key.clone()));
            }
        } else if below.starts_with(&leases) {
            sorted.leases.push(object.key);
        } else if let Some((id, _)) = below.split_once('/')
            && manifest::is_id(id)
        {
            let id = id.to_owned();
            sorted.folders.entry(id).or_default().listed.push(object);
        }
    }
    sorted
}

/// One that is unreadable is told beside the others; a store that does not answer is an error.
async fn copy(store: &Store, key: &str, deployment: &str, node: &str) -> Result<Copy, CatalogError> {
    match manifest::read(store, key, deployment, node).await {
        Ok(Some(pointer)) => Ok(Copy::Readable(Box::new(pointer.manifest))),
        Ok(None) => Ok(Copy::Absent),
        Err(ManifestError::Store(error)) => Err(error.into()),
        Err(error) => Ok(Copy::Unreadable(error.to_string())),
    }
}

/// One that cannot be read is an error: what it holds is not known.
async fn lease(store: &Store, key: &str) -> Result<Option<Lease>, CatalogError> {
    let object = match store.get(key).await {
        Ok(object) => object,
        // Removed since it was listed.
        Err(StoreError::Absent { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    serde_json::from_slice(&object.bytes).map(Some).map_err(|error| {
        let (bucket, key) = (store.bucket().to_owned(), key.to_owned());
        CatalogError::Lease { bucket, key, what: error.to_string() }
    })
}

async fn describe(store: &Store, key: &str) -> Result<Option<Result<Global, String>>, CatalogError> {
    match store.get(key).await {
        Ok(object) => Ok(Some(serde_json::from_slice(&object.bytes).map_err(|error| error.to_string()))),
        Err(StoreError::Absent { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_below_the_prefix_is_what_its_name_says() {
        let keys = [
            "prod/latest_weaviate_backup.manifest.json",
            "prod/manifests/b1.json",
            "prod/manifests/B1.json",
            "prod/manifests/readme.txt",
            "prod/reports/i-1-boot.json",
            "prod/reports/leases/i-1.json",
            "prod/drills/b1.json",
            "prod/b1/backup_config.json",
            "prod/b1/weaviate-0/A/chunk-1",
            "prod/Not-An-Id/x",
            "other/b2/backup_config.json",
        ];
        let listed = |key: &str| Listed { key: key.to_owned(), size: 1, etag: String::new(), modified: 0 };
        let Sorted { folders, copies, leases } = sort("prod/", keys.into_iter().map(listed).collect());
        assert_eq!(copies, [("b1".to_owned(), "prod/manifests/b1.json".to_owned())]);
        assert_eq!(leases, ["prod/reports/leases/i-1.json"]);
        assert_eq!(folders.keys().collect::<Vec<_>>(), ["b1"]);
        assert_eq!(folders["b1"].listed.len(), 2);
        // An empty prefix: everything is below it.
        let Sorted { folders, .. } = sort("", vec![listed("b1/backup_config.json"), listed("file")]);
        assert_eq!(folders.keys().collect::<Vec<_>>(), ["b1"]);
    }
}
