//! What is to be done on this volume, and bringing the bytes to it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::choose::Choice;
use super::descriptor::{GLOBAL, Global, PROBE, RESTORE};
use super::error::RestoreError;
use crate::manifest::{Manifest, checksum};
use crate::report::Status;
use crate::store::{self, Fetched, Limits, Store, Tree, Wanted};

/// What the volume remembers of an earlier restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub backup_id: Option<String>,
    pub generation: u64,
    pub nonce: String,
    pub verified: bool,
}

/// What the decision is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub instance_id: String,
    pub remembered: Option<Remembered>,
    /// Of the manifest that lies in the bucket; all `None` and 0 where there is none.
    pub owner: Option<String>,
    pub nonce: Option<String>,
    pub generation: u64,
    /// The backup that was chosen.
    pub backup_id: Option<String>,
    /// Choosing ended in a refusal, which counts unless the data is here already.
    pub refused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The data on the volume is ours and the latest: a reboot, or a second run.
    Keep {
        generation: u64,
    },
    Restore {
        backup: String,
    },
    Empty,
    Refuse,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep { generation } => {
                write!(f, "keep the data on the volume: generation {generation} is ours")
            }
            Self::Restore { backup } => write!(f, "restore {backup}"),
            Self::Empty => f.write_str("start empty"),
            Self::Refuse => f.write_str("refuse"),
        }
    }
}

/// Data is kept only if owner, nonce and generation of the manifest are still those that this volume's record
/// holds: then nobody else has served since, and what clients wrote here is nowhere else.
pub fn decide(facts: &Facts) -> Plan {
    if let Some(remembered) = &facts.remembered
        && remembered.verified
        && facts.owner.as_deref() == Some(&facts.instance_id)
        && facts.nonce.as_deref() == Some(&remembered.nonce)
        && facts.generation == remembered.generation
    {
        return Plan::Keep { generation: facts.generation };
    }
    match &facts.backup_id {
        _ if facts.refused => Plan::Refuse,
        Some(backup) => Plan::Restore { backup: backup.clone() },
        None => Plan::Empty,
    }
}

impl Facts {
    pub fn new(instance_id: &str, remembered: Option<Remembered>, choice: &Choice) -> Self {
        use crate::manifest::Held;
        let pointer = match &choice.held {
            Held::Pointer(pointer) => Some(&pointer.manifest),
            Held::Nothing => None,
        };
        Self {
            instance_id: instance_id.to_owned(),
            remembered,
            owner: pointer.and_then(|m| m.owner.clone()),
            nonce: pointer.and_then(|m| m.nonce.clone()),
            generation: pointer.map_or(0, |m| m.generation),
            backup_id: choice.manifest.backup_id.clone(),
            refused: choice.refusal.is_some(),
        }
    }
}

/// Brings all objects of `manifest` into `backups`, and returns the manifest with the checksums found.
pub async fn bring(
    store: &Store,
    backups: &Tree,
    mount: &Path,
    node: &str,
    mut manifest: Manifest,
    connections: u32,
    status: &Status,
) -> Result<Manifest, RestoreError> {
    let id = manifest.backup_id.clone().unwrap_or_default();
    let wanted: Vec<Wanted> = manifest
        .objects
        .iter()
        .filter(|object| !is_result(&object.key))
        .map(|object| Wanted {
            key: object.key.clone(),
            size: object.size,
            sha256: Some(object.sha256.clone()).filter(|s| !s.is_empty()),
            etag: object.etag.clone(),
            path: PathBuf::from(manifest.relative(&object.key)),
        })
        .collect();
    let total: u64 = wanted.iter().map(|w| w.size).sum();
    for link in &manifest.chain {
        // A result of an earlier run here, or of the machine that made the backup.
        backups.remove(&Path::new(link).join(RESTORE))?;
    }
    let limits = Limits::new(usize::try_from(connections).unwrap_or(16));
    let progress = Progress::new(status.clone(), id.clone(), total);
    let bytes = store::fetch(store, backups, &wanted, limits, move |n| progress.moved(n));
    let (fetched, ()) = tokio::try_join!(
        async { bytes.await.map_err(RestoreError::from) },
        preflight(store, mount, node, &manifest, total, backups)
    )?;
    check_descriptor(backups, node, &manifest)?;
    if manifest.unverified {
        keep_checksums(&mut manifest, &fetched);
    }
    let reused = fetched.iter().filter(|f| f.reused).count();
    tracing::info!(backup = id, bytes = total, objects = fetched.len(), reused, "staged");
    Ok(manifest)
}

