//! Whether what was restored is still the latest, now that the interface is ours.

use super::super::error::RestoreError;
use super::super::evidence::{ChosenBackup, Fresh, Task, Verified};
use super::super::refresh::{self as again, Plan};
use super::super::stage::Plan as Staging;
use super::restore::{empty, into_server};
use super::{choose, stage, verify};
use crate::container;
use crate::host::Host;
use crate::instance::Identity;
use crate::manifest::{self, Held, Pointer};
use crate::network::{self, AttachedEni};
use crate::report::Step;
use crate::retry::retry;
use crate::secrets::Secrets;

/// Reads the manifest again, now that the interface is ours and nobody else can serve: the old node's last
/// backup may have landed meanwhile. Then all of it is done again. Last of all: that the interface still is ours.
pub async fn refresh(
    host: &Host,
    me: &Identity,
    verified: impl Into<Verified>,
    eni: &AttachedEni,
    secrets: &Secrets,
) -> Result<Fresh, RestoreError> {
    let Verified { mut task, mut running, mut seen, mut synced } = verified.into();
    loop {
        let key = task.store.settings().key(manifest::NAME);
        let read = || manifest::read(&task.store, &key, &task.wish.deployment, &task.wish.node);
        let now = retry(super::ASK, super::again(host, Step::Refresh), read).await?;
        match again::decide(&task.held, now.as_ref(), &task.plan, &task.manifest) {
            Plan::Unchanged => break,
            Plan::Follow => {
                task.held = now.map_or(Held::Nothing, |pointer| Held::Pointer(Box::new(pointer)));
                break;
            }
            Plan::Again => {
                say_moved(host, now.as_ref());
                let elsewhere = task.elsewhere.as_ref();
                let choice = choose::look(host, &task.store, elsewhere, &task.wish, Step::Refresh).await?;
                let Task { store, elsewhere, wish, volume, .. } = task;
                let instance_id = me.instance_id().to_owned();
                let chosen = ChosenBackup { store, elsewhere, wish, instance_id, choice };
                let record = volume.reread()?;
                let remembered = record.restored.as_ref().map(stage::remember);
                task = stage::decide(host, &volume, chosen, remembered).await?;
                if !matches!(task.plan, Staging::Keep { .. }) {
                    // What is on the volume is of the older backup, and both may not fit: it goes first. The new
                    // server starts behind the transfers.
                    empty(host, &task, &running, "a newer backup was published").await?;
                    let restarted =
                        async { Ok::<_, RestoreError>(container::restart(host, &running).await?) };
                    let brought = async {
                        let _working = host.status.begin(Step::Stage);
                        match task.plan {
                            Staging::Restore { .. } => stage::bring(host, task).await,
                            Staging::Keep { .. }
                            | Staging::Empty
                            | Staging::Refuse
                            | Staging::RefuseGone { .. } => Ok(task),
                        }
                    };
                    (task, running) = tokio::try_join!(Box::pin(brought), Box::pin(restarted))?;
                }
                running = Box::pin(into_server(host, &task, running, secrets)).await?;
                (seen, synced) = Box::pin(verify::look(host, &task, &running, secrets)).await?;
            }
            Plan::Vanished => {
                let bucket = task.store.bucket().to_owned();
                return Err(manifest::ManifestError::Vanished { bucket, key }.into());
            }
        }
    }
    // After it was read, and not before: an interface that was taken from us meanwhile may have a new owner, whose manifest
    // this is, and whose fence nobody may take who does not hold it. Whoever has it from now on changes the manifest.
    network::check_link(host, Step::Refresh, eni).await?;
    Ok(Fresh { task, running, seen, synced })
}

fn say_moved(host: &Host, now: Option<&Pointer>) {
    let backup = now.and_then(|p| p.manifest.backup_id.as_deref()).unwrap_or("none");
    tracing::info!(backup_id = backup, "the manifest moved to {backup} while we waited");
    host.status.say(Step::Refresh, format!("the manifest moved on to {backup}"));
}
