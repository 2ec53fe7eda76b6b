//! The step: this instance becomes the owner.

use std::time::Duration;

use super::error::ManifestError;
use super::protocol::{Claim, Claimed, publish, renew};
use super::types::{Manifest, Origin};
use super::{Held, NAME, Pointer};
use crate::container::Running;
use crate::disk::{self, DataVolume};
use crate::host::Host;
use crate::instance::Identity;
use crate::network::{self, AttachedEni};
use crate::report::Step;
use crate::restore::Fresh;

/// Conditional writes meet others for moments; an outage of S3 is the next run's matter.
const DEADLINE: Duration = Duration::from_mins(2);

/// Evidence: the manifest names this instance, and nobody else can publish.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::manifest::Owned;
/// fn forge(evidence: Owned) -> Owned { Owned { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::manifest::Owned;
/// fn hand_on(evidence: Owned) -> Owned { evidence }
/// ```
#[derive(Debug)]
pub struct Owned {
    eni: AttachedEni,
    running: Running,
    volume: DataVolume,
    restored: disk::Restored,
    /// Of the manifest as this instance wrote it: the condition of its next publication.
    etag: String,
    /// It was ours already.
    kept: bool,
}

impl Owned {
    pub const fn generation(&self) -> u64 {
        self.restored.generation
    }
    /// A second run, or a run after a reboot: no new generation was taken.
    pub const fn was_kept(&self) -> bool {
        self.kept
    }
    pub fn etag(&self) -> &str {
        &self.etag
    }
    /// What was restored; `None`: an empty database.
    pub fn backup_id(&self) -> Option<&str> {
        self.restored.backup_id.as_deref()
    }
    pub(crate) fn into_parts(self) -> (AttachedEni, Running, DataVolume, disk::Restored) {
        (self.eni, self.running, self.volume, self.restored)
    }
}

/// How often the fence may move under us: each time the one whose backup was restored has published once more.
/// Who retires publishes once.
const MOVES: u32 = 3;

/// Takes the fence: generation + 1 under a nonce that the volume remembers first, so that a run which is
/// killed right after the write knows its own writing again. Where the data was kept, the generation is ours and is
/// written once more. Where the manifest moved on meanwhile, `again` brings what it names now.
pub async fn take_over<E: From<ManifestError>>(
    host: &Host,
    me: &Identity,
    mut fresh: Fresh,
    eni: AttachedEni,
    again: impl AsyncFn(Fresh, &AttachedEni) -> Result<Fresh, E>,
) -> Result<Owned, E> {
    let mut moves = 0;
    let (restored, etag, kept) = loop {
        match take(host, me, &fresh).await {
            Ok(taken) => break taken,
            Err(error @ ManifestError::Moved { .. }) if moves < MOVES => {
                moves += 1;
                host.status.say(Step::TakeOver, format!("goes back to refresh: {error}"));
                fresh = again(fresh, &eni).await?;
            }
            Err(error) => return Err(error.into()),
        }
    };
    let (running, volume) = fresh.into_running();
    Ok(Owned { eni, running, volume, restored, etag, kept })
}

