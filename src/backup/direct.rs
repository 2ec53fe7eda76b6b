//! `backup.mode = "direct"`: the server writes into the bucket itself, and when it is done every byte is read back.
//!
//! ```text
//! ordered ─┬─ the server packs and sends ────────▶ SUCCESS ─▶ listed ─▶ every object hashed ─▶ descriptors ─▶ Carried
//!          └─ listed again and again: it moves
//! ```
//!
//! The checksums are of what the bucket holds, not of what the server read from its disk: what was damaged on the way
//! there is found by the counts and samples of a restore or of a drill, and by nothing before.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};

use super::Job;
use super::carry::Carried;
use super::described::{Backup, Described};
use super::error::BackupError;
use crate::hex::hex;
use crate::manifest::Object;
use crate::report::Work;
use crate::store::{Limits, Listed, StoreError, read};
use crate::weaviate::descriptor::{GLOBAL, NODE, PROBE, RESTORE};

/// Between two looks at what has come: a listing of a hundred thousand objects is a hundred requests.
const LOOK: Duration = Duration::from_secs(5);

/// Waits until `server` has ended, and reads what it wrote. `moved` says how many bytes have come.
pub async fn collect<T>(
    job: &Job<'_>,
    backup: &Backup<'_>,
    server: impl Future<Output = Result<T, BackupError>>,
    moved: &Arc<AtomicU64>,
) -> Result<(Carried, T), BackupError> {
    let mut server = pin!(server);
    let ended = loop {
        tokio::select! {
            ended = &mut server => break ended?,
            () = look(job, backup, moved) => {}
        }
    };
    let mut there = BTreeMap::new();
    for object in hashed(job, backup, moved).await? {
        there.insert(object.key.clone(), object);
    }
    let (global, node) = (GLOBAL.to_owned(), format!("{}/{NODE}", backup.node));
    let (global, node) = (word(job, backup, &there, &global).await?, word(job, backup, &there, &node).await?);
    let Described { global, of_base, shards } = backup.described(&global, &node, &there)?;
    Ok((Carried { objects: there.into_values().collect(), of_base, global, shards }, ended))
}

/// What has come so far; a store that does not answer is met by the server as well, which ends over it or does not.
async fn look(job: &Job<'_>, backup: &Backup<'_>, moved: &AtomicU64) {
    tokio::time::sleep(LOOK).await;
    match listed(job, backup).await {
        Ok(objects) => {
            let all = objects.iter().map(|object| object.size).sum();
            moved.store(all, Ordering::Relaxed);
            job.status()
                .count(Work::Backup, format!("the server has written {} MiB to the bucket", all >> 20));
        }
        Err(error) => tracing::debug!(%error, "what the server has written cannot be seen: {error}"),
    }
}

/// The backup's own, without what a restore or the server's probe leaves there.
async fn listed(job: &Job<'_>, backup: &Backup<'_>) -> Result<Vec<Listed>, StoreError> {
    let mut listed = job.store.list(&format!("{}/", backup.key)).await?;
    listed.retain(|object| !matches!(object.key.rsplit('/').next(), Some(RESTORE | PROBE)));
    Ok(listed)
}

async fn hashed(job: &Job<'_>, backup: &Backup<'_>, moved: &AtomicU64) -> Result<Vec<Object>, BackupError> {
    let listed = listed(job, backup).await?;
    let total: u64 = listed.iter().map(|object| object.size).sum();
    moved.store(0, Ordering::Relaxed);
    let store = job.store.paced(job.host.settings.making.rate);
    let limits = Limits::new(job.host.settings.making.connections as usize);
    let told = |bytes: u64| {
        let all = moved.fetch_add(bytes, Ordering::Relaxed) + bytes;
        job.status().count(Work::Backup, format!("read {} of {} MiB back", all >> 20, total >> 20));
    };
    stream::iter(listed)
        .map(async |Listed { key, size, etag, modified: _ }| {
            let content = read(&store, &key, size, limits, told).await?;
            let etag = Some(etag).filter(|etag| !etag.is_empty());
            let other = serde_json::Map::new();
            Ok::<_, BackupError>(Object { key, size, sha256: content.sha256, etag, version_id: None, other })
        })
        .buffer_unordered(limits.connections)
        .try_collect()
        .await
}

/// A descriptor, which must be what was hashed.
async fn word(
    job: &Job<'_>,
    backup: &Backup<'_>,
    there: &BTreeMap<String, Object>,
    below: &str,
) -> Result<Vec<u8>, BackupError> {
    let key = format!("{}/{below}", backup.key);
    let known = there.get(&key).ok_or_else(|| backup.incomplete(format!("{key} is not there")))?;
    let found = job.store.get(&key).await?;
    if hex(&Sha256::digest(&found.bytes)) != known.sha256 {
        let (bucket, what) = (job.store.bucket().to_owned(), "somebody writes to it".to_owned());
        return Err(StoreError::Corrupt { bucket, key, what }.into());
    }
    Ok(found.bytes.into())
}
