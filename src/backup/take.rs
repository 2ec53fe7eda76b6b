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

use tokio::time::{Instant, timeout};

use super::base::{self, Base};
use super::carry::{self, Carried, Load};
use super::content::Counted;
use super::direct;
use super::error::BackupError;
use super::inactive::Tenants;
use super::journal::Journal;
use super::make::{self, Patience};
use super::quiet::{self, Quiet};
use super::{Job, Order};
use crate::manifest::{Alias, Collections, Unprotected};
use crate::report::Work;
use crate::restore;
use crate::weaviate::options::{ROLES_SINCE, USERS_SINCE};
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
    /// Tenants of those that are, from the first count to the last.
    pub tenants: Tenants,
    /// Those that are not in the backup: known when its descriptor is.
    pub unprotected: Unprotected,
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
    known(&making.users, &making.roles, &job.version)?;
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
    let (users, roles) = (making.users.clone(), making.roles.clone());
    let Order { full: _, include, exclude, marker: _ } = order.clone();
    let on = base.map(|base| base.id.clone());
    let order = BackupOrder { id: id.to_owned(), include, exclude, base: on, users, roles, config };
    job.status().say(Work::Backup, format!("the server makes {id}"));
    // Clients are not kept out for longer than was asked for.
    let blocked =
        making.quiesce.filter(|_| quiet.is_some()).map_or(making.stall, |most| most.min(making.stall));
    let ordered = Instant::now();
    let names = make::order(&job.client, backend, &order, blocked, job.status()).await?;
    let waited = ordered.elapsed();
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
    let server = until_taken(job, id, &moved, quiet, waited, &names, &counted);
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

/// The image may be named without its version, and the server takes what it does not know, and leaves it away.
fn known(users: &[String], roles: &[String], server: &str) -> Result<(), BackupError> {
    let rows = [("backup.users", users, USERS_SINCE), ("backup.roles", roles, ROLES_SINCE)];
    match rows.into_iter().find(|(_, names, since)| !names.is_empty() && !since.knows(server)) {
        Some((option, _, since)) => {
            Err(BackupError::TooOld { option, since: since.to_string(), server: server.to_owned() })
        }
        None => Ok(()),
    }
}

fn add(counted: &Mutex<Counted>, seen: restore::Seen) {
    counted.lock().unwrap_or_else(PoisonError::into_inner).add(seen);
}

/// Until the server is done, and what is found out when it is. Clients were kept out for `waited` already.
async fn until_taken(
    job: &Job<'_>,
    id: &str,
    moved: &AtomicU64,
    quiet: Option<Quiet>,
    waited: Duration,
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
        if let Ok(ended) = timeout(most.saturating_sub(waited), &mut wait).await {
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
    let mut taken = {
        let counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
        Taken {
            collections: counted.collections(names),
            aliases: counted.aliases(names),
            objects: counted.total(names),
            left_out: counted.left_out(names),
            tenants: counted.throughout(names),
            unprotected: Unprotected::new(),
            quiesced: quiet.is_some(),
        }
    };
    restore::take_samples(&job.client, &mut taken.collections, settings.restore.samples as usize).await?;
    if let Some(quiet) = quiet {
        quiet::release(job, quiet).await?;
    }
    Ok(taken)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_the_server_would_leave_away_is_refused() {
        type Row<'a> = (&'a [String], &'a [String], &'a str, Option<&'a str>);
        let all = ["*".to_owned()];
        let rows: [Row<'_>; 6] = [
            (&[], &[], "1.30.0", None),
            (&all, &[], "1.39.0", None),
            (&all, &all, "1.39.1", None),
            (&all, &[], "1.38.2", Some("backup.users")),
            (&all, &all, "1.39.0", Some("backup.roles")),
            (&all, &all, "a fork", None),
        ];
        for (users, roles, server, expected) in rows {
            let found = match known(users, roles, server) {
                Err(BackupError::TooOld { option, .. }) => Some(option),
                _ => None,
            };
            assert_eq!(found, expected, "{server}");
        }
    }
}
