//! What this volume needs, and the bytes of it.

use super::super::choose::{Choice, Plan as ChoosePlan};
use super::super::error::RestoreError;
use super::super::evidence::{ChosenBackup, StagedBackup, Task};
use super::super::settings::Mode;
use super::super::stage::{self, Facts, Place, Plan, Remembered};
use super::super::{blocking, direct, lease, space, staging};
use super::choose::remind;
use crate::disk::{self, DataVolume};
use crate::host::Host;
use crate::manifest::{self, Held};
use crate::network;
use crate::report::Step;

/// Decides what this volume needs, and brings the bytes to it, checked.
pub async fn stage(
    host: &Host,
    volume: &DataVolume,
    chosen: ChosenBackup,
) -> Result<StagedBackup, RestoreError> {
    let remembered = volume.record().and_then(|r| r.restored.as_ref()).map(remember);
    let task = decide(host, volume, chosen, remembered).await?;
    if let Plan::Restore { .. } = task.plan {
        let task = bring(host, task).await?;
        return Ok(StagedBackup { task });
    }
    Ok(StagedBackup { task })
}

/// What [`stage`] would do on a volume with this record: for the command `plan`. Nothing is changed.
pub fn plan(
    host: &Host,
    record: Option<&disk::Restored>,
    chosen: ChosenBackup,
) -> Result<Plan, RestoreError> {
    let facts = Facts::new(&chosen.instance_id, record.map(remember), &chosen.choice);
    let plan = stage::decide(&facts);
    if !matches!(plan, Plan::Keep { .. }) {
        remind(host, &chosen.choice.plan);
    }
    refuse(host, &plan, chosen)?;
    Ok(plan)
}

pub(super) fn remember(restored: &disk::Restored) -> Remembered {
    Remembered {
        backup_id: restored.backup_id.clone(),
        generation: restored.generation,
        nonce: restored.nonce.clone(),
        verified: restored.verified,
        taken: restored.taken,
    }
}

/// The choice, unless the plan is to refuse.
fn refuse(host: &Host, plan: &Plan, chosen: ChosenBackup) -> Result<ChosenBackup, RestoreError> {
    let ChosenBackup { store, elsewhere, wish, instance_id, mut choice } = chosen;
    match plan {
        Plan::Refuse => match choice.refusal.take() {
            Some(refusal) => Err(refusal),
            // Decided from the same choice, which had one.
            None => Err(RestoreError::EmptyNotAllowed {
                bucket: store.bucket().to_owned(),
                prefix: store.settings().prefix.clone(),
            }),
        },
        Plan::RefuseGone { generation } => Err(RestoreError::ManifestGone {
            bucket: store.bucket().to_owned(),
            key: store.settings().key(manifest::NAME),
            record: host.settings.storage.mount.join(disk::RECORD).display().to_string(),
            generation: *generation,
        }),
        Plan::Keep { .. } | Plan::Restore { .. } | Plan::Empty => {
            Ok(ChosenBackup { store, elsewhere, wish, instance_id, choice })
        }
    }
}

/// What becomes of this volume; nothing has been fetched yet.
pub(super) async fn decide(
    host: &Host,
    volume: &DataVolume,
    chosen: ChosenBackup,
    remembered: Option<Remembered>,
) -> Result<Task, RestoreError> {
    let plan = stage::decide(&Facts::new(&chosen.instance_id, remembered, &chosen.choice));
    host.status.say(Step::Stage, plan.to_string());
    let kept = matches!(plan, Plan::Keep { .. });
    if !kept && host.journal.read().opened_in.is_some() {
        // An earlier run of this boot opened it, for data that is not ours any more: not a moment longer.
        network::withdraw(host).await?;
    }
    let ChosenBackup { store, elsewhere, wish, instance_id, choice } = refuse(host, &plan, chosen)?;
    if !kept {
        remind(host, &choice.plan);
    }
    let mode = host.settings.restore.mode.clone();
    let Choice { plan: chose, mut manifest, held, refusal: _ } = choice;
    let from = match (&chose, &elsewhere) {
        (ChoosePlan::UseSource { share, .. }, Some(elsewhere)) if !kept => elsewhere.origin(&manifest, share),
        _ => None,
    };
    if let (true, Held::Pointer(pointer)) = (kept, &held) {
        // What lies here is what it says, whatever another environment has by now.
        manifest = pointer.manifest.clone();
    }
    Ok(Task { store, elsewhere, from, wish, volume: volume.clone(), plan, manifest, held, mode, instance_id })
}

/// The bytes, where there are any to bring.
pub(super) async fn bring(host: &Host, mut task: Task) -> Result<Task, RestoreError> {
    lease::take(host, &task).await;
    match &task.mode {
        Mode::Staged => {
            let (tree, data) = (staging(&task.volume)?, task.volume.data_dir());
            let only = task.only();
            let place = Place {
                backups: &tree,
                mount: task.volume.mount(),
                node: task.node(),
                // Whatever lies there is emptied before the restore.
                goes: blocking(move || space::below(&data)).await?,
                limits: host.settings.restore.staging(1),
                only: only.as_ref(),
            };
            let store = task.lies().paced(host.settings.restore.rate);
            task.manifest = stage::bring(&store, place, task.manifest.clone(), &host.status).await?;
        }
        Mode::Direct { .. } => {
            host.status.warn(
                "restore.mode is \"direct\": the server reads the backup itself, so its bytes were not checked \
                 against the manifest, and its container has credentials",
            );
            direct::compare(&task.store, &task.manifest).await?;
            let data = task.volume.data_dir();
            let goes = blocking(move || space::below(&data)).await?;
            direct::fits(&task.store, task.volume.mount(), task.node(), &task.manifest, goes).await?;
        }
    }
    Ok(task)
}
