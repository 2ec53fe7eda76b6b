//! What each backup is worth: a pure function of what the bucket holds.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::look::{Catalog, Copy, Folder};
use crate::manifest::{Manifest, Object, Unprotected};
use crate::store::Listed;
use crate::weaviate::descriptor::{Global, RESTORE};

/// Whether it could be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Every object of its chain is there, with the size and ETag that it had.
    Whole,
    /// An object is missing, or is another one.
    Damaged,
    /// Nobody took its checksums, or nobody wrote them down: `adopt` does.
    WithoutManifest,
    /// The server never finished it, or failed.
    Unfinished,
    /// Its manifest is another node's, of another schema, or no manifest.
    Unreadable,
}

impl Standing {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Damaged => "damaged",
            Self::WithoutManifest => "without manifest",
            Self::Unfinished => "unfinished",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A backup, as `list` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    pub id: String,
    pub completed: Option<Timestamp>,
    /// The backups that it needs, itself last.
    pub chain: Vec<String>,
    /// Of its own folder.
    pub files: u64,
    pub bytes: u64,
    /// In its collections, as counted when it was made.
    pub objects: Option<u64>,
    pub standing: Standing,
    /// The manifest names it.
    pub latest: bool,
    /// Instances that are reading it.
    pub leased: Vec<String>,
    /// Why the manifest was not to name it.
    pub held_back: Option<String>,
    /// Tenants whose data is not in it, as its manifest says.
    pub unprotected: Unprotected,
    pub wrong: Vec<String>,
}

/// All backups, the newest first; those without a time last.
pub fn weigh(catalog: &Catalog) -> Vec<Row> {
    let Catalog { pointer, folders, leases } = catalog;
    let named = pointer.as_ref().map(|pointer| &pointer.manifest).filter(|m| m.backup_id.is_some());
    let mut ids: BTreeSet<&str> = folders.keys().map(String::as_str).collect();
    ids.extend(named.and_then(|manifest| manifest.backup_id.as_deref()));
    let listed: BTreeMap<&str, &Listed> = folders
        .values()
        .flat_map(|folder| &folder.listed)
        .map(|object| (object.key.as_str(), object))
        .collect();
    let nothing = Folder::default();
    let mut rows: Vec<Row> = ids
        .into_iter()
        .map(|id| {
            let latest = named.filter(|manifest| manifest.backup_id.as_deref() == Some(id));
            let folder = folders.get(id).unwrap_or(&nothing);
            let mut row = row(id, folder, latest, &listed);
            row.leased = leases
                .iter()
                .filter(|lease| lease.chain.iter().any(|held| held == id))
                .map(|lease| lease.instance_id.clone())
                .collect();
            row
        })
        .collect();
    rows.sort_by(|a, b| b.completed.cmp(&a.completed).then_with(|| b.id.cmp(&a.id)));
    rows
}

fn row(id: &str, folder: &Folder, latest: Option<&Manifest>, listed: &BTreeMap<&str, &Listed>) -> Row {
    let Folder { copy, described, listed: own } = folder;
    let bare = Row {
        id: id.to_owned(),
        completed: None,
        chain: vec![id.to_owned()],
        files: own.len() as u64,
        bytes: own.iter().map(|object| object.size).sum(),
        objects: None,
        standing: Standing::Unfinished,
        latest: latest.is_some(),
        leased: Vec::new(),
        held_back: None,
        unprotected: Unprotected::new(),
        wrong: Vec::new(),
    };
    let unreadable = match copy {
        Copy::Unreadable(why) => Some(why.clone()),
        Copy::Absent | Copy::Readable(_) => None,
    };
    let manifest = match (latest, copy) {
        // Both say the same: the pointer is what restores.
        (Some(manifest), _) => Some(manifest),
        (None, Copy::Readable(manifest)) => Some(&**manifest),
        (None, Copy::Absent | Copy::Unreadable(_)) => None,
    };
    if let Some(manifest) = manifest {
        let mut wrong = differences(manifest, listed);
        let standing = match (wrong.is_empty(), manifest.unverified) {
            (true, false) => Standing::Whole,
            (true, true) => Standing::WithoutManifest,
            (false, _) => Standing::Damaged,
        };
        wrong.extend(unreadable);
        return Row {
            completed: manifest.completed.as_deref().and_then(|time| time.parse().ok()),
            chain: manifest.chain.clone(),
            objects: objects(manifest),
            standing,
            held_back: manifest.held_back.clone(),
            unprotected: manifest.unprotected.clone(),
            wrong,
            ..bare
        };
    }
    if let Some(why) = unreadable {
        return Row { standing: Standing::Unreadable, wrong: vec![why], ..bare };
    }
    match described {
        None => Row { wrong: vec!["it has no descriptor: it was never finished".to_owned()], ..bare },
        Some(Err(why)) => Row { wrong: vec![format!("its descriptor cannot be read: {why}")], ..bare },
        Some(Ok(global)) => {
            let Global { completed_at, base_backup_id, .. } = global;
            let built_on = Some(base_backup_id.clone()).filter(|base| !base.is_empty());
            let row = Row {
                completed: completed_at.parse().ok(),
                chain: built_on.into_iter().chain([id.to_owned()]).collect(),
                ..bare
            };
            if let Some(why) = global.unusable(id) {
                return Row { wrong: vec![why], ..row };
            }
            let wrong = vec!["no manifest knows it, so nobody took its checksums".to_owned()];
            Row { standing: Standing::WithoutManifest, wrong, ..row }
        }
    }
}

fn objects(manifest: &Manifest) -> Option<u64> {
    let tenants = manifest.collections.values().flat_map(|collection| collection.tenants.values());
    let counted: Vec<u64> = tenants.filter_map(|tenant| tenant.objects).collect();
    (!counted.is_empty()).then(|| counted.iter().sum())
}

/// How what is listed differs from what the manifest says, each as a sentence. Empty: every object is there, with the
/// size and the ETag that it had.
pub fn differences(manifest: &Manifest, listed: &BTreeMap<&str, &Listed>) -> Vec<String> {
    let mut found = Vec::new();
    for object in &manifest.objects {
        let Object { key, size, sha256: _, etag, version_id: _, other: _ } = object;
        // A restore writes its result there, and every one another.
        if key.rsplit('/').next() == Some(RESTORE) {
            continue;
        }
        let Some(there) = listed.get(key.as_str()) else {
            found.push(format!("{key} is missing"));
            continue;
        };
        let known = etag.as_deref().map(|etag| etag.trim_matches('"')).filter(|etag| !etag.is_empty());
        if there.size != *size {
            found.push(format!("{key} has {} bytes, not {size}", there.size));
        } else if known.is_some_and(|known| !there.etag.is_empty() && there.etag != known) {
            found.push(format!("{key} is another object than then: its ETag is {}", there.etag));
        }
    }
    found
}
