//! Which backup: the manifest; else the newest copy; else, if allowed, the newest descriptor; else, if allowed
//! and never by accident, none.

use std::fmt;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::error::RestoreError;
use super::settings::Unverified;
use super::unverified;
use crate::manifest::{self, Held, Manifest, ManifestError, Pointer};
use crate::store::Store;

/// Copies and descriptors that are read at a time: at some 30 ms for a first byte 250 a second.
const READS: usize = 8;
/// The newest copies are read and compared by their own time; older ones are not: the bucket's clock and ours would
/// have to differ by sixteen backups.
const COPIES: usize = 16;

/// For whom a backup is chosen, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub deployment: String,
    pub node: String,
    pub allow_empty: bool,
    pub unverified: Unverified,
    /// The fixed address's ENI, and whether it has the tag `weaviate:initialized`.
    pub eni: String,
    pub initialized: bool,
    /// The version in the image's tag, where it has one.
    pub image: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub pointer: Option<Pointer>,
    /// The newest copy; looked for only where the pointer names no backup.
    pub copy: Option<Pointer>,
    /// The newest backup that has a descriptor, and why it cannot be used; looked for only without a copy.
    pub descriptor: Option<Described>,
}

/// A backup without a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Described {
    /// Not looked into: the policy refuses it anyway. Holds the descriptor's key.
    Known(String),
    /// Whole: a manifest made from its listing, without checksums.
    Whole(Box<Manifest>),
    /// There are some, and none is whole; why the newest is not.
    Broken(String),
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    UsePointer,
    UseCopy,
    UseUnverified,
    /// Whether a manifest says that a node lived here that had no backup: what it held is lost.
    StartEmpty {
        after: Option<u64>,
    },
    RefuseUnverified,
    RefuseBroken,
    RefuseInitialized,
    RefuseEmpty,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UsePointer => f.write_str("restore what the manifest names"),
            Self::UseCopy => f.write_str("there is no manifest: restore what the newest copy names"),
            Self::UseUnverified => f.write_str("restore a backup without checksums, as allowed"),
            Self::StartEmpty { after: None } => f.write_str("start empty, as allowed"),
            Self::StartEmpty { after: Some(generation) } => write!(
                f,
                "start empty, as allowed: generation {generation} made no backup, what it held is lost"
            ),
            Self::RefuseUnverified => f.write_str("refuse: the only backup has no checksums"),
            Self::RefuseBroken => f.write_str("refuse: no backup is whole"),
            Self::RefuseInitialized => f.write_str("refuse: there was a backup once, and now there is none"),
            Self::RefuseEmpty => f.write_str("refuse: there is no backup"),
        }
    }
}

/// The rules, and nothing else.
pub fn decide(facts: &Facts, wish: &Wish) -> Plan {
    match (&facts.pointer, &facts.copy, &facts.descriptor) {
        (Some(pointer), _, _) if pointer.manifest.backup_id.is_some() => {
            if pointer.manifest.unverified && wish.unverified == Unverified::Refuse {
                Plan::RefuseUnverified
            } else {
                Plan::UsePointer
            }
        }
        (_, Some(copy), _) if copy.manifest.unverified && wish.unverified == Unverified::Refuse => {
            Plan::RefuseUnverified
        }
        (_, Some(_), _) => Plan::UseCopy,
        (_, None, Some(_)) if wish.unverified == Unverified::Refuse => Plan::RefuseUnverified,
        (_, None, Some(Described::Whole(_))) => Plan::UseUnverified,
        (_, None, Some(Described::Known(_) | Described::Broken(_))) => Plan::RefuseBroken,
        (_, None, None) if wish.initialized => Plan::RefuseInitialized,
        (_, None, None) if !wish.allow_empty => Plan::RefuseEmpty,
        (pointer, None, None) => Plan::StartEmpty { after: pointer.as_ref().map(|p| p.manifest.generation) },
    }
}

/// What is restored, or that nothing is.
#[derive(Debug)]
pub struct Choice {
    pub plan: Plan,
    pub manifest: Manifest,
    pub held: Held,
    /// Starting empty is refused, but the data may be on the disk already: the volume's record decides first.
    pub refusal: Option<RestoreError>,
}

