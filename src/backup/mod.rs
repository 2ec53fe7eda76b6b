//! A backup that can be believed: made by the server, carried and hashed by this program, compared, counted, and only
//! then named by the manifest.
//!
//! ```text
//! Serving ─▶ own: the manifest names us ─▶ clean: what a run left that was killed
//!              │
//!              ├─ base: the last full one, or none
//!              ├─ tenants that the server would leave out: refused, made active for so long, or accepted
//!              ├─ quiet, if asked: nobody writes until the server has taken all
//!              ├─ count ─▶ order ─┬─ the server packs ─────────────────────▶ SUCCESS ─┐
//!              │                  ├─ each file that it has closed: hashed, in the bucket, unlinked
//!              │                  └─ counted again and again                          │
//!              ▼                                                                      ▼
//!          counted once more ◀─ what the bucket lists is what was sent ◀─ the rest, descriptors last
//!              └─▶ manifests/<id>.json ─▶ the manifest, If-Match on what we wrote last
//! ```
//!
//! Whatever fails leaves the manifest as it is: the last good backup stays the latest. With `backup.mode = "direct"` the
//! server writes into the bucket itself, and this program reads what came there (`direct`).
//!
//! To add a check: a pure comparison beside `carry::compare` with its row, and its place in [`back_up`].

mod awake;
mod base;
mod carry;
mod clean;
mod closed;
mod content;
mod described;
mod direct;
mod error;
mod hooks;
mod id;
mod inactive;
mod journal;
mod make;
mod marker;
mod publish;
mod quiet;
mod settings;
mod take;

pub use error::BackupError;
pub use inactive::{Inactive, Plan as InactivePlan};
pub use marker::{Pace, waiting};
pub use settings::Settings;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::catalog::{self, CatalogError, Pruned, Scope};
use crate::explain::Failure;
use crate::host::Host;
use crate::instance::Identity;
use crate::manifest::{self, Pointer, Unprotected};
use crate::network::Serving;
use crate::report::{Status, Work};
use crate::restore;
use crate::store::{Owner, Store, StoreError, Tree};
use crate::weaviate::{Client, Selection};

use journal::{Begun, Journal};

/// What is to be backed up; everything where both lists are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// Not built on another one, whatever `backup.full_every` says.
    pub full: bool,
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// The object of `backup.marker` that asks for it; nobody else can name one.
    #[serde(skip)]
    pub marker: Option<String>,
}

impl Order {
    fn selection(&self) -> Selection<'_> {
        Selection { include: &self.include, exclude: &self.exclude }
    }
}

/// A backup that is whole and in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    pub id: String,
    /// The full one that it is built on.
    pub base: Option<String>,
    /// Of this backup alone.
    pub files: u64,
    pub bytes: u64,
    pub objects: u64,
    pub collections: u64,
    pub seconds: u64,
    /// Nobody could write while the server took its shards.
    pub quiesced: bool,
    /// Why the manifest does not name it; it lies in the bucket as a copy.
    pub held_back: Option<String>,
    /// Tenants whose data is not in it, as the manifest lists them.
    #[serde(default)]
    pub unprotected: Unprotected,
}

/// What one backup works with.
struct Job<'a> {
    host: &'a Host,
    serving: &'a Serving,
    /// By the instance's own role: reads, and the manifest.
    store: Store,
    /// By `backup.role_arn`, where it is set: everything else.
    writer: Store,
    client: Client,
    /// The server's.
    version: String,
    tree: Tree,
}

/// Backups that are begun where the server spoils them: each waits for the index before it, so that a third one that is
/// spoilt means that indexes are rebuilt all the time, and somebody has to know.
const TRIES: u32 = 3;

/// Makes a backup of what is served and names it in the manifest. `named` hears its id, and that of one that is made in
/// the place of one that the server spoilt.
pub async fn back_up(
    host: &Host,
    me: &Identity,
    serving: &Serving,
    order: &Order,
    named: impl Fn(&str),
) -> Result<Made, BackupError> {
    let _working = host.status.begin(Work::Backup);
    let begun = Instant::now();
    let job = Job::new(host, me, serving).await?;
    let (mut tried, mut at) = (1, host.now());
    let mut made = loop {
        match Box::pin(once(&job, me, order, &id::id_at(at), &named)).await {
            Err(error) if tried < TRIES && make::is_spoilt(&error) => {
                // The order of the next one waits until the index is whole.
                tried += 1;
                host.status.warn(format!("{error}: another one is made in its place, {tried} of {TRIES}"));
                at = id::next(host.now(), at);
            }
            ended => break ended?,
        }
    };
    made.seconds = begun.elapsed().as_secs();
    tracing::info!(
        backup_id = made.id,
        "{} is in the bucket: {} files, {} bytes",
        made.id,
        made.files,
        made.bytes
    );
    Ok(made)
}

