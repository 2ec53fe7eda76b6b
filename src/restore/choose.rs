//! Which backup: the manifest; else the newest copy; else what `restore.from` holds; without that, if allowed, the newest
//! descriptor; else, if allowed and never by accident, none.

use std::fmt;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::elsewhere::{Elsewhere, Share, Unshared};
use super::error::RestoreError;
use super::settings::{Source, Unverified};
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
    /// `restore.from`.
    pub from: Option<Source>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub pointer: Option<Pointer>,
    /// The newest copy; looked for only where the pointer names no backup.
    pub copy: Option<Pointer>,
    /// What `restore.from` holds; looked for only without a backup of this node's own.
    pub elsewhere: Option<Sought>,
    /// The newest backup that has a descriptor, and why it cannot be used; looked for only without a copy, and without
    /// `restore.from`.
    pub descriptor: Option<Described>,
}

impl Facts {
    /// A manifest of this node's own names a backup.
    fn has_own(&self) -> bool {
        self.copy.is_some() || self.pointer.as_ref().is_some_and(|p| p.manifest.backup_id.is_some())
    }
}

/// What another environment has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    Latest(Box<Pointer>),
    Nothing,
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
    /// Another environment's, as `restore.from` says; `after` as below.
    UseSource {
        from: String,
        share: Share,
        after: Option<u64>,
    },
    /// Whether a manifest says that a node lived here that had no backup: what it held is lost.
    StartEmpty {
        after: Option<u64>,
    },
    RefuseUnverified,
    RefuseBroken,
    RefuseInitialized,
    RefuseEmpty,
    /// `restore.from` is set and gives nothing: never empty in its place.
    RefuseSource,
    /// It has a backup, and not what is to be taken of it.
    RefuseShare {
        backup: String,
        why: Unshared,
    },
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UsePointer => f.write_str("restore what the manifest names"),
            Self::UseCopy => f.write_str("there is no manifest: restore what the newest copy names"),
            Self::UseUnverified => f.write_str("restore a backup without checksums, as allowed"),
            Self::UseSource { from, share, after } => {
                write!(f, "restore the latest of {from}")?;
                manifest::write_without(f, &share.left_out)?;
                match after {
                    None => Ok(()),
                    Some(generation) => write!(
                        f,
                        ": generation {generation} made no backup of its own, what it held beside that is lost"
                    ),
                }
            }
            Self::StartEmpty { after: None } => f.write_str("start empty, as allowed"),
            Self::StartEmpty { after: Some(generation) } => write!(
                f,
                "start empty, as allowed: generation {generation} made no backup, what it held is lost"
            ),
            Self::RefuseUnverified => f.write_str("refuse: the only backup has no checksums"),
            Self::RefuseBroken => f.write_str("refuse: no backup is whole"),
            Self::RefuseInitialized => f.write_str("refuse: there was a backup once, and now there is none"),
            Self::RefuseEmpty => f.write_str("refuse: there is no backup"),
            Self::RefuseSource => f.write_str("refuse: `restore.from` gives no backup"),
            Self::RefuseShare { backup, .. } => {
                write!(f, "refuse: {backup} has not what `restore.from` takes of it")
            }
        }
    }
}

