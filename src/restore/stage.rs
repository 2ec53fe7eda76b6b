//! What is to be done on this volume, and bringing the bytes to it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::choose::Choice;
use super::error::RestoreError;
use super::space::{Shortage, Space};
use crate::hex::hex;
use crate::manifest::{Manifest, checksum};
use crate::report::{Status, Step};
use crate::store::{self, Fetched, Limits, Store, Tree, Wanted};
use crate::weaviate::descriptor::{GLOBAL, Global, NODE, Node, PROBE, RESTORE};

/// What the volume remembers of an earlier restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub backup_id: Option<String>,
    pub generation: u64,
    pub nonce: String,
    pub verified: bool,
    /// The manifest was written, not only meant to be.
    pub taken: bool,
}

/// What the decision is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub instance_id: String,
    pub remembered: Option<Remembered>,
    /// Whether a manifest lies in the bucket.
    pub pointer: bool,
    /// Of that manifest; all `None` and 0 where there is none.
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
    /// The data on the volume is ours, and the manifest that says so is gone: somebody removed it, or the prefix
    /// is another one. Whatever is chosen instead is older than what lies here.
    RefuseGone {
        generation: u64,
    },
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
            Self::RefuseGone { generation } => {
                write!(f, "refuse: the manifest of generation {generation}, which lies here, is gone")
            }
        }
    }
}

/// Data is kept only if owner, nonce and generation of the manifest are still those that this volume's record
/// holds: then nobody else has served since, and what clients wrote here is nowhere else.
pub fn decide(facts: &Facts) -> Plan {
    if let Some(remembered) = &facts.remembered
        && remembered.verified
        && remembered.taken
        && !facts.pointer
    {
        return Plan::RefuseGone { generation: remembered.generation };
    }
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
            pointer: pointer.is_some(),
            owner: pointer.and_then(|m| m.owner.clone()),
            nonce: pointer.and_then(|m| m.nonce.clone()),
            generation: pointer.map_or(0, |m| m.generation),
            backup_id: choice.manifest.backup_id.clone(),
            refused: choice.refusal.is_some(),
        }
    }
}

/// Where the bytes go, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub backups: &'a Tree,
    pub mount: &'a Path,
    pub node: &'a str,
    /// Bytes in `data/` that go before the restore.
    pub goes: u64,
    pub limits: Limits,
    /// The collections that will be unpacked, where it is not all of them.
    pub only: Option<&'a BTreeSet<String>>,
}

/// Brings all objects of `manifest` into `backups`, and returns the manifest with the checksums found.
pub async fn bring(
    store: &Store,
    place: Place<'_>,
    mut manifest: Manifest,
    status: &Status,
) -> Result<Manifest, RestoreError> {
    let Place { backups, mount, node, goes, limits, only } = place;
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
    let space = {
        let (backups, mount, manifest) = (backups.clone(), mount.to_owned(), manifest.clone());
        super::blocking(move || {
            clear(&backups, &manifest)?;
            // Measured before the first byte comes: the transfers change it.
            Space::look(&mount, &backups, &manifest, goes)
        })
        .await?
    };
    let progress = Progress::new(status.clone(), id.clone(), total);
    let bytes = store::fetch(store, backups, &wanted, limits, move |n| progress.moved(n));
    let (fetched, ()) = tokio::try_join!(
        async { bytes.await.map_err(RestoreError::from) },
        preflight(store, mount, node, &manifest, space, only)
    )?;
    check_descriptor(backups, node, &manifest)?;
    if manifest.unverified {
        keep_checksums(&mut manifest, &fetched);
    }
    let reused = fetched.iter().filter(|f| f.reused).count();
    tracing::info!(
        backup_id = id,
        bytes = total,
        reused,
        "staged {} objects of {id}, {total} bytes",
        fetched.len()
    );
    Ok(manifest)
}

pub(super) fn is_result(key: &str) -> bool {
    matches!(key.rsplit('/').next(), Some(RESTORE | PROBE))
}