/// One of them, with the user's programs around it.
async fn once(
    job: &Job<'_>,
    me: &Identity,
    order: &Order,
    id: &str,
    named: &impl Fn(&str),
) -> Result<Made, BackupError> {
    let host = job.host;
    let own = job.own(me).await?;
    clean_left(job, me, &own).await?;
    named(id);
    let base = base::find(job, &own, order.full).await?;
    let direct = host.settings.making.mode.role().is_some();
    let entry = Begun { id: id.to_owned(), instance_id: me.instance_id().to_owned(), direct };
    let journal = Journal::begin(&host.roots.state, &entry)?;
    let work = async {
        if let Err(error) = hooks::before(job, id).await {
            // Nothing was begun.
            journal.end()?;
            return Err(error);
        }
        Box::pin(make_it(job, me, &own, order, id, base, journal)).await
    };
    let made = work.await;
    hooks::after(job, id, hooks::Ending::of(made.as_ref().ok())).await;
    made
}

/// From the order to the manifest.
async fn make_it(
    job: &Job<'_>,
    me: &Identity,
    own: &Pointer,
    order: &Order,
    id: &str,
    base: Option<base::Base>,
    mut journal: Journal,
) -> Result<Made, BackupError> {
    let taken = Box::pin(take_all(job, me, id, order, base.as_ref(), &mut journal)).await;
    let (carried, taken) = match taken {
        Ok(taken) => taken,
        Err(error) => {
            drop(journal);
            // What failed is what is told; what cannot be cleaned up now, the next backup cleans up.
            if let Err(unclean) = clean::clean(job, me, own).await {
                tracing::warn!(%unclean, "{id} is not cleaned up: {unclean}");
            }
            return Err(error);
        }
    };
    let listed = job.store.list(&format!("{}/", job.store.settings().key(id))).await?;
    carry::compare(job.store.bucket(), &carried.objects, &listed)?;
    let (files, bytes) = (carried.objects.len() as u64, carried.objects.iter().map(|o| o.size).sum());
    let base = base.map(|base| base.id);
    let unprotected = taken.unprotected.clone();
    let (objects, left_out) = (taken.objects, taken.left_out.clone());
    let mut next = publish::next(job, own, id, carried, taken, base.as_deref());
    next.marker = order.marker.clone().or(next.marker);
    let held_back = publish::publish(job, own, &next, &left_out).await?;
    journal.end()?;
    Ok(Made {
        id: id.to_owned(),
        base,
        files,
        bytes,
        objects,
        collections: next.collections.len() as u64,
        seconds: 0,
        quiesced: next.quiesced,
        held_back,
        unprotected,
    })
}

/// What the server makes, with every tenant that it should hold; those that were made active for it are what they were.
async fn take_all(
    job: &Job<'_>,
    me: &Identity,
    id: &str,
    order: &Order,
    base: Option<&base::Base>,
    journal: &mut Journal,
) -> Result<(carry::Carried, take::Taken), BackupError> {
    inactive::prepare(job, me, order).await?;
    let (carried, mut taken) = take::take(job, id, order, base, journal).await?;
    taken.unprotected = inactive::check(job, &taken.tenants, &carried.shards)?;
    if let Err(error) = awake::put_back(job, me).await {
        let why = "tenants stay active that a backup made so, until the next one or the next run";
        job.status().warn(format!("{why}: {error}"));
    }
    Ok((carried, taken))
}

/// How the last backup of this machine ended, or how far it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Last {
    /// And what is in the bucket by now.
    UnderWay {
        id: String,
        files: u64,
        bytes: u64,
        /// The server writes it there itself: nothing is counted before its end.
        #[serde(default)]
        direct: bool,
    },
    Made {
        made: Made,
        at: jiff::Timestamp,
    },
    Failed {
        /// Where it had one already.
        #[serde(default)]
        id: Option<String>,
        failure: Failure,
        at: jiff::Timestamp,
    },
}

impl Last {
    /// The backup that it is about; of one that failed it may not be known.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::UnderWay { id, .. } => Some(id),
            Self::Made { made, .. } => Some(&made.id),
            Self::Failed { id, .. } => id.as_deref(),
        }
    }
}

/// In the state directory.
const LAST: &str = "backup.json";

