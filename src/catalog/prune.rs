//! Removes the backups that nobody needs.
//!
//! ```text
//! look ─▶ weigh ─▶ decide ─▶ one that goes: its objects, then its copy
//! ```
//!
//! The copy last: a prune that was killed in the middle leaves one that is damaged and known, and the next one goes on.
//! It is never the newest one, so nobody would choose it.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Scope;
use super::error::CatalogError;
use super::keep::{Verdict, decide};
use super::look::{Catalog, Copy, look};
use super::settings::Keep;
use super::weigh::{Row, Standing, weigh};
use crate::manifest;
use crate::report::{Status, Work};
use crate::store::Store;

/// Objects that are removed at a time: at some 30 ms each 500 a second.
const REMOVES: usize = 16;

/// What became of all backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// Whether those that go are gone.
    pub applied: bool,
    pub verdicts: Vec<Verdict>,
}

/// Decides, and with `apply` removes, by `writer`. What the instance `own` itself has leased it has restored: it serves.
pub async fn prune(
    scope: &Scope<'_>,
    writer: &Store,
    own: &str,
    keep: &Keep,
    now: Timestamp,
    apply: bool,
) -> Result<Pruned, CatalogError> {
    scope.status.say(Work::Prune, "looks at the backups in the bucket");
    let mut catalog = look(scope, now).await?;
    catalog.leases.retain(|lease| lease.instance_id != own);
    let rows = weigh(&catalog);
    trusted(scope.store, &rows)?;
    let verdicts = decide(&rows, keep);
    if apply {
        let needed = needed(&catalog, &verdicts);
        // The newest first: what is built on another goes before it.
        for verdict in verdicts.iter().filter(|verdict| verdict.reason.goes()) {
            remove(scope.status, writer, &catalog, verdict, &needed).await?;
        }
    }
    Ok(Pruned { applied: apply, verdicts })
}

/// The latest is whole: else an older one may be all that is left.
fn trusted(store: &Store, rows: &[Row]) -> Result<(), CatalogError> {
    let Some(latest) = rows.iter().find(|row| row.latest) else {
        let (bucket, prefix) = (store.bucket().to_owned(), store.settings().prefix.clone());
        return Err(CatalogError::NoneNamed { bucket, prefix });
    };
    match latest.standing {
        Standing::Whole => Ok(()),
        Standing::Damaged | Standing::WithoutManifest | Standing::Unfinished | Standing::Unreadable => {
            Err(CatalogError::LatestNotWhole { id: latest.id.clone(), wrong: latest.wrong.clone() })
        }
    }
}

/// Keys that a backup which stays reads. The rules keep whole folders; this keeps objects, whatever the rules say.
fn needed(catalog: &Catalog, verdicts: &[Verdict]) -> BTreeSet<String> {
    let stay: BTreeSet<&str> =
        verdicts.iter().filter(|v| !v.reason.goes()).map(|verdict| verdict.id.as_str()).collect();
    let copies = catalog.folders.iter().filter(|(id, _)| stay.contains(id.as_str()));
    let manifests = copies.filter_map(|(_, folder)| match &folder.copy {
        Copy::Readable(manifest) => Some(&**manifest),
        Copy::Absent | Copy::Unreadable(_) => None,
    });
    let named = catalog.pointer.as_ref().map(|pointer| &pointer.manifest);
    manifests.chain(named).flat_map(|manifest| &manifest.objects).map(|object| object.key.clone()).collect()
}

async fn remove(
    status: &Status,
    writer: &Store,
    catalog: &Catalog,
    verdict: &Verdict,
    needed: &BTreeSet<String>,
) -> Result<(), CatalogError> {
    let Verdict { id, bytes, reason } = verdict;
    tracing::info!(backup_id = id, "removes {id}, {} MiB: {reason}", bytes >> 20);
    status.say(Work::Prune, format!("removes {id}, {} MiB: {reason}", bytes >> 20));
    let Some(folder) = catalog.folders.get(id) else { return Ok(()) };
    let keys = folder.listed.iter().map(|object| &object.key).filter(|key| !needed.contains(*key));
    stream::iter(keys.cloned())
        .map(async |key| {
            writer.delete(&key).await?;
            status.alive();
            Ok::<_, CatalogError>(())
        })
        .buffer_unordered(REMOVES)
        .try_collect::<()>()
        .await?;
    if !matches!(folder.copy, Copy::Absent) {
        writer.delete(&writer.settings().key(&format!("{}/{id}.json", manifest::COPIES))).await?;
    }
    Ok(())
}
