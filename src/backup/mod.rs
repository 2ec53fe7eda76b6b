//! A backup that can be believed: made by the server, carried and hashed by this program, compared, counted, and only
//! then named by the manifest.
//!
//! ```text
//! Serving ─▶ own: the manifest names us ─▶ clean: what a run left that was killed
//!              │
//!              ├─ count ─▶ order ─┬─ the server packs ─────────────────────▶ SUCCESS ─┐
//!              │                  ├─ each file that it has closed: hashed, in the bucket, unlinked
//!              │                  └─ counted again and again                          │
//!              ▼                                                                      ▼
//!          counted once more ◀─ what the bucket lists is what was sent ◀─ the rest, descriptors last
//!              └─▶ manifests/<id>.json ─▶ the manifest, If-Match on what we wrote last
//! ```
//!
//! Whatever fails leaves the manifest as it is: the last good backup stays the latest.
//!
//! To add a check: a pure comparison beside `carry::compare` with its row, and its place in [`back_up`].

mod carry;
mod clean;
mod closed;
mod content;
mod error;
mod id;
mod journal;
mod make;
mod publish;
mod settings;

pub use error::BackupError;
pub use settings::Settings;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::host::Host;
use crate::instance::Identity;
use crate::manifest::{self, Pointer};
use crate::network::Serving;
use crate::report::{Status, Work};
use crate::restore;
use crate::store::{Owner, Store, Tree};
use crate::weaviate::{BackupConfig, BackupOrder, Client};

use carry::Load;
use content::Counted;
use journal::{Begun, Journal};
use make::Patience;

/// Between two counts while the server packs: a count of many tenants is work for it.
const COUNT_EACH: Duration = Duration::from_secs(2);

/// What is to be backed up; everything where both lists are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    pub include: Vec<String>,
    pub exclude: Vec<String>,
}

/// A backup that is whole and in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    pub id: String,
    pub files: u64,
    pub bytes: u64,
    pub objects: u64,
    pub collections: u64,
    pub seconds: u64,
    /// Why the manifest does not name it; it lies in the bucket as a copy.
    pub held_back: Option<String>,
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
    tree: Tree,
}

/// Makes a backup of what is served and names it in the manifest.
pub async fn back_up(
    host: &Host,
    me: &Identity,
    serving: &Serving,
    order: &Order,
) -> Result<Made, BackupError> {
    let _working = host.status.begin(Work::Backup);
    let begun = Instant::now();
    let job = Job::new(host, me, serving).await?;
    let own = job.own(me).await?;
    clean::clean(&job, me, &own).await?;
    let id = id::id_at(host.now());
    host.status.say(Work::Backup, format!("counts, and orders {id}"));
    let mut counted = Counted::default();
    counted.add(job.count().await?);
    let entry = Begun { id: id.clone(), instance_id: me.instance_id().to_owned() };
    let mut journal = Journal::begin(&host.roots.state, &entry)?;
    let made = job.make(&id, order, &mut counted, &mut journal).await;
    let (names, carried) = match made {
        Ok(made) => made,
        Err(error) => {
            drop(journal);
            // What failed is what is told; what cannot be cleaned up now, the next backup cleans up.
            if let Err(unclean) = clean::clean(&job, me, &own).await {
                tracing::warn!(%unclean, "{id} is not cleaned up: {unclean}");
            }
            return Err(error);
        }
    };
    let listed = job.store.list(&format!("{}/", job.store.settings().key(&id))).await?;
    carry::compare(job.store.bucket(), &carried.objects, &listed)?;
    counted.add(job.count().await?);
    let next = publish::next(&job, &own, &id, carried, &counted, &names).await?;
    let held_back = publish::publish(&job, &own, &next).await?;
    journal.end()?;
    let made = Made {
        id,
        files: next.objects.len() as u64,
        bytes: next.bytes(),
        objects: counted.total(),
        collections: next.collections.len() as u64,
        seconds: begun.elapsed().as_secs(),
        held_back,
    };
    tracing::info!(
        backup_id = made.id,
        "{} is in the bucket: {} files, {} bytes",
        made.id,
        made.files,
        made.bytes
    );
    Ok(made)
}

impl<'a> Job<'a> {
    async fn new(host: &'a Host, me: &Identity, serving: &'a Serving) -> Result<Self, BackupError> {
        let store = restore::connect(host, me).await?;
        let writer = match &host.settings.backup.role_arn {
            Some(role) => Store::connect_as(host, me.region(), role, me.instance_id()).await,
            None => store.clone(),
        };
        let running = serving.running();
        let client = Client::new(&running.base_url(), Some(running.secrets().admin().clone()));
        let (uid, gid) = serving.volume().owner();
        let tree = Tree::open(&serving.volume().backups_dir(), Owner { uid, gid })?;
        Ok(Self { host, serving, store, writer, client, tree })
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

    /// The server packs, its files are carried, and it is counted; all side by side.
    async fn make(
        &self,
        id: &str,
        order: &Order,
        counted: &mut Counted,
        journal: &mut Journal,
    ) -> Result<(Vec<String>, carry::Carried), BackupError> {
        let settings = &self.host.settings;
        let (making, node) = (&settings.making, settings.node.name.to_string());
        // Made by us, so that it can be watched from the first file on; the server makes what is not there.
        self.tree.make(&Path::new(id).join(&node))?;
        let config = BackupConfig {
            cpu_percentage: making.cpu_percentage,
            compression_level: making.compression.clone(),
        };
        let Order { include, exclude } = order.clone();
        let order = BackupOrder { id: id.to_owned(), include, exclude, config };
        let names = make::order(&self.client, &order).await?;
        let key = self.store.settings().key(id);
        let folder = self.serving.volume().backups_dir();
        let load = Load {
            id,
            node: &node,
            store: &self.writer,
            tree: &self.tree,
            folder: &folder,
            key: &key,
            connections: making.connections,
        };
        let moved = Arc::new(AtomicU64::new(0));
        let mount = self.serving.volume().mount();
        let patience = Patience::of(making.stall);
        let server = make::wait(&self.client, id, mount, &moved, patience, self.status());
        let carried = carry::carry(&load, journal, Vec::new(), server, &moved, self.status());
        // Counting ends with what it is for.
        let carried = tokio::select! {
            carried = carried => carried?,
            error = self.count_on(counted) => return Err(error),
        };
        Ok((names, carried))
    }

    /// Counts for as long as it is asked to.
    async fn count_on(&self, counted: &mut Counted) -> BackupError {
        loop {
            tokio::time::sleep(COUNT_EACH).await;
            match self.count().await {
                Ok(seen) => counted.add(seen),
                Err(error) => return error,
            }
        }
    }
}

#[cfg(test)]
mod tests;
