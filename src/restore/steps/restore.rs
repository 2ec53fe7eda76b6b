//! The server takes the data over, on an empty data directory.

use std::path::Path;
use std::time::Duration;

use rand::RngExt as _;

use super::super::error::RestoreError;
use super::super::evidence::{Restored, StagedBackup, Task};
use super::super::serve::{self, Accepted, Order, Patience};
use super::super::settings::Mode;
use super::super::stage::Plan;
use super::super::{blocking, staging};
use super::client;
use crate::container::{self, LastWords, Running};
use crate::disk;
use crate::host::Host;
use crate::report::Step;
use crate::secrets::Secrets;
use crate::weaviate::RestoreConfig;
use crate::weaviate::descriptor::{NODE, Node};

/// In direct mode the server's own transfer meets the store's trouble, which staging would have met and retried.
const DIRECT_TRIES: u32 = 3;
/// Before the second one; doubled for the third: each transfers the whole backup anew.
const DIRECT_PAUSE: Duration = Duration::from_secs(2);

/// Makes the server take the data over, on an empty data directory.
pub async fn restore(
    host: &Host,
    staged: StagedBackup,
    running: Running,
    secrets: &Secrets,
) -> Result<Restored, RestoreError> {
    let StagedBackup { task } = staged;
    let running = into_server(host, &task, running, secrets).await?;
    Ok(Restored { task, running })
}

pub(super) async fn into_server(
    host: &Host,
    task: &Task,
    mut running: Running,
    secrets: &Secrets,
) -> Result<Running, RestoreError> {
    let _working = host.status.begin(Step::Restore);
    if let Plan::Keep { .. } = task.plan {
        return Ok(running);
    }
    let data = task.volume.data_dir();
    // The record counts too: data that it calls restored may be of collections that were deleted since.
    let recorded = task.volume.reread()?.restored.is_some();
    let occupied = serve::occupied(&client(&running, secrets), &data).await?;
    if let Some(what) = occupied.or_else(|| recorded.then(|| "data of an earlier restore".to_owned())) {
        running = reset(host, task, running, &what).await?;
    }
    let Plan::Restore { backup } = &task.plan else { return Ok(running) };
    let tries = if matches!(task.mode, Mode::Direct { .. }) { DIRECT_TRIES } else { 1 };
    for tried in 1..=tries {
        let done = once(host, task, backup, running.clone(), secrets).await;
        match done {
            Ok(done) => {
                running = done;
                break;
            }
            // A server that started while its agent was dead has no credentials for good: it asks for them once, at
            // its start (Weaviate 1.39.0, modules/backup-s3/client.go).
            Err(error) if tried < tries && may_pass(&error) => {
                host.status.warn(format!("try {tried} of {tries} in direct mode failed: {error}"));
                tokio::time::sleep(
                    DIRECT_PAUSE.mul_f64(f64::from(tried) * rand::rng().random_range(0.5..=1.0)),
                )
                .await;
                running = reset(host, task, running, &error.to_string()).await?;
            }
            Err(error) => return Err(error),
        }
    }
    let descriptors = descriptors(task).await?;
    let set = blocking(move || serve::put_times_back(&data, &descriptors)).await?;
    tracing::info!(backup_id = backup, "put the modification times of {set} files back");
    Ok(running)
}

/// Whether a new server may bring what this one did not: its transfer met the store's trouble, or it has no
/// credentials and the store refused it the backup's descriptor (recording 15; a backup that is not there is "metadata
/// not found").
fn may_pass(error: &RestoreError) -> bool {
    match error {
        RestoreError::Ended { .. } | RestoreError::NotAccepted { again: true, .. } => true,
        RestoreError::NotAccepted { message, again: false, .. } => {
            message.contains("get object contents") && !message.contains("metadata not found")
        }
        _ => false,
    }
}