/// Writes down how it ended; what cannot be written is a warning.
pub fn note(host: &Host, last: &Last) {
    let written = serde_json::to_vec_pretty(last).map_err(|error| error.to_string()).and_then(|bytes| {
        crate::state::replace(&host.roots.state.join(LAST), &bytes, 0o600).map_err(|error| error.to_string())
    });
    if let Err(error) = written {
        host.status.warn(format!("the backup's end is not kept on this machine: {error}"));
    }
}

/// For `status`; `None` where there was none, or where it cannot be read.
pub fn last(state: &std::path::Path) -> Option<Last> {
    if let Ok(Some((begun, sent))) = Journal::left(state) {
        let (files, bytes) = (sent.len() as u64, sent.iter().map(|object| object.size).sum());
        return Some(Last::UnderWay { id: begun.id, files, bytes, direct: begun.direct });
    }
    serde_json::from_slice(&std::fs::read(state.join(LAST)).ok()?).ok()
}

/// Cleans up after a run that was killed; whoever waits for the end of its backup is told.
async fn clean_left(job: &Job<'_>, me: &Identity, own: &Pointer) -> Result<(), BackupError> {
    if let Some(id) = clean::clean(job, me, own).await? {
        hooks::after(job, &id, hooks::Ending::Failed).await;
    }
    Ok(())
}

/// Removes what a run left that was killed in the middle of a backup: the server may be at it still, and its files
/// take room. Nothing to do costs a look at a file.
pub async fn clean_up(host: &Host, me: &Identity, serving: &Serving) -> Result<(), BackupError> {
    if Journal::left(&host.roots.state)?.is_none() && !awake::is_left(&host.roots.state) {
        return Ok(());
    }
    let _working = host.status.begin(Work::Backup);
    let job = Job::new(host, me, serving).await?;
    let own = job.own(me).await?;
    clean_left(&job, me, &own).await
}

/// Decides which backups stay, and with `apply` removes the others. Only the owner of the manifest does.
pub async fn prune(
    host: &Host,
    me: &Identity,
    serving: &Serving,
    apply: bool,
) -> Result<Pruned, BackupError> {
    let _working = host.status.begin(Work::Prune);
    let job = Job::new(host, me, serving).await?;
    job.own(me).await?;
    let (scope, keep) = (Scope::of(host, &job.store), &host.settings.making.keep);
    let pruned = catalog::prune(&scope, &job.writer, me.instance_id(), keep, host.now(), apply).await;
    pruned.map_err(|error| match error {
        // The store's own sentence; what helps is another role than the boot's.
        CatalogError::Store(error @ StoreError::Denied { operation: "s3:DeleteObject", .. }) => {
            BackupError::NotWritable(error)
        }
        error => error.into(),
    })
}

impl<'a> Job<'a> {
    async fn new(host: &'a Host, me: &Identity, serving: &'a Serving) -> Result<Self, BackupError> {
        let store = restore::connect(host, me).await?;
        let writer = restore::connect_writer(host, me, &store).await.paced(host.settings.making.rate);
        let running = serving.running();
        let client = Client::new(&running.base_url(), Some(running.secrets().admin().clone()));
        let version = client.meta().await?.version;
        let (uid, gid) = serving.volume().owner();
        let tree = Tree::open(&serving.volume().backups_dir(), Owner { uid, gid })?;
        Ok(Self { host, serving, store, writer, client, version, tree })
    }

    fn status(&self) -> &Status {
        &self.host.status
    }

    async fn count(&self) -> Result<restore::Seen, BackupError> {
        Ok(restore::count(&self.client, self.status()).await?)
    }

    /// The manifest as this owner wrote it last.
    async fn own(&self, me: &Identity) -> Result<Pointer, BackupError> {
        let node = &self.host.settings.node;
        let (deployment, name) = (node.deployment.to_string(), node.name.to_string());
        let key = self.store.settings().key(manifest::NAME);
        let bucket = self.store.bucket().to_owned();
        let Some(own) = manifest::read(&self.store, &key, &deployment, &name).await? else {
            return Err(manifest::ManifestError::Vanished { bucket, key }.into());
        };
        let manifest = &own.manifest;
        let ours = manifest.owner.as_deref() == Some(me.instance_id())
            && manifest.nonce.as_deref() == Some(&self.serving.restored().nonce);
        if ours {
            return Ok(own);
        }
        let owner = manifest.owner.clone().unwrap_or_else(|| "nobody".to_owned());
        Err(manifest::ManifestError::Lost { bucket, key, owner, generation: manifest.generation }.into())
    }
}

#[cfg(test)]
mod tests;