/// The rules, and nothing else.
pub fn decide(facts: &Facts, wish: &Wish) -> Plan {
    let refused = |found: &Pointer| found.manifest.unverified && wish.unverified == Unverified::Refuse;
    let after = facts.pointer.as_ref().map(|pointer| pointer.manifest.generation);
    match (&facts.pointer, &facts.copy, &facts.elsewhere, &facts.descriptor) {
        (Some(pointer), ..) if pointer.manifest.backup_id.is_some() => {
            if refused(pointer) {
                Plan::RefuseUnverified
            } else {
                Plan::UsePointer
            }
        }
        (_, Some(copy), ..) if refused(copy) => Plan::RefuseUnverified,
        (_, Some(_), ..) => Plan::UseCopy,
        // A node that had backups of its own and has none: another's data would hide that they are gone.
        (pointer, None, Some(Sought::Latest(_)), _)
            if wish.initialized && pointer.as_ref().is_none_or(|own| own.manifest.from.is_none()) =>
        {
            Plan::RefuseInitialized
        }
        (_, None, Some(Sought::Latest(latest)), _) if refused(latest) => Plan::RefuseUnverified,
        (_, None, Some(Sought::Latest(latest)), _) => {
            let Some(source) = &wish.from else { return Plan::RefuseSource };
            match Share::of(source, &latest.manifest.collections) {
                Ok(share) => Plan::UseSource { from: source.to_string(), share, after },
                Err(why) => {
                    Plan::RefuseShare { backup: latest.manifest.backup_id.clone().unwrap_or_default(), why }
                }
            }
        }
        (_, None, Some(Sought::Nothing), _) => Plan::RefuseSource,
        (_, None, None, Some(_)) if wish.unverified == Unverified::Refuse => Plan::RefuseUnverified,
        (_, None, None, Some(Described::Whole(_))) => Plan::UseUnverified,
        (_, None, None, Some(Described::Known(_) | Described::Broken(_))) => Plan::RefuseBroken,
        (_, None, None, None) if wish.initialized => Plan::RefuseInitialized,
        (_, None, None, None) if !wish.allow_empty => Plan::RefuseEmpty,
        (_, None, None, None) => Plan::StartEmpty { after },
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
pub async fn choose(
    store: &Store,
    elsewhere: Option<&Elsewhere>,
    wish: &Wish,
) -> Result<Choice, RestoreError> {
    let mut facts = look(store, wish, elsewhere.is_none()).await?;
    let held = facts.pointer.clone().map_or(Held::Nothing, |pointer| Held::Pointer(Box::new(pointer)));
    if let Some(elsewhere) = elsewhere.filter(|_| !facts.has_own()) {
        match (elsewhere.latest().await, &facts.pointer) {
            (Ok(found), _) => {
                facts.elsewhere =
                    Some(found.map_or(Sought::Nothing, |latest| Sought::Latest(Box::new(latest))));
            }
            // Somebody has taken this prefix over before, and it may be who asks: then the data lies on the volume, and
            // a source that has gone must not keep it from its clients.
            (Err(error), Some(pointer)) => {
                tracing::warn!(%error, "restore.from cannot be read: {error}");
                let manifest = pointer.manifest.clone();
                return Ok(Choice { plan: Plan::RefuseSource, manifest, held, refusal: Some(error) });
            }
            (Err(error), None) => return Err(error),
        }
    }
    let plan = decide(&facts, wish);
    tracing::info!("chose: {plan}");
    let refusal = refusal(&plan, &facts, wish, store);
    let manifest = match (&plan, facts) {
        (Plan::UseCopy, Facts { copy: Some(copy), .. }) => copy.manifest,
        (Plan::UseUnverified, Facts { descriptor: Some(Described::Whole(manifest)), .. }) => *manifest,
        (Plan::UseSource { share, .. }, Facts { elsewhere: Some(Sought::Latest(latest)), .. }) => {
            share.cut(latest.manifest)
        }
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
    match check_version(&manifest, wish.image.as_deref()) {
        Ok(()) => Ok(Choice { plan, manifest, held, refusal: None }),
        // Another environment may go ahead of this one, whose data lies on the volume.
        Err(error) if matches!(plan, Plan::UseSource { .. }) => {
            Ok(Choice { plan, manifest, held, refusal: Some(error) })
        }
        Err(error) => Err(error),
    }
}

/// Why nothing is restored, in a sentence.
fn refusal(plan: &Plan, facts: &Facts, wish: &Wish, store: &Store) -> Option<RestoreError> {
    let bucket = store.bucket().to_owned();
    let prefix = store.settings().prefix.clone();
    let from = || wish.from.as_ref().map(ToString::to_string).unwrap_or_default();
    match plan {
        Plan::RefuseEmpty => Some(RestoreError::EmptyNotAllowed { bucket, prefix }),
        Plan::RefuseInitialized => Some(RestoreError::Initialized { bucket, prefix, eni: wish.eni.clone() }),
        Plan::RefuseSource => Some(RestoreError::NoSource { from: from() }),
        Plan::RefuseShare { backup, why } => {
            let (backup, from) = (backup.clone(), from());
            let known = match &facts.elsewhere {
                Some(Sought::Latest(latest)) => latest.manifest.names(),
                Some(Sought::Nothing) | None => String::new(),
            };
            Some(match why.clone() {
                Unshared::Unknown(name) => RestoreError::SourceWithout { from, backup, name, known },
                Unshared::NothingLeft => RestoreError::NothingLeft { from, backup, known },
            })
        }
        Plan::RefuseUnverified => {
            let (bucket, key) = match (&facts.copy, &facts.elsewhere, &facts.descriptor, &facts.pointer) {
                (Some(copy), ..) => (bucket, copy.key.clone()),
                (None, Some(Sought::Latest(latest)), ..) => {
                    (wish.from.as_ref().map_or(bucket, |from| from.bucket.clone()), latest.key.clone())
                }
                (None, _, Some(Described::Known(key)), _) => (bucket, key.clone()),
                (None, .., Some(pointer)) => (bucket, pointer.key.clone()),
                (None, .., None) => (bucket, prefix),
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
        Plan::UsePointer
        | Plan::UseCopy
        | Plan::UseUnverified
        | Plan::UseSource { .. }
        | Plan::StartEmpty { .. } => None,
    }
}

/// What this node has itself; `described`, whether a backup without a manifest counts.
async fn look(store: &Store, wish: &Wish, described: bool) -> Result<Facts, RestoreError> {
    let key = store.settings().key(manifest::NAME);
    let pointer = manifest::read(store, &key, &wish.deployment, &wish.node).await?;
    let mut facts = Facts { pointer, ..Facts::default() };
    if facts.has_own() {
        return Ok(facts);
    }
    facts.copy = newest_copy(store, &wish.deployment, &wish.node).await?;
    if facts.copy.is_none() && described {
        facts.descriptor = unverified::newest(store, wish).await?;
    }
    Ok(facts)
}

/// A copy that cannot be read or followed is an error: an older one in its place would lose data in silence.
pub(super) async fn newest_copy(
    store: &Store,
    deployment: &str,
    node: &str,
) -> Result<Option<Pointer>, RestoreError> {
    let mut listed = store.list(&format!("{}/", store.settings().key(manifest::COPIES))).await?;
    listed.retain(|object| std::path::Path::new(&object.key).extension().is_some_and(|e| e == "json"));
    listed.sort_by_key(|object| std::cmp::Reverse(object.modified));
    listed.truncate(COPIES);
    let mut copies: Vec<Pointer> = stream::iter(listed)
        .map(async |object| manifest::read(store, &object.key, deployment, node).await)
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