fn is_result(key: &str) -> bool {
    matches!(key.rsplit('/').next(), Some(RESTORE | PROBE))
}

/// Refuses before the disk is full: staged bytes and restored data lie on it at the same time.
async fn preflight(
    store: &Store,
    mount: &Path,
    node: &str,
    manifest: &Manifest,
    total: u64,
    backups: &Tree,
) -> Result<(), RestoreError> {
    let id = manifest.backup_id.clone().unwrap_or_default();
    let key = [manifest.path.as_deref().unwrap_or_default(), GLOBAL].join("/");
    let object = store.get(&key).await?;
    let global = parse(store, &key, &object.bytes)?;
    super::check_nodes(&id, &global, node)?;
    let there: u64 =
        manifest.objects.iter().filter_map(|o| backups.size(Path::new(manifest.relative(&o.key)))).sum();
    let needed = total.saturating_sub(there) + global.pre_compression_size_bytes;
    let free = free(mount)?;
    if free < needed {
        return Err(RestoreError::NoSpace {
            mount: mount.display().to_string(),
            backup: id,
            free: free >> 20,
            needed: needed >> 20,
        });
    }
    Ok(())
}

fn parse(store: &Store, key: &str, bytes: &[u8]) -> Result<Global, RestoreError> {
    serde_json::from_slice(bytes).map_err(|error| RestoreError::Descriptor {
        bucket: store.bucket().to_owned(),
        key: key.to_owned(),
        what: error.to_string(),
    })
}

/// Bytes that a program without privileges could still write at `mount`.
pub fn free(mount: &Path) -> Result<u64, RestoreError> {
    let space = nix::sys::statvfs::statvfs(mount)
        .map_err(|errno| RestoreError::Space { mount: mount.display().to_string(), source: errno.into() })?;
    Ok(space.blocks_available() * space.fragment_size())
}

/// The bytes that were checked must be a backup that this node can restore.
fn check_descriptor(backups: &Tree, node: &str, manifest: &Manifest) -> Result<(), RestoreError> {
    let id = manifest.backup_id.as_deref().unwrap_or_default();
    let path = Path::new(id).join(GLOBAL);
    let bucket = manifest.bucket.clone().unwrap_or_default();
    let key = [manifest.path.as_deref().unwrap_or_default(), GLOBAL].join("/");
    let malformed =
        |what: String| RestoreError::Descriptor { bucket: bucket.clone(), key: key.clone(), what };
    let bytes =
        backups.read_all(&path)?.ok_or_else(|| malformed("it is not among the objects".to_owned()))?;
    let global: Global = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    if let Some(why) = global.unusable(id) {
        return Err(malformed(why));
    }
    super::check_nodes(id, &global, node)
}

/// A backup without checksums gets those of the bytes that arrived, so that its next reader sees what this one
/// saw. It stays marked.
fn keep_checksums(manifest: &mut Manifest, fetched: &[Fetched]) {
    for object in &mut manifest.objects {
        if let Some(found) = fetched.iter().find(|f| f.key == object.key) {
            object.sha256.clone_from(&found.sha256);
        }
    }
    manifest.checksum = Some(checksum(&manifest.objects));
}

/// For `direct`: whether every object is there with its size and ETag. What the server reads then, nobody sees.
pub async fn compare(store: &Store, manifest: &Manifest) -> Result<(), RestoreError> {
    let mut listed = std::collections::BTreeMap::new();
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
            return Err(store::StoreError::Absent { bucket, key }.into());
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

/// Says how far it is, at most twice a second.
struct Progress {
    status: Status,
    backup: String,
    total: u64,
    moved: AtomicU64,
    begun: Instant,
    /// In milliseconds since `begun`.
    said: AtomicU64,
}

impl Progress {
    fn new(status: Status, backup: String, total: u64) -> Arc<Self> {
        let begun = Instant::now();
        Arc::new(Self { status, backup, total, moved: 0.into(), begun, said: 0.into() })
    }

    fn moved(&self, bytes: u64) {
        let moved = self.moved.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let said = self.said.load(Ordering::Relaxed);
        let due = now >= said + 500
            && self.said.compare_exchange(said, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if due {
            let (moved, total) = (moved >> 20, self.total >> 20);
            self.status.say("stage", format!("{}: {moved} of {total} MiB", self.backup));
        } else {
            self.status.alive();
        }
    }
}
