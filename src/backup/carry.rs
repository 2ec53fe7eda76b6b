//! What the server has written, into the bucket: each file as soon as the server is done with it.
//!
//! ```text
//! closed by the server ─▶ chunk: hashed, sent, noted in the journal, unlinked ─┐
//! SUCCESS ─▶ the chunks that nobody told of ─▶ <node>/backup.json ─▶ backup_config.json
//! ```
//!
//! The descriptors come last: a folder without `backup_config.json` is no backup for anybody, the server included. They
//! stay on the volume: the next incremental backup needs them, and nothing else of this one (`tests/recordings`, 20).

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::Semaphore;

use super::base::Base;
use super::closed::Closed;
use super::described::{Backup, Described};
use super::error::BackupError;
use super::journal::Journal;
use crate::manifest::Object;
use crate::report::{Status, Work};
use crate::store::{Moved, Parcel, Sending, Sent, Store, StoreError, Tree, send};
use crate::weaviate::descriptor::{GLOBAL, Global, NODE, PROBE, RESTORE, Shards};

/// What is carried where.
#[derive(Debug)]
pub struct Load<'a> {
    pub id: &'a str,
    /// The node's name: the folder of its files.
    pub node: &'a str,
    pub store: &'a Store,
    /// `backups/` of the volume.
    pub tree: &'a Tree,
    /// The same as a path.
    pub folder: &'a Path,
    /// The key of the backup's folder, without a slash at its end.
    pub key: &'a str,
    pub connections: u32,
    /// `backup.stall`: a store that is in trouble for so long ends it.
    pub stall: Duration,
    pub base: Option<&'a Base>,
}

impl<'a> Load<'a> {
    pub const fn backup(&self) -> Backup<'a> {
        Backup { id: self.id, node: self.node, key: self.key, base: self.base }
    }
}

/// All files of the backup in the bucket, and what they say of themselves.
#[derive(Debug)]
pub struct Carried {
    /// Sorted by key.
    pub objects: Vec<Object>,
    /// What a restore reads of the base.
    pub of_base: Vec<Object>,
    pub global: Global,
    /// What of each collection the node's descriptor has.
    pub shards: Shards,
}

/// Carries until `server` has ended, and then the rest. `moved` grows with every byte that the bucket has.
pub async fn carry<T>(
    load: &Load<'_>,
    journal: &mut Journal,
    server: impl Future<Output = Result<T, BackupError>>,
    moved: &Arc<AtomicU64>,
    status: &Status,
) -> Result<(Carried, T), BackupError> {
    let own = Path::new(load.id).join(load.node);
    let mut closed = Closed::below(&load.folder.join(&own)).map_err(|source| unusable(load, &own, source))?;
    let mut done: BTreeMap<String, Object> = BTreeMap::new();
    let mut begun = BTreeSet::new();
    let flight = Arc::new(Semaphore::new(load.connections as usize));
    let (count, voice) = (Arc::clone(moved), status.clone());
    let told: Moved = Arc::new(move |bytes| {
        let all = count.fetch_add(bytes, Ordering::Relaxed) + bytes;
        voice.count(Work::Backup, format!("{} MiB are in the bucket", all >> 20));
    });
    let mut sending = FuturesUnordered::new();
    let mut server = pin!(server);
    let mut ended = None;
    loop {
        // All arms are cancel-safe: what is not taken now is told at the next turn.
        tokio::select! {
            file = closed.next(), if ended.is_none() => {
                let file = file.map_err(|source| unusable(load, &own, source))?;
                let path = own.join(&file);
                if is_chunk(&file) && begun.insert(path.clone()) {
                    sending.push(one(load, path, &flight, &told));
                }
            }
            end = &mut server, if ended.is_none() => {
                ended = Some(end?);
                for path in chunks(load)? {
                    if begun.insert(path.clone()) {
                        sending.push(one(load, path, &flight, &told));
                    }
                }
            }
            Some(sent) = sending.next(), if !sending.is_empty() => {
                let (path, object) = sent?;
                journal.sent(&object)?;
                load.tree.remove(&path)?;
                done.insert(object.key.clone(), object);
            }
            else => break,
        }
    }
    let read = |path: &Path| {
        let what = || format!("{} is not there", path.display());
        load.tree.read_all(path)?.ok_or_else(|| load.backup().incomplete(what()))
    };
    let (global, node) = (read(&Path::new(load.id).join(GLOBAL))?, read(&own.join(NODE))?);
    let Described { global, of_base, shards } = load.backup().described(&global, &node, &done)?;
    for path in [own.join(NODE), Path::new(load.id).join(GLOBAL)] {
        let (_, object) = one(load, path, &flight, &told).await?;
        journal.sent(&object)?;
        done.insert(object.key.clone(), object);
    }
    let carried = Carried { objects: done.into_values().collect(), of_base, global, shards };
    // The loop has no other way out.
    ended.map(|server| (carried, server)).ok_or_else(|| BackupError::Forgotten { backup: load.id.to_owned() })
}

