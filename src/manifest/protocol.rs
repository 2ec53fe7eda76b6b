//! Taking the fence, and publishing behind it: one conditional PUT, and what its answers mean.

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::Instant;

use super::Pointer;
use super::error::ManifestError;
use super::types::Manifest;
use crate::hex::hex;
use crate::store::{Condition, Store, StoreError};

/// What this instance wants to write: who it is, and the nonce by which it knows its own writing again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub instance_id: String,
    pub nonce: String,
}

impl Claim {
    /// With a nonce that nobody else has: 128 random bits.
    pub fn new(instance_id: &str) -> Self {
        let nonce: [u8; 16] = rand::rng().random();
        Self { instance_id: instance_id.to_owned(), nonce: hex(&nonce) }
    }

    fn wrote(&self, manifest: &Manifest) -> bool {
        manifest.owner.as_deref() == Some(&self.instance_id) && manifest.nonce.as_deref() == Some(&self.nonce)
    }
}

/// What was restored from, and so what the fence is expected to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// There was no pointer.
    Nothing,
    Pointer(Box<Pointer>),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is ours already: an earlier run's, or this one's whose answer was lost.
    Owned {
        etag: String,
        generation: u64,
    },
    Write(Condition),
    /// Another instance took it.
    Lost {
        owner: String,
        generation: u64,
    },
    /// The one whose backup was restored published again.
    Moved {
        generation: u64,
        backup: String,
    },
    /// There was one, and now there is none.
    Vanished,
}

/// Compares what was restored from with what lies there now.
pub fn decide(held: &Held, now: Option<&Pointer>, claim: &Claim) -> Decision {
    match (held, now) {
        (_, Some(now)) if claim.wrote(&now.manifest) => {
            Decision::Owned { etag: now.etag.clone(), generation: now.manifest.generation }
        }
        (Held::Nothing, None) => Decision::Write(Condition::IfAbsent),
        (Held::Pointer(_), None) => Decision::Vanished,
        (Held::Pointer(held), Some(now)) if held.etag == now.etag => {
            Decision::Write(Condition::IfMatch(now.etag.clone()))
        }
        (Held::Pointer(held), Some(now)) if held.manifest.generation == now.manifest.generation => {
            moved(&now.manifest)
        }
        (Held::Nothing | Held::Pointer(_), Some(now)) => match &now.manifest.owner {
            Some(owner) if *owner != claim.instance_id => {
                Decision::Lost { owner: owner.clone(), generation: now.manifest.generation }
            }
            // Nobody's, or an earlier nonce of this same instance: newer than what was restored, not stolen.
            Some(_) | None => moved(&now.manifest),
        },
    }
}

fn moved(now: &Manifest) -> Decision {
    Decision::Moved {
        generation: now.generation,
        backup: now.backup_id.clone().unwrap_or_else(|| "none".to_owned()),
    }
}

/// The fence, taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub etag: String,
    pub generation: u64,
}

/// Takes the fence: writes `next` where `held` was. Answers that got lost are told from refusals by reading the nonce.
pub async fn publish(
    store: &Store,
    key: &str,
    held: &Held,
    next: &Manifest,
    claim: &Claim,
    deadline: Duration,
) -> Result<Claimed, ManifestError> {
    let decide = |now: Option<&Pointer>| decide(held, now, claim);
    Box::pin(write_where(store, key, next, deadline, first(held, claim), decide)).await
}

/// What an owner does who publishes again under its own nonce: a pure function of what it wrote last and what lies there.
pub fn decide_again(own: &Pointer, now: Option<&Pointer>, next: &Manifest) -> Decision {
    let Some(now) = now else { return Decision::Vanished };
    let Pointer { manifest, etag, key: _ } = now;
    // First of all: what is written may say nothing that was not said before, and still has to be written.
    if *etag == own.etag {
        return Decision::Write(Condition::IfMatch(etag.clone()));
    }
    if (&manifest.owner, &manifest.nonce) != (&own.manifest.owner, &own.manifest.nonce) {
        let owner = manifest.owner.clone().unwrap_or_else(|| "nobody".to_owned());
        return Decision::Lost { owner, generation: manifest.generation };
    }
    if (&manifest.backup_id, &manifest.marker) == (&next.backup_id, &next.marker) {
        return Decision::Owned { etag: etag.clone(), generation: manifest.generation };
    }
    moved(manifest)
}

/// Publishes `next` in the place of `own`, which this owner wrote itself.
pub async fn publish_again(
    store: &Store,
    own: &Pointer,
    next: &Manifest,
    deadline: Duration,
) -> Result<Claimed, ManifestError> {
    let first = Decision::Write(Condition::IfMatch(own.etag.clone()));
    let decide = |now: Option<&Pointer>| decide_again(own, now, next);
    Box::pin(write_where(store, &own.key, next, deadline, first, decide)).await
}

/// The same generation under the same nonce, and other bytes.
fn renewed(own: &Manifest) -> Manifest {
    Manifest { renewed: own.renewed + 1, ..own.clone() }
}