/// What was restored, the ETag of the manifest, and whether both were ours already.
async fn take(
    host: &Host,
    me: &Identity,
    fresh: &Fresh,
) -> Result<(disk::Restored, String, bool), ManifestError> {
    let key = fresh.store().settings().key(NAME);
    let volume = fresh.volume();
    let before = volume.reread().map_err(|e| unwritten(0, e))?;
    let mut record = before.clone();
    // From here on clients may write: the counts of the last clean stop are history.
    record.clean_stop = None;
    record.served = Some(fresh.running().process().clone());
    record.ended_in_order = false;
    if fresh.is_kept()
        && let Held::Pointer(pointer) = fresh.held()
        && let Some(restored) = &mut record.restored
    {
        let Claimed { etag, generation } = still_ours(host, fresh, pointer).await?;
        restored.taken = true;
        let restored = restored.clone();
        if record != before {
            volume.write_record(&record).map_err(|e| unwritten(generation, e))?;
        }
        tracing::info!(generation, "generation {generation} of the manifest is ours already");
        return Ok((restored, etag, true));
    }
    let claim = Claim::new(me.instance_id());
    let next = next(host, fresh, &claim);
    let mut restored = disk::Restored {
        backup_id: fresh.backup_id().map(str::to_owned),
        from: fresh.from().map(ToString::to_string),
        generation: next.generation,
        nonce: claim.nonce.clone(),
        mode: fresh.mode().to_owned(),
        bytes: fresh.manifest().bytes(),
        collections: crate::restore::to_record(&fresh.seen().collections),
        verified: true,
        taken: false,
    };
    record.restored = Some(restored.clone());
    let unwritten = |error| unwritten(next.generation, error);
    let synced = fresh.synced().map_err(unwritten)?;
    volume.write_of_data(&record, &synced).map_err(unwritten)?;
    if fresh.store().settings().unfenced {
        host.status.warn("`backup.unfenced` is set: where the store knows no conditional writes, nothing fences the manifest");
    }
    host.status.say(Step::TakeOver, format!("takes generation {}", next.generation));
    let claimed = publish(fresh.store(), &key, fresh.held(), &next, &claim, DEADLINE).await?;
    tracing::info!(generation = claimed.generation, "took generation {} of the manifest", claimed.generation);
    restored.taken = true;
    record.restored = Some(restored.clone());
    volume.write_of_data(&record, &synced).map_err(unwritten)?;
    Ok((restored, claimed.etag, false))
}

/// Data that was kept: the generation is ours already. Behind an open door nothing was taken up again: it has been shown
/// all the time, and an agent that is started anew must not need a write for it.
async fn still_ours(host: &Host, fresh: &Fresh, own: &Pointer) -> Result<Claimed, ManifestError> {
    let generation = own.manifest.generation;
    if network::is_open(host).await {
        return Ok(Claimed { etag: own.etag.clone(), generation });
    }
    host.status.say(Step::TakeOver, format!("writes generation {generation} once more"));
    renew(fresh.store(), own, DEADLINE).await
}

fn unwritten(generation: u64, source: disk::DiskError) -> ManifestError {
    ManifestError::Record { generation, source: Box::new(source) }
}

/// The manifest as it will be. Whatever a backup was found to hold that nobody counted when it was made is written down for the next.
fn next(host: &Host, fresh: &Fresh, claim: &Claim) -> Manifest {
    let held = match fresh.held() {
        Held::Pointer(pointer) => pointer.manifest.generation,
        Held::Nothing => 0,
    };
    let mut next =
        fresh.from().map_or_else(|| fresh.manifest().clone(), |from| of_elsewhere(host, fresh, from));
    next.schema = 1;
    next.generation = held.max(next.generation) + 1;
    next.owner = Some(claim.instance_id.clone());
    next.nonce = Some(claim.nonce.clone());
    next.renewed = 0;
    next.agent = Some(env!("CARGO_PKG_VERSION").to_owned());
    if next.backup_id.is_none() {
        let now = host.now().to_string();
        next.bucket = Some(fresh.store().bucket().to_owned());
        next.path = Some(fresh.store().settings().prefix.clone());
        next.created = Some(now.clone());
        next.completed = Some(now);
        next.checksum = Some(super::checksum(&next.objects));
    }
    if fresh.manifest().unverified || fresh.manifest().adopted {
        next.collections.clone_from(&fresh.seen().collections);
        next.aliases = fresh.seen().aliases.iter().map(super::Alias::from).collect();
    }
    next
}

/// Of a node that was restored from another environment's backup: no backup of its own, and what it holds all the same,
/// so that the first one can be compared with that.
fn of_elsewhere(host: &Host, fresh: &Fresh, from: &Origin) -> Manifest {
    let node = &host.settings.node;
    let Manifest { collections, aliases, server, .. } = fresh.manifest().clone();
    Manifest {
        deployment: node.deployment.to_string(),
        node: node.name.to_string(),
        from: Some(from.clone()),
        collections,
        aliases,
        server,
        ..Manifest::default()
    }
}
