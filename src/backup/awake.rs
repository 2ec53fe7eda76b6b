//! Tenants that are active for a backup alone.
//!
//! ```text
//! tenants.json ─▶ HOT ─▶ all are ─▶ … the backup, however it ends … ─▶ what they were ─▶ tenants.json gone
//! ```
//!
//! The note is written before the first of them is touched and lives in the state directory: a run that is killed leaves
//! it to the next one, which puts them back before it takes another order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Job;
use super::error::BackupError;
use super::inactive::{Tenants, sentence};
use crate::instance::Identity;
use crate::report::{Status, Work};
use crate::retry::{Limits, retry};
use crate::state::{read_or_set_aside, remove, replace};
use crate::weaviate::{Client, Tenant, is_active};

const FILE: &str = "tenants.json";
/// The server's own word, which every version takes (its documentation, "Manage tenant states").
const ACTIVE: &str = "HOT";
/// One that is loaded shows in the answer to the next question.
const ASK: Duration = Duration::from_millis(250);
/// A server that has just been read-only refuses for a second, and one that still ends a backup for some.
const BACK: Limits = Limits::new(Duration::from_secs(30), Duration::from_millis(250), Duration::from_secs(2));

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// Another instance's note, on a root volume that was copied, is about another server.
    instance_id: String,
    tenants: Tenants,
}

/// Makes them active, and waits until they are: as long as one more is within `backup.stall`.
pub async fn wake(job: &Job<'_>, me: &Identity, tenants: &Tenants) -> Result<(), BackupError> {
    job.status().say(Work::Backup, format!("makes active {}", sentence(tenants)));
    let note = Note { instance_id: me.instance_id().to_owned(), tenants: tenants.clone() };
    write(&job.host.roots.state, &note)?;
    for (class, tenants) in tenants {
        let wanted: Vec<Tenant> = tenants.keys().map(|name| to(name, ACTIVE)).collect();
        job.client.set_tenants(class, &wanted).await?;
    }
    until_awake(&job.client, tenants, job.host.settings.making.stall, job.status()).await
}

async fn until_awake(
    client: &Client,
    tenants: &Tenants,
    stall: Duration,
    status: &Status,
) -> Result<(), BackupError> {
    let (mut last, mut moved) = (usize::MAX, Instant::now());
    loop {
        let mut left = 0;
        for (class, tenants) in tenants {
            left += asleep(tenants, &client.tenants(class).await?);
        }
        if left == 0 {
            return Ok(());
        }
        if left < last {
            (last, moved) = (left, Instant::now());
            status.alive();
        }
        if moved.elapsed() >= stall {
            return Err(BackupError::Asleep { what: sentence(tenants), waited: stall });
        }
        tokio::time::sleep(ASK).await;
    }
}

/// How many of them are there and not active. One that was deleted is waited for by nobody.
fn asleep(wanted: &BTreeMap<String, String>, there: &[Tenant]) -> usize {
    there.iter().filter(|tenant| wanted.contains_key(&tenant.name) && !is_active(&tenant.status)).count()
}

/// Makes them what they were, where this instance has made any active; nothing to do costs a look at a file.
pub async fn put_back(job: &Job<'_>, me: &Identity) -> Result<(), BackupError> {
    let state = &job.host.roots.state;
    let Some(note) = read(state)? else { return Ok(()) };
    if note.instance_id == me.instance_id() {
        job.status().say(Work::Backup, format!("makes what they were {}", sentence(&note.tenants)));
        let again = |error: &BackupError| tracing::info!(%error, "tenants are put back again: {error}");
        retry(BACK, again, || back(&job.client, &note.tenants)).await?;
    }
    let path = path(state);
    remove(&path).map_err(|source| local(&path, source))
}