/// One order, and its end; what the server said last belongs to an end that is bad.
async fn once(
    host: &Host,
    task: &Task,
    backup: &str,
    mut running: Running,
    secrets: &Secrets,
) -> Result<Running, RestoreError> {
    let (root, settings) = (task.manifest.root(), &host.settings.restore);
    let order = Order {
        backend: task.mode.backend(),
        backup,
        config: RestoreConfig {
            cpu_percentage: settings.cpu_percentage,
            path: (matches!(task.mode, Mode::Direct { .. }) && root != task.store.settings().prefix)
                .then(|| root.to_owned()),
            users_options: settings.users.option(),
            roles_options: settings.roles.option(),
        },
        only: task.only().into_iter().flatten().collect(),
        overwrite_alias: false,
        renamed: task.renamed(),
        mount: task.volume.mount(),
    };
    host.status.say(Step::Restore, format!("orders the restore of {backup}"));
    if let Accepted::Busy(what) = serve::order(&client(&running, secrets), &order).await? {
        running = reset(host, task, running, &what).await?;
        if let Accepted::Busy(message) = serve::order(&client(&running, secrets), &order).await? {
            return Err(RestoreError::NotAccepted { backup: backup.to_owned(), message, again: false });
        }
    }
    match serve::wait(&client(&running, secrets), &order, Patience::default(), &host.status).await {
        Ok(()) => Ok(running),
        Err(error) => Err(with_last_words(host, &running, error).await),
    }
}

/// The status says little ("restore cancelled: write files: get files: context canceled", recording 16): the reason
/// stands in the server's log, and its exit code tells whether it lives.
async fn with_last_words(host: &Host, running: &Running, error: RestoreError) -> RestoreError {
    let LastWords { code, oom, log } = match container::last_words(host, running).await {
        Ok(words) => words,
        Err(cause) => {
            tracing::warn!(error = %cause, "the server's log cannot be read: {cause}");
            return error;
        }
    };
    match (error, code) {
        (RestoreError::Ended { backup, state, message, log: _ }, None) => {
            RestoreError::Ended { backup, state, message, log }
        }
        (_, Some(code)) => container::ContainerError::Exited { code, oom, log }.into(),
        (error, None) => error,
    }
}

/// A new server on an empty data directory.
pub(super) async fn reset(
    host: &Host,
    task: &Task,
    running: Running,
    what: &str,
) -> Result<Running, RestoreError> {
    empty(host, task, &running, what).await?;
    Ok(container::restart(host, &running).await?)
}

/// The server stopped, and its data gone.
pub(super) async fn empty(
    host: &Host,
    task: &Task,
    running: &Running,
    what: &str,
) -> Result<(), RestoreError> {
    tracing::warn!("the data directory is emptied: {what}");
    host.status.say(Step::Restore, format!("empties the data directory: {what}"));
    container::stop(host, running).await?;
    Ok(disk::empty_data(host, &task.volume).await?)
}

/// The node descriptors of the chain, oldest first.
async fn descriptors(task: &Task) -> Result<Vec<Node>, RestoreError> {
    let mut found = Vec::new();
    for link in &task.manifest.chain {
        let path = Path::new(link).join(task.node()).join(NODE);
        let bytes: Option<Vec<u8>> = match &task.mode {
            Mode::Staged => staging(&task.volume)?.read_all(&path)?,
            Mode::Direct { .. } => {
                let root = task.manifest.root();
                let slash = if root.is_empty() { "" } else { "/" };
                let key = format!("{root}{slash}{}", path.display());
                Some(task.store.get(&key).await?.bytes.to_vec())
            }
        };
        // The server has read it, so it can be read; without it only the next backup is larger.
        match bytes.map(|b| serde_json::from_slice(&b)) {
            Some(Ok(node)) => found.push(node),
            Some(Err(error)) => {
                tracing::warn!(%error, "the node's descriptor of {link} cannot be read: {error}");
            }
            None => tracing::warn!("the node's descriptor of {link} is not there"),
        }
    }
    Ok(found)
}
