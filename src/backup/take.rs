//! What the server does, and what is found out beside it: how much there is, and some of it object by object.
//!
//! ```text
//! (quiet) ─▶ counted ─▶ ordered ─┬─ the server packs ─▶ SUCCESS ─▶ counted, samples taken ─▶ (released) ─▶ Taken
//!                                ├─ counted again and again
//!                                └─ its files are carried
//! ```

use std::path::Path;
use std::pin::pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::base::{self, Base};
use super::carry::{self, Carried, Load};
use super::content::Counted;
use super::direct;
use super::error::BackupError;
use super::journal::Journal;
use super::make::{self, Patience};
use super::quiet::{self, Quiet};
use super::{Job, Order};
use crate::manifest::{Alias, Collections};
use crate::report::Work;
use crate::restore;
use crate::weaviate::{Backend, BackupConfig, BackupOrder};

/// Between two counts while the server packs: a count of many tenants is work for it.
const COUNT_EACH: Duration = Duration::from_secs(2);

/// What the backup holds, as far as the server could be asked.
#[derive(Debug)]
pub struct Taken {
    pub collections: Collections,
    pub aliases: Vec<Alias>,
    pub objects: u64,
    /// Collections that are not in the backup.
    pub left_out: Vec<String>,
    /// Nobody could write from before the first shard was taken until after the last.
    pub quiesced: bool,
}

/// Has the server make it and carries it away.
pub async fn take(
    job: &Job<'_>,
    id: &str,
    order: &Order,
    base: Option<&Base>,
    journal: &mut Journal,
) -> Result<(Carried, Taken), BackupError> {
    let settings = &job.host.settings;
    let (making, node) = (&settings.making, settings.node.name.to_string());
    let backend = making.mode.backend();
    let mount = job.serving.volume().mount();
    make::no_room(backend, mount, restore::Room::look(mount)?)?;
    if backend == Backend::Filesystem {
        // Made by us, so that it can be watched from the first file on; the server makes what is not there.
        job.tree.make(&Path::new(id).join(&node))?;
    }
    let (quiet, first) = match making.quiesce {
        Some(_) => quiet::quiesce(job).await.map(|(quiet, seen)| (Some(quiet), seen))?,
        None => (None, job.count().await?),
    };
    let counted = Mutex::new(Counted::default());
    add(&counted, first);
    let level = base::level(making.compression.as_deref(), &job.version).map(str::to_owned);
    let config = BackupConfig { cpu_percentage: making.cpu_percentage, compression_level: level };
    let Order { full: _, include, exclude, marker: _ } = order.clone();
    let on = base.map(|base| base.id.clone());
    let order = BackupOrder { id: id.to_owned(), include, exclude, base: on, config };
    job.status().say(Work::Backup, format!("the server makes {id}"));
    let names = make::order(&job.client, backend, &order).await?;
    let (key, folder) = (job.store.settings().key(id), job.serving.volume().backups_dir());
    let load = Load {
        id,
        node: &node,
        store: &job.writer,
        tree: &job.tree,
        folder: &folder,
        key: &key,
        connections: making.connections,
        stall: making.stall,
        base,
    };
    let moved = Arc::new(AtomicU64::new(0));
    let server = until_taken(job, id, &moved, quiet, &names, &counted);
    let carried = async {
        match backend {
            Backend::Filesystem => carry::carry(&load, journal, server, &moved, job.status()).await,
            Backend::S3 => direct::collect(job, &load.backup(), server, &moved).await,
        }
    };
    // Counting ends with what it is for.
    tokio::select! {
        carried = carried => carried,
        error = count_on(job, &counted) => Err(error),
    }
}

fn add(counted: &Mutex<Counted>, seen: restore::Seen) {
    counted.lock().unwrap_or_else(PoisonError::into_inner).add(seen);
}

/// Until the server is done, and what is found out when it is.
async fn until_taken(
    job: &Job<'_>,
    id: &str,
    moved: &AtomicU64,
    quiet: Option<Quiet>,
    names: &[String],
    counted: &Mutex<Counted>,
) -> Result<Taken, BackupError> {
    let settings = &job.host.settings;
    let mount = job.serving.volume().mount();
    let patience = Patience::of(settings.making.stall);
    let mut wait = pin!(make::wait(
        &job.client,
        settings.making.mode.backend(),
        id,
        mount,
        moved,
        patience,
        job.status()
    ));
    let quiet = if let (Some(quiet), Some(most)) = (quiet, settings.making.quiesce) {
        if let Ok(ended) = timeout(most, &mut wait).await {
            ended?;
            Some(quiet)
        } else {
            let why = "`backup.quiesce` is over before the server has taken all shards";
            job.status().warn(format!("{why}: clients write again, and {id} is as if they had all the time"));
            quiet::release(job, quiet).await?;
            wait.await?;
            None
        }
    } else {
        wait.await?;
        None
    };
    add(counted, job.count().await?);
    let (mut collections, aliases, objects, left_out) = {
        let counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
        (counted.collections(names), counted.aliases(names), counted.total(names), counted.left_out(names))
    };
    restore::take_samples(&job.client, &mut collections, settings.restore.samples as usize).await?;
    let quiesced = quiet.is_some();
    if let Some(quiet) = quiet {
        quiet::release(job, quiet).await?;
    }
    Ok(Taken { collections, aliases, objects, left_out, quiesced })
}

/// Counts for as long as it is asked to.
async fn count_on(job: &Job<'_>, counted: &Mutex<Counted>) -> BackupError {
    loop {
        tokio::time::sleep(COUNT_EACH).await;
        match job.count().await {
            Ok(seen) => add(counted, seen),
            Err(error) => return error,
        }
    }
}
