//! Collections of a backup, brought into the server that serves: those that it lacks.
//!
//! ```text
//! Serving ─▶ what a killed one left is settled ─▶ the backup's manifest ─▶ which collections: none of them is there
//!    ─▶ regain.json: what is begun ─▶ room, bytes, checked ─▶ the server unpacks those alone ─▶ counts, samples
//!    ─┬▶ whole: it stays
//!     └▶ else, or killed: settle ─┬─ whole all the same    ─▶ it stays
//!                                ├─ lacks something        ─▶ removed again: it was not there before
//!                                └─ may be a client's      ─▶ it stays, and is warned of
//! ```
//!
//! The server answers 200 to a restore over a collection that is there, and fails when all has been transferred (recording
//! 07): so that is looked up first. Clients see a collection as soon as the server has unpacked it: nobody is told that it
//! is back before it was counted.
//!
//! To add something that is checked before the first byte: its row in `choose.rs`, and a variant of [`RegainError`].

mod choose;
mod error;
mod note;
mod record;
mod settle;

pub use error::RegainError;
pub use record::{Last, keep, last};

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::catalog::{self, Scope};
use crate::host::Host;
use crate::instance::Identity;
use crate::manifest::Manifest;
use crate::network::Serving;
use crate::report::Work;
use crate::restore::{self, Part};
use crate::store::{Owner, Store, Tree};
use crate::weaviate::{Client, Selection};

use choose::Here;

/// What is to come back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// Else what the manifest names.
    pub id: Option<String>,
    /// Everything that the backup holds where both lists are empty.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// An alias that is here already names what comes back from then on.
    pub overwrite_alias: bool,
    /// The backup's users and roles, too.
    pub users: bool,
    pub roles: bool,
}

impl Order {
    fn selection(&self) -> Selection<'_> {
        Selection { include: &self.include, exclude: &self.exclude }
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Regained {
    pub id: String,
    pub collections: BTreeSet<String>,
    pub objects: u64,
    pub bytes: u64,
    pub seconds: u64,
}

/// What one of them works with.
struct Job<'a> {
    host: &'a Host,
    serving: &'a Serving,
    store: Store,
    client: Client,
    tree: Tree,
}

impl<'a> Job<'a> {
    async fn new(host: &'a Host, me: &Identity, serving: &'a Serving) -> Result<Self, RegainError> {
        let store = restore::connect(host, me).await?;
        let running = serving.running();
        let client = Client::new(&running.base_url(), Some(running.secrets().admin().clone()));
        let (uid, gid) = serving.volume().owner();
        let tree = Tree::open(&serving.volume().backups_dir(), Owner { uid, gid })?;
        Ok(Self { host, serving, store, client, tree })
    }
}

/// Brings collections back, or says why not; then nothing is as it was not before. `named` hears of which backup.
pub async fn regain(
    host: &Host,
    me: &Identity,
    serving: &Serving,
    order: &Order,
    named: impl FnOnce(&str),
) -> Result<Regained, RegainError> {
    let _working = host.status.begin(Work::Regain);
    let begun = Instant::now();
    let job = Job::new(host, me, serving).await?;
    settle::left(&job, me).await?;
    let manifest = catalog::find(&Scope::of(host, &job.store), order.id.as_deref()).await?;
    let id = manifest.backup_id.clone().unwrap_or_default();
    named(&id);
    let version = job.client.meta().await?.version;
    restore::check_version(&manifest, Some(&version))?;
    let here = Here::look(&job.client).await?;
    let chosen = choose::choose(&manifest, &here, order, &version)?;
    let manifest = restore::cut(manifest, &chosen.collections);
    note::begin(
        &host.roots.state,
        &note::Note {
            instance_id: me.instance_id().to_owned(),
            backup_id: id.clone(),
            collections: chosen.collections.clone(),
            aliases: chosen.aliases,
        },
    )?;
    match Box::pin(attempt(&job, order, manifest, &chosen.collections)).await {
        Ok(mut regained) => {
            // It was found whole: whatever clients do to it from now on is theirs, and nobody looks again.
            restore::clear(host, serving.volume()).await;
            note::end(&host.roots.state)?;
            regained.seconds = begun.elapsed().as_secs();
            Ok(regained)
        }
        Err(error) => {
            // What failed is what is told; what cannot be settled now, the next one or the next run settles.
            if let Err(unsettled) = settle::left(&job, me).await {
                host.status.warn(format!("what is left of the restore of {id} stays: {unsettled}"));
            }
            Err(error)
        }
    }
}

async fn attempt(
    job: &Job<'_>,
    order: &Order,
    manifest: Manifest,
    collections: &BTreeSet<String>,
) -> Result<Regained, RegainError> {
    let Job { host, serving: _, store, client, tree } = job;
    let id = manifest.backup_id.clone().unwrap_or_default();
    host.status.say(Work::Regain, format!("brings {} of {id}", listed(collections)));
    let manifest = restore::bring_part(host, store, tree, manifest).await?;
    host.status.say(Work::Regain, format!("the server unpacks {}", listed(collections)));
    let part = Part {
        only: collections,
        overwrite_alias: order.overwrite_alias,
        users: order.users.then_some("all"),
        roles: order.roles.then_some("all"),
    };
    restore::order_part(host, client, &id, part).await?;
    host.status.say(Work::Regain, format!("counts {}", listed(collections)));
    let (seen, lacking) =
        restore::lacking(client, &manifest, host.settings.restore.samples, &host.status).await?;
    let gone = collections.iter().filter(|name| !seen.collections.contains_key(*name));
    let mut wrong: Vec<String> = gone.map(|name| format!("collection {name} is missing")).collect();
    wrong.extend(lacking.into_iter().flat_map(|(_, lacks)| lacks));
    if !wrong.is_empty() {
        let reference = format!("the manifest of {id}");
        return Err(restore::RestoreError::Differs { reference, differences: wrong }.into());
    }
    let tenants = seen.collections.values().flat_map(|collection| collection.tenants.values());
    Ok(Regained {
        id,
        collections: collections.clone(),
        objects: tenants.filter_map(|tenant| tenant.objects).sum(),
        bytes: manifest.bytes(),
        seconds: 0,
    })
}

/// Settles what a run left that was killed, or what was cancelled. Nothing to do costs a look at a file.
pub async fn clean_up(host: &Host, me: &Identity, serving: &Serving) -> Result<(), RegainError> {
    if note::left(&host.roots.state)?.is_none() {
        return Ok(());
    }
    let _working = host.status.begin(Work::Regain);
    settle::left(&Job::new(host, me, serving).await?, me).await
}

/// `collection A`, or `collections A and B`.
fn listed(collections: &BTreeSet<String>) -> String {
    let names: Vec<&str> = collections.iter().map(String::as_str).collect();
    match names.as_slice() {
        [one] => format!("collection {one}"),
        [some @ .., last] => format!("collections {} and {last}", some.join(", ")),
        [] => "no collection".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_as_one_says_them() {
        let of = |names: &[&str]| listed(&names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(of(&["A"]), "collection A");
        assert_eq!(of(&["A", "B"]), "collections A and B");
        assert_eq!(of(&["A", "B", "C"]), "collections A, B and C");
        assert_eq!(of(&[]), "no collection");
    }
}
