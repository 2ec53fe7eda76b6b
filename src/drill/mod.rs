//! A drill: the latest backup restored beside the server that serves, or on a host of its own, compared, and thrown away.
//!
//! ```text
//! Stuff ─▶ what a killed drill left goes ─▶ which backup ─▶ room: memory, space
//!    ─▶ <mount>/drill/ ─▶ bytes, checked ─▶ a second server ─▶ restored ─▶ counts, samples ─▶ drill.queries
//!    ─▶ container and folder gone, whatever came of it ─▶ drills/<time>_<id>.json, drill.json
//! ```
//!
//! It changes nothing that is served, and nothing of the backup: a drill that fails is the alarm that it is for.
//!
//! To add something that is compared: its place in [`attempt`], and a variant of [`DrillError`] if it has a sentence of
//! its own.

mod error;
mod place;
mod queries;
mod record;
mod settings;

pub use error::DrillError;
pub use record::{Drilled, last};
pub use settings::{Query, Settings};

use tokio::time::Instant;

use crate::catalog::{self, Scope};
use crate::container::{self, Room, Stuff};
use crate::host::Host;
use crate::instance::Identity;
use crate::manifest::Manifest;
use crate::report::Work;
use crate::restore;
use crate::store::{Owner, Store, Tree};
use crate::weaviate::Client;

/// Restores `id`, or what the manifest names, and compares it. What came of it lies in the bucket and on this machine.
/// `named` hears which backup it is.
pub async fn drill(
    host: &Host,
    me: &Identity,
    stuff: Stuff<'_>,
    id: Option<&str>,
    named: impl FnOnce(&str),
) -> Result<Drilled, DrillError> {
    let _working = host.status.begin(Work::Drill);
    let begun = Instant::now();
    clean_up(host).await?;
    let store = restore::connect(host, me).await?;
    let manifest = catalog::find(&Scope::of(host, &store), id).await?;
    let backup = manifest.backup_id.clone().unwrap_or_default();
    named(&backup);
    let attempted = Box::pin(attempt(host, stuff, &store, manifest)).await;
    // Whatever came of it; what cannot be removed now, the next one and the next boot remove.
    if let Err(error) = clean_up(host).await {
        host.status.warn(format!("what the drill of {backup} leaves is not removed: {error}"));
    }
    let mut drilled = Drilled::of(host, me, &backup, attempted.as_ref());
    drilled.seconds = begun.elapsed().as_secs();
    record::keep(host, me, &store, &drilled).await;
    attempted.map(|_| drilled)
}

/// What was restored and found as it was.
struct Proven {
    bytes: u64,
    objects: u64,
    queries: u64,
}

async fn attempt(
    host: &Host,
    stuff: Stuff<'_>,
    store: &Store,
    manifest: Manifest,
) -> Result<Proven, DrillError> {
    let backup = manifest.backup_id.clone().unwrap_or_default();
    let memory = place::memory(&host.roots.proc, host.settings.drill.memory)?;
    let (uid, gid) = stuff.volume.owner();
    let owner = Owner { uid, gid };
    let place = place::make(&host.settings.storage.mount, owner)?;
    let tree = Tree::open(&place.backups, owner)?;
    host.status.say(Work::Drill, format!("brings {backup}"));
    let manifest = restore::bring_aside(host, store, &tree, manifest).await?;
    host.status.say(Work::Drill, format!("starts a second server for {backup}"));
    let room = Room { data: place.data, backups: place.backups, memory };
    let aside = container::start_aside(host, stuff, &room).await?;
    let client = Client::new(&aside.base_url(), Some(stuff.secrets.admin().clone()));
    host.status.say(Work::Drill, format!("restores {backup} in it"));
    let seen = restore::prove(host, &client, &manifest).await?;
    let queries = queries::ask(&client, &host.settings.drill.queries).await?;
    let tenants = seen.collections.values().flat_map(|collection| collection.tenants.values());
    Ok(Proven {
        bytes: manifest.bytes(),
        objects: tenants.filter_map(|tenant| tenant.objects).sum(),
        queries,
    })
}

/// Removes the container and the folder of a drill, if there are any.
pub async fn clean_up(host: &Host) -> Result<(), DrillError> {
    container::remove_aside(host).await?;
    let mount = host.settings.storage.mount.clone();
    tokio::task::spawn_blocking(move || place::remove(&mount)).await.unwrap_or_else(|panic| {
        let (path, source) = (place::FOLDER.to_owned(), std::io::Error::other(panic));
        Err(DrillError::Local { verb: "removed", path, source })
    })
}