/// Looks, and decides.
pub async fn choose(store: &Store, wish: &Wish) -> Result<Choice, RestoreError> {
    let facts = look(store, wish).await?;
    let plan = decide(&facts, wish);
    tracing::info!("chose: {plan}");
    let held = facts.pointer.clone().map_or(Held::Nothing, |pointer| Held::Pointer(Box::new(pointer)));
    let bucket = store.bucket().to_owned();
    let prefix = store.settings().prefix.clone();
    let refusal = match plan {
        Plan::RefuseEmpty => Some(RestoreError::EmptyNotAllowed { bucket, prefix }),
        Plan::RefuseInitialized => Some(RestoreError::Initialized { bucket, prefix, eni: wish.eni.clone() }),
        Plan::RefuseUnverified => {
            let key = match (&facts.copy, &facts.descriptor, &facts.pointer) {
                (Some(copy), _, _) => copy.key.clone(),
                (None, Some(Described::Known(key)), _) => key.clone(),
                (None, _, Some(pointer)) => pointer.key.clone(),
                (None, _, None) => prefix,
            };
            Some(RestoreError::Unverified { bucket, key })
        }
        Plan::RefuseBroken => {
            let why = match &facts.descriptor {
                Some(Described::Broken(why)) => why.clone(),
                _ => String::new(),
            };
            Some(RestoreError::NoneUsable { bucket, prefix, why })
        }
        Plan::UsePointer | Plan::UseCopy | Plan::UseUnverified | Plan::StartEmpty { .. } => None,
    };
    let manifest = match (&plan, facts) {
        (Plan::UseCopy, Facts { copy: Some(copy), .. }) => copy.manifest,
        (Plan::UseUnverified, Facts { descriptor: Some(Described::Whole(manifest)), .. }) => *manifest,
        (_, Facts { pointer: Some(pointer), .. }) => pointer.manifest,
        (_, _) => Manifest {
            schema: 1,
            deployment: wish.deployment.clone(),
            node: wish.node.clone(),
            ..Manifest::default()
        },
    };
    // The volume's record decides first: the data may lie there already.
    if refusal.is_some() {
        return Ok(Choice { plan, manifest, held, refusal });
    }
    check_version(&manifest, wish.image.as_deref())?;
    Ok(Choice { plan, manifest, held, refusal: None })
}

async fn look(store: &Store, wish: &Wish) -> Result<Facts, RestoreError> {
    let key = store.settings().key(manifest::NAME);
    let pointer = manifest::read(store, &key, &wish.deployment, &wish.node).await?;
    if pointer.as_ref().is_some_and(|p| p.manifest.backup_id.is_some()) {
        return Ok(Facts { pointer, ..Facts::default() });
    }
    if let Some(copy) = newest_copy(store, wish).await? {
        return Ok(Facts { pointer, copy: Some(copy), descriptor: None });
    }
    let descriptor = unverified::newest(store, wish).await?;
    Ok(Facts { pointer, copy: None, descriptor })
}

/// A copy that cannot be read or followed is an error: an older one in its place would lose data in silence.
async fn newest_copy(store: &Store, wish: &Wish) -> Result<Option<Pointer>, RestoreError> {
    let mut listed = store.list(&format!("{}/", store.settings().key(manifest::COPIES))).await?;
    listed.retain(|object| std::path::Path::new(&object.key).extension().is_some_and(|e| e == "json"));
    listed.sort_by_key(|object| std::cmp::Reverse(object.modified));
    listed.truncate(COPIES);
    let mut copies: Vec<Pointer> = stream::iter(listed)
        .map(async |object| manifest::read(store, &object.key, &wish.deployment, &wish.node).await)
        .buffer_unordered(READS)
        .try_filter_map(async |copy| {
            Ok::<_, ManifestError>(
                copy.filter(|c| c.manifest.backup_id.is_some() && c.manifest.held_back.is_none()),
            )
        })
        .try_collect()
        .await?;
    copies.sort_by_key(|copy| (time(copy.manifest.completed.as_deref()), copy.manifest.generation));
    Ok(copies.pop())
}

/// A time of a manifest or a descriptor; one that cannot be read is the oldest of all.
pub(super) fn time(text: Option<&str>) -> Option<jiff::Timestamp> {
    text.and_then(|t| t.parse().ok())
}

/// An older server accepts a newer one's backup and may lose files in silence: it compares the major version of the
/// backup's structure only (Weaviate 1.39.0, usecases/backup, `checkRestorableVersion`).
pub fn check_version(manifest: &Manifest, running: Option<&str>) -> Result<(), RestoreError> {
    use crate::weaviate::descriptor::release;
    let made = &manifest.server.version;
    if let (Some(id), Some(running)) = (&manifest.backup_id, running)
        && let (Some(of_backup), Some(of_server)) = (release(made), release(running))
        && of_backup > of_server
    {
        return Err(RestoreError::NewerServer {
            backup: id.clone(),
            made: made.clone(),
            running: running.to_owned(),
        });
    }
    Ok(())
}