/// Writes once more what this owner wrote itself, before what it had kept is shown again. To have read that it is ours is
/// not enough: a successor that read the same before it lost the interface to us may have its write under way. Other
/// bytes have another ETag, and that write is refused.
pub async fn renew(store: &Store, own: &Pointer, deadline: Duration) -> Result<Claimed, ManifestError> {
    publish_again(store, own, &renewed(&own.manifest), deadline).await
}

/// Writes to a `.tmp` key first, reads it back, then the conditional PUT, for as long as `decide` says so.
async fn write_where(
    store: &Store,
    key: &str,
    next: &Manifest,
    deadline: Duration,
    first: Decision,
    decide: impl Fn(Option<&Pointer>) -> Decision,
) -> Result<Claimed, ManifestError> {
    let end = Instant::now() + deadline;
    let bytes = serde_json::to_vec(next).map_err(|error| ManifestError::Malformed {
        bucket: store.bucket().to_owned(),
        key: key.to_owned(),
        what: error.to_string(),
    })?;
    // What lies there was read a moment ago: the first try needs no look.
    let mut decision = first;
    loop {
        let (bucket, key) = (store.bucket().to_owned(), key.to_owned());
        let condition = match decision {
            Decision::Owned { etag, generation } => return Ok(Claimed { etag, generation }),
            Decision::Write(condition) => condition,
            Decision::Lost { owner, generation } => {
                return Err(ManifestError::Lost { bucket, key, owner, generation });
            }
            Decision::Moved { generation, backup } => {
                return Err(ManifestError::Moved { bucket, key, generation, backup });
            }
            Decision::Vanished => return Err(ManifestError::Vanished { bucket, key }),
        };
        match write(store, &key, &bytes, &condition).await {
            Ok(etag) => return Ok(Claimed { etag, generation: next.generation }),
            // Each of these may hide a write that succeeded: look.
            Err(ManifestError::Store(
                StoreError::Precondition { .. }
                | StoreError::Absent { .. }
                | StoreError::Conflict { .. }
                | StoreError::Unreachable { .. },
            )) => {}
            Err(error) => return Err(error),
        }
        if Instant::now() >= end {
            return Err(ManifestError::Deadline { bucket, key });
        }
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(100..500))).await;
        let now = super::read(store, &key, &next.deployment, &next.node).await?;
        decision = decide(now.as_ref());
    }
}

fn first(held: &Held, claim: &Claim) -> Decision {
    match held {
        Held::Nothing => decide(held, None, claim),
        Held::Pointer(pointer) => decide(held, Some(pointer), claim),
    }
}

/// S3 has no rename, but one PUT is atomic; the `.tmp` proves beforehand that what is sent is what is stored.
async fn write(
    store: &Store,
    key: &str,
    bytes: &[u8],
    condition: &Condition,
) -> Result<String, ManifestError> {
    let temporary = format!("{key}.tmp");
    store.put(&temporary, bytes.to_vec(), &Condition::Always).await?;
    if store.get(&temporary).await?.bytes != bytes {
        return Err(ManifestError::ReadBack { bucket: store.bucket().to_owned(), key: temporary });
    }
    // S3 honours conditions; of another store this is seen, once, before the fence depends on it: the `.tmp` is there.
    if store.settings().endpoint.is_some() {
        match store.put(&temporary, bytes.to_vec(), &Condition::IfAbsent).await {
            Err(StoreError::Precondition { .. }) => {}
            Ok(_) if store.settings().unfenced => return unfenced(store, key, bytes, condition).await,
            Ok(_) => {
                let bucket = store.bucket().to_owned();
                return Err(StoreError::Unconditional { bucket, key: temporary }.into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(store.put(key, bytes.to_vec(), condition).await?)
}

/// `backup.unfenced`: what the store does not compare is compared here, right before the write and right after it. Of two
/// that write at the same moment one may be overwritten unseen: what keeps two instances apart is the interface alone.
async fn unfenced(
    store: &Store,
    key: &str,
    bytes: &[u8],
    condition: &Condition,
) -> Result<String, ManifestError> {
    let (bucket, key_of) = (store.bucket().to_owned(), key.to_owned());
    tracing::warn!(
        "{bucket} knows no conditional writes, and `backup.unfenced` allows that: nothing fences {key}"
    );
    let there = match store.get(key).await {
        Ok(object) => Some(object.etag),
        Err(StoreError::Absent { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let holds = match condition {
        Condition::Always => true,
        Condition::IfAbsent => there.is_none(),
        Condition::IfMatch(etag) => there.as_ref() == Some(etag),
    };
    let changed = || StoreError::Precondition { bucket: bucket.clone(), key: key_of.clone() };
    if !holds {
        return Err(changed().into());
    }
    let etag = store.put(key, bytes.to_vec(), &Condition::Always).await?;
    if store.get(key).await?.bytes != bytes {
        return Err(changed().into());
    }
    Ok(etag)
}
