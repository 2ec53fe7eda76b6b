//! Whether the server has what it should have, and shows it to those only who may see it.

use super::super::blocking;
use super::super::error::RestoreError;
use super::super::evidence::{Restored, Task, Verified};
use super::super::kept::{self, Kept};
use super::super::samples;
use super::super::stage::Plan;
use super::super::verify::{self, Access, Seen};
use super::client;
use crate::container::Running;
use crate::disk::Synced;
use crate::host::Host;
use crate::report::Step;
use crate::secrets::Secrets;
use crate::weaviate::Client;

/// Counts what the server has and compares; looks who may see it.
pub async fn verify(host: &Host, restored: Restored, secrets: &Secrets) -> Result<Verified, RestoreError> {
    let Restored { task, running } = restored;
    let (seen, synced) = look(host, &task, &running, secrets).await?;
    Ok(Verified { task, running, seen, synced })
}

/// What the server has, and that it is on the disk; the latter only for what was not there before.
pub(super) async fn look(
    host: &Host,
    task: &Task,
    running: &Running,
    secrets: &Secrets,
) -> Result<(Seen, Option<Synced>), RestoreError> {
    let _working = host.status.begin(Step::Verify);
    let client = client(running, secrets);
    host.status.say(Step::Verify, "counts");
    let weaviate = &host.settings.weaviate;
    let wanted = Access {
        anonymous: weaviate.anonymous,
        writer: secrets.writer().cloned(),
        reader: secrets.reader().cloned(),
    };
    verify::access(&client, &wanted).await?;
    let mut modules: Vec<&str> = weaviate.modules.iter().map(String::as_str).collect();
    // Of the boot's own, and of the backups to come.
    modules.extend([&task.mode, &host.settings.making.mode].map(|mode| mode.backend().module()));
    verify::server(&client.meta().await?, &task.manifest, &modules)?;
    let seen = verify::count(&client, &host.status).await?;
    let synced = match task.plan {
        Plan::Keep { .. } => {
            compare_kept(host, task, running, &seen)?;
            None
        }
        Plan::Restore { .. } | Plan::Empty | Plan::Refuse | Plan::RefuseGone { .. } => {
            verify::compare(&task.manifest, &seen)?;
            if let Some(words) = verify::unprotected(&task.manifest) {
                host.status.warn(words);
            }
            compare_samples(host, task, &client).await?;
            // Here and not when the record is written: while the interface is awaited it costs no client anything.
            host.status.say(Step::Verify, "waits until the disk has it all");
            let volume = task.volume.clone();
            Some(blocking(move || Ok(volume.sync()?)).await?)
        }
    };
    tracing::info!("verified {} collections", seen.collections.len());
    Ok((seen, synced))
}

/// Some objects by their ids, where the manifest has their digests.
async fn compare_samples(host: &Host, task: &Task, client: &Client) -> Result<(), RestoreError> {
    let most = host.settings.restore.samples as usize;
    let found = samples::differences(client, &task.manifest.collections, most, &host.status).await?;
    if found.is_empty() {
        return Ok(());
    }
    let id = task.manifest.backup_id.as_deref().unwrap_or_default();
    Err(RestoreError::Differs { reference: format!("the manifest of {id}"), differences: found })
}

fn compare_kept(host: &Host, task: &Task, running: &Running, seen: &Seen) -> Result<(), RestoreError> {
    let record = task.volume.reread()?;
    let differs = |reference: &str, differences| {
        let data = task.volume.data_dir().display().to_string();
        Err(RestoreError::KeptDiffers { data, reference: reference.to_owned(), differences })
    };
    match kept::decide(&record, running.process(), &seen.collections) {
        Kept::Unbroken | Kept::Replaced | Kept::Same => Ok(()),
        Kept::Changed(found) => differs("the count at the last clean stop", found),
        Kept::Lost(found) => differs("the volume's record of what was restored", found),
        Kept::Unclean(found) => {
            let since = match found.as_slice() {
                [] => "it counts as it did after the restore".to_owned(),
                found => format!("since the restore: {}", found.join("; ")),
            };
            host.status.warn(format!("the server was not stopped cleanly, and its data is kept; {since}"));
            Ok(())
        }
    }
}