/// Removes what is of no use to this restore: other backups' folders, and results of an earlier run here or of the
/// machine that made the backup.
fn clear(backups: &Tree, manifest: &Manifest) -> Result<(), RestoreError> {
    for name in backups.names(Path::new(""))? {
        if !manifest.chain.contains(&name) {
            backups.remove(Path::new(&name))?;
        }
    }
    for link in &manifest.chain {
        backups.remove(&Path::new(link).join(RESTORE))?;
    }
    Ok(())
}

/// Refuses before the disk is full. Beside the transfers: the descriptor's latency is theirs too.
pub(super) async fn preflight(
    store: &Store,
    mount: &Path,
    node: &str,
    manifest: &Manifest,
    space: Space,
    only: Option<&BTreeSet<String>>,
) -> Result<(), RestoreError> {
    let id = manifest.backup_id.clone().unwrap_or_default();
    let global: Global = described(store, manifest, GLOBAL).await?;
    super::check_nodes(&id, &global, node)?;
    let unpacked = match only {
        None => global.pre_compression_size_bytes,
        Some(only) => {
            let of_node: Node = described(store, manifest, &format!("{node}/{NODE}")).await?;
            let sizes = of_node.size_of(only);
            // Descriptors of old servers tell the size of the whole only.
            if sizes == 0 { global.pre_compression_size_bytes } else { sizes }
        }
    };
    match space.shortage(unpacked) {
        None => Ok(()),
        Some(Shortage { there, needed }) => Err(RestoreError::NoSpace {
            mount: mount.display().to_string(),
            backup: id,
            free: there >> 20,
            needed: needed >> 20,
        }),
    }
}

/// What it says is believed of the bytes that were backed up only: with another bit it may name another node, or more
/// room than there is.
fn as_backed_up(
    store: &Store,
    manifest: &Manifest,
    key: &str,
    bytes: &[u8],
) -> Result<(), store::StoreError> {
    let listed = manifest.objects.iter().find(|object| object.key == key);
    let Some(wanted) = listed.map(|object| &object.sha256).filter(|wanted| !wanted.is_empty()) else {
        return Ok(());
    };
    let found = hex(&Sha256::digest(bytes));
    if found == *wanted {
        return Ok(());
    }
    Err(store::StoreError::other_hash(store.bucket(), key, &found, wanted))
}

/// One of the backup's own descriptors, with the bytes that were backed up.
async fn described<T: serde::de::DeserializeOwned>(
    store: &Store,
    manifest: &Manifest,
    name: &str,
) -> Result<T, RestoreError> {
    let key = [manifest.path.as_deref().unwrap_or_default(), name].join("/");
    let object = store.get(&key).await?;
    as_backed_up(store, manifest, &key, &object.bytes)?;
    serde_json::from_slice(&object.bytes).map_err(|error| RestoreError::Descriptor {
        bucket: store.bucket().to_owned(),
        key,
        what: error.to_string(),
    })
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

/// How far it is, how fast, and how long it will take at that pace.
fn rate(moved: u64, total: u64, milliseconds: u64) -> String {
    let per_second = moved.saturating_mul(1000) / milliseconds.max(1);
    let so_far = format!("{} of {} MiB", moved >> 20, total >> 20);
    // The first bytes say nothing of the pace.
    let known = moved >> 20 > 0;
    match total.saturating_sub(moved).checked_div(per_second) {
        Some(left) if known => format!("{so_far}, {} MiB/s, {left} s left", per_second >> 20),
        Some(_) | None => so_far,
    }
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
            self.status.count(Step::Stage, format!("{}: {}", self.backup, rate(moved, self.total, now)));
        } else {
            self.status.alive();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn progress_has_a_pace_and_an_end() {
        let mib = |n: u64| n << 20;
        assert_eq!(rate(mib(50), mib(400), 2000), "50 of 400 MiB, 25 MiB/s, 14 s left");
        assert_eq!(rate(0, mib(400), 0), "0 of 400 MiB");
        assert_eq!(rate(1000, mib(400), 2000), "0 of 400 MiB");
    }
}