/// `<Class>/chunk-7`.
fn is_chunk(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    path.components().count() == 2 && name.strip_prefix("chunk-").is_some_and(|n| n.parse::<u64>().is_ok())
}

/// Every chunk that lies on the volume.
fn chunks(load: &Load<'_>) -> Result<Vec<PathBuf>, BackupError> {
    let own = Path::new(load.id).join(load.node);
    let mut found = Vec::new();
    for class in load.tree.names(&own)? {
        if [NODE, PROBE, RESTORE].contains(&class.as_str()) {
            continue;
        }
        for name in load.tree.names(&own.join(&class))? {
            let path = Path::new(&class).join(name);
            if is_chunk(&path) {
                found.push(own.join(path));
            }
        }
    }
    Ok(found)
}

async fn one(
    load: &Load<'_>,
    path: PathBuf,
    flight: &Arc<Semaphore>,
    moved: &Moved,
) -> Result<(PathBuf, Object), BackupError> {
    let below = path.strip_prefix(load.id).unwrap_or(&path);
    let parcel = Parcel { key: format!("{}/{}", load.key, below.display()), path: path.clone() };
    let sent = send(load.store, load.tree, &parcel, Sending::within(load.stall), flight, moved).await;
    let sent = sent.map_err(|error| match error {
        StoreError::Denied { .. } => BackupError::NotWritable(error),
        error => error.into(),
    })?;
    let Sent { key, size, sha256, etag, version_id } = sent;
    let etag = Some(etag).filter(|etag| !etag.is_empty());
    Ok((path, Object { key, size, sha256, etag, version_id, other: serde_json::Map::new() }))
}

fn unusable(load: &Load<'_>, path: &Path, source: std::io::Error) -> BackupError {
    BackupError::Local { path: load.folder.join(path).display().to_string(), source }
}

/// What the bucket holds of the backup is what was sent there: a pure comparison of the listing.
pub fn compare(bucket: &str, sent: &[Object], listed: &[crate::store::Listed]) -> Result<(), BackupError> {
    let differs = |key: &str, what: String| {
        Err(BackupError::Differs { bucket: bucket.to_owned(), key: key.to_owned(), what })
    };
    let there: BTreeMap<&str, _> = listed.iter().map(|one| (one.key.as_str(), one)).collect();
    for object in sent {
        let Some(found) = there.get(object.key.as_str()) else {
            return differs(&object.key, "it is not there".to_owned());
        };
        if found.size != object.size {
            return differs(&object.key, format!("it has {} bytes, not {}", found.size, object.size));
        }
        match &object.etag {
            // Some stores list none.
            Some(etag) if !found.etag.is_empty() && *etag != found.etag => {
                return differs(&object.key, format!("its ETag is {}, not {etag}", found.etag));
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Listed;

    #[test]
    fn only_chunks_go_before_the_end() {
        let rows = [
            ("Article/chunk-1", true),
            ("Article/chunk-", false),
            ("Article/chunk-1.part", false),
            ("backup.json", false),
            ("chunk-1", false),
            ("Article/deeper/chunk-1", false),
        ];
        for (path, expected) in rows {
            assert_eq!(is_chunk(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn the_listing_must_say_what_was_sent() {
        let object = |etag: Option<&str>| Object {
            key: "prod/b/x".to_owned(),
            size: 7,
            sha256: String::new(),
            etag: etag.map(str::to_owned),
            version_id: None,
            other: serde_json::Map::new(),
        };
        let listed =
            |size, etag: &str| Listed { key: "prod/b/x".into(), size, etag: etag.into(), modified: 0 };
        let sent = [object(Some("e"))];
        compare("acme", &sent, &[listed(7, "e")]).expect("the same");
        compare("acme", &sent, &[listed(7, "")]).expect("a store that lists no ETags");
        for (there, words) in [
            (vec![], "not there"),
            (vec![listed(6, "e")], "has 6 bytes, not 7"),
            (vec![listed(7, "f")], "ETag is f, not e"),
        ] {
            let error = compare("acme", &sent, &there).expect_err("refused");
            assert!(
                matches!(error, BackupError::Differs { .. }) && error.to_string().contains(words),
                "{error}"
            );
        }
    }
}