async fn back(client: &Client, noted: &Tenants) -> Result<(), BackupError> {
    let there = client.classes().await?;
    for (class, tenants) in noted.iter().filter(|(name, _)| there.iter().any(|class| class.name == **name)) {
        let changed = changed(tenants, &client.tenants(class).await?);
        if !changed.is_empty() {
            client.set_tenants(class, &changed).await?;
        }
    }
    Ok(())
}

/// Those that are active now: somebody may have deleted one, or put it to rest himself.
fn changed(noted: &BTreeMap<String, String>, there: &[Tenant]) -> Vec<Tenant> {
    let active = there.iter().filter(|tenant| is_active(&tenant.status));
    active.filter_map(|tenant| Some(to(&tenant.name, noted.get(&tenant.name)?))).collect()
}

fn to(name: &str, status: &str) -> Tenant {
    Tenant { name: name.to_owned(), status: status.to_owned() }
}

/// Whether there is anything to put back.
pub fn is_left(state: &Path) -> bool {
    path(state).exists()
}

fn path(state: &Path) -> PathBuf {
    state.join(FILE)
}

fn local(path: &Path, source: std::io::Error) -> BackupError {
    BackupError::Local { path: path.display().to_string(), source }
}

fn write(state: &Path, note: &Note) -> Result<(), BackupError> {
    let path = path(state);
    let bytes = serde_json::to_vec_pretty(note).map_err(|error| local(&path, error.into()))?;
    replace(&path, &bytes, 0o600).map_err(|source| local(&path, source))
}

fn read(state: &Path) -> Result<Option<Note>, BackupError> {
    let path = path(state);
    read_or_set_aside(&path).map_err(|source| local(&path, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::make::scripted;

    #[test]
    fn only_who_is_active_and_was_not_is_put_back() {
        let noted: BTreeMap<String, String> =
            [("a", "COLD"), ("b", "COLD"), ("c", "FROZEN"), ("gone", "COLD")]
                .map(|(name, status)| (name.to_owned(), status.to_owned()))
                .into();
        let there = [to("a", "HOT"), to("b", "COLD"), to("c", "ACTIVE"), to("other", "HOT")];
        assert_eq!(changed(&noted, &there), [to("a", "COLD"), to("c", "FROZEN")]);
        assert_eq!(asleep(&noted, &there), 1);
        assert_eq!(asleep(&noted, &[to("a", "HOT"), to("other", "COLD")]), 0);
    }

    #[tokio::test]
    async fn who_does_not_wake_is_waited_for_no_longer_than_is_allowed() {
        let wanted: Tenants = [("A".to_owned(), [("a".to_owned(), "COLD".to_owned())].into())].into();
        let says = |status: &str| (200, format!(r#"[{{"name":"a","activityStatus":"{status}"}}]"#));
        let status = Status::default();
        let sleeps = scripted(&[says("COLD")]).await;
        let error =
            until_awake(&sleeps, &wanted, Duration::from_millis(10), &status).await.expect_err("asleep");
        assert!(
            matches!(&error, BackupError::Asleep { what, .. } if what.contains("collection A")),
            "{error}"
        );
        let wakes = scripted(&[says("COLD"), says("HOT")]).await;
        until_awake(&wakes, &wanted, Duration::from_secs(10), &status).await.expect("awake");
    }

    #[test]
    fn the_note_is_read_by_the_next_run() {
        let state = tempfile::tempdir().expect("a folder");
        assert_eq!((read(state.path()).expect("none"), is_left(state.path())), (None, false));
        let note = || Note {
            instance_id: "i-1".to_owned(),
            tenants: [("A".to_owned(), [("t".to_owned(), "COLD".to_owned())].into())].into(),
        };
        write(state.path(), &note()).expect("written");
        assert_eq!((read(state.path()).expect("there"), is_left(state.path())), (Some(note()), true));
        std::fs::write(path(state.path()), "{").expect("torn by somebody");
        // Which tenants it was about nobody knows any more: no reason to make no backup ever again.
        assert_eq!((read(state.path()).expect("set aside"), is_left(state.path())), (None, false));
    }
}
