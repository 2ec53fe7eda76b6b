//! The steps of the boot that belong to this domain.

use std::path::Path;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use secrecy::ExposeSecret as _;

use super::choose::{self, Plan as Choosing, Wish};
use super::descriptor::{NODE, Node, tagged};
use super::error::RestoreError;
use super::evidence::{ChosenBackup, Fresh, Restored, StagedBackup, Task, Verified, Warm};
use super::serve::{self, Accepted, Order, Patience};
use super::settings::Mode;
use super::stage::{self, Facts, Plan, Remembered};
use super::verify::{self, Access, Seen};
use super::{refresh as again, staging};
use crate::container::{self, Running};
use crate::disk::{self, DataVolume};
use crate::host::Host;
use crate::instance::Identity;
use crate::manifest::{self, Collections, Held, Owned, Pointer};
use crate::network::{self, AttachedEni, LocatedEni};
use crate::secrets::{self, Secrets};
use crate::store::Store;
use crate::weaviate::{Backend, Client};

/// A client for the bucket: with the instance's role, or with keys of its own for a store that is not AWS.
pub async fn connect(host: &Host, me: &Identity) -> Result<Store, RestoreError> {
    let keys = match &host.settings.backup.credentials {
        None => None,
        Some(keys) => {
            let access = secrets::value(host, me, &keys.access_key).await?;
            let secret = secrets::value(host, me, &keys.secret_key).await?;
            Some(SharedCredentialsProvider::new(Credentials::new(
                access.expose_secret(),
                secret.expose_secret(),
                None,
                None,
                "backup.credentials",
            )))
        }
    };
    Ok(Store::connect(host, me.region(), keys).await)
}

/// Finds out what is to be restored. Changes nothing.
pub async fn choose(host: &Host, me: &Identity, located: &LocatedEni) -> Result<ChosenBackup, RestoreError> {
    let store = connect(host, me).await?;
    host.status.say("choose", format!("looks into s3://{}", store.bucket()));
    let settings = &host.settings;
    let wish = Wish {
        deployment: settings.node.deployment.to_string(),
        node: settings.node.name.to_string(),
        allow_empty: settings.restore.allow_empty,
        unverified: settings.restore.unverified,
        eni: located.id().to_owned(),
        initialized: located.initialized(),
        image: tagged(&settings.weaviate.image).map(str::to_owned),
    };
    let choice = choose::choose(&store, &wish).await?;
    if let Choosing::StartEmpty { .. } | Choosing::UseCopy | Choosing::UseUnverified = choice.plan {
        tracing::warn!(step = "choose", "{}", choice.plan);
    }
    host.status.done("choose");
    Ok(ChosenBackup { store, wish, instance_id: me.instance_id().to_owned(), choice })
}

/// Decides what this volume needs, and brings the bytes to it, checked.
pub async fn stage(
    host: &Host,
    volume: &DataVolume,
    chosen: ChosenBackup,
) -> Result<StagedBackup, RestoreError> {
    let remembered = volume.record().and_then(|r| r.restored.as_ref()).map(remember);
    let task = stage_with(host, volume, chosen, remembered).await?;
    Ok(StagedBackup { task })
}

/// What [`stage`] would do on a volume with this record: for the command `plan`. Nothing is changed.
pub fn plan(record: Option<&disk::Restored>, chosen: ChosenBackup) -> Result<Plan, RestoreError> {
    let ChosenBackup { store: _, wish: _, instance_id, choice } = chosen;
    let plan = stage::decide(&Facts::new(&instance_id, record.map(remember), &choice));
    match (plan, choice.refusal) {
        (Plan::Refuse, Some(refusal)) => Err(refusal),
        (plan, _) => Ok(plan),
    }
}

fn remember(restored: &disk::Restored) -> Remembered {
    Remembered {
        backup_id: restored.backup_id.clone(),
        generation: restored.generation,
        nonce: restored.nonce.clone(),
        verified: restored.verified,
    }
}

async fn stage_with(
    host: &Host,
    volume: &DataVolume,
    chosen: ChosenBackup,
    remembered: Option<Remembered>,
) -> Result<Task, RestoreError> {
    let ChosenBackup { store, wish, instance_id, choice } = chosen;
    let facts = Facts::new(&instance_id, remembered, &choice);
    let plan = stage::decide(&facts);
    tracing::info!(step = "stage", %plan);
    host.status.say("stage", plan.to_string());
    if plan == Plan::Refuse
        && let Some(refusal) = choice.refusal
    {
        return Err(refusal);
    }
    let settings = &host.settings.restore;
    let mut manifest = choice.manifest;
    if let Plan::Restore { .. } = plan {
        match &settings.mode {
            Mode::Staged => {
                let tree = staging(volume)?;
                manifest = stage::bring(
                    &store,
                    &tree,
                    volume.mount(),
                    &wish.node,
                    manifest,
                    settings.connections,
                    &host.status,
                )
                .await?;
            }
            Mode::Direct { .. } => stage::compare(&store, &manifest).await?,
        }
    }
    host.status.done("stage");
    let mode = settings.mode.clone();
    Ok(Task { store, wish, volume: volume.clone(), plan, manifest, held: choice.held, mode })
}

fn client(running: &Running, secrets: &Secrets) -> Client {
    Client::new(&running.base_url(), Some(secrets.admin().clone()))
}

/// Makes the server take the data over, on an empty data directory.
pub async fn restore(
    host: &Host,
    staged: StagedBackup,
    running: Running,
    secrets: &Secrets,
) -> Result<Restored, RestoreError> {
    let StagedBackup { task } = staged;
    let running = restore_with(host, &task, running, secrets).await?;
    host.status.done("restore");
    Ok(Restored { task, running })
}

async fn restore_with(
    host: &Host,
    task: &Task,
    mut running: Running,
    secrets: &Secrets,
) -> Result<Running, RestoreError> {
    if let Plan::Keep { .. } = task.plan {
        return Ok(running);
    }
    // An earlier run of this boot may have opened it, for the data that goes now.
    network::withdraw(host).await?;
    let data = task.volume.data_dir();
    // The record counts too: data that it calls restored may be of collections that were deleted since.
    let recorded = task.volume.reread()?.restored.is_some();
    let occupied = serve::occupied(&client(&running, secrets), &data).await?;
    if let Some(what) = occupied.or_else(|| recorded.then(|| "data of an earlier restore".to_owned())) {
        running = reset(host, task, running, &what).await?;
    }
    let Plan::Restore { backup } = &task.plan else { return Ok(running) };
    let root = task.manifest.root();
    let order = Order {
        backend: backend(&task.mode),
        backup,
        cpu_percentage: host.settings.restore.cpu_percentage,
        path: (matches!(task.mode, Mode::Direct { .. }) && root != task.store.settings().prefix)
            .then_some(root),
        mount: task.volume.mount(),
    };
    host.status.say("restore", format!("orders the restore of {backup}"));
    if let Accepted::Busy(what) = serve::order(&client(&running, secrets), &order).await? {
        running = reset(host, task, running, &what).await?;
        if let Accepted::Busy(message) = serve::order(&client(&running, secrets), &order).await? {
            return Err(RestoreError::NotAccepted { backup: backup.clone(), message });
        }
    }
    serve::wait(&client(&running, secrets), &order, Patience::default(), &host.status).await?;
    let descriptors = descriptors(task).await?;
    let set = blocking(move || serve::put_times_back(&data, &descriptors)).await?;
    tracing::info!(step = "restore", backup, files = set, "modification times put back");
    Ok(running)
}

const fn backend(mode: &Mode) -> Backend {
    match mode {
        Mode::Staged => Backend::Filesystem,
        Mode::Direct { .. } => Backend::S3,
    }
}

/// A new server on an empty data directory.
async fn reset(host: &Host, task: &Task, running: Running, what: &str) -> Result<Running, RestoreError> {
    tracing::warn!(step = "restore", what, "the data directory is emptied");
    host.status.say("restore", format!("empties the data directory: {what}"));
    container::stop(host, &running).await?;
    disk::empty_data(host, &task.volume).await?;
    Ok(container::restart(host, &running).await?)
}

/// The node descriptors of the chain, oldest first.
async fn descriptors(task: &Task) -> Result<Vec<Node>, RestoreError> {
    let mut found = Vec::new();
    for link in &task.manifest.chain {
        let path = Path::new(link).join(&task.wish.node).join(NODE);
        let bytes = match &task.mode {
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
            Some(Err(error)) => tracing::warn!(link, %error, "node descriptor cannot be read"),
            None => tracing::warn!(link, "node descriptor is not there"),
        }
    }
    Ok(found)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RestoreError> + Send + 'static,
) -> Result<T, RestoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| {
        Err(RestoreError::Local { path: "data".to_owned(), source: std::io::Error::other(panic) })
    })
}

/// Counts what the server has and compares; looks who may see it.
pub async fn verify(host: &Host, restored: Restored, secrets: &Secrets) -> Result<Verified, RestoreError> {
    let Restored { task, running } = restored;
    let seen = verify_with(host, &task, &running, secrets).await?;
    host.status.done("verify");
    Ok(Verified { task, running, seen })
}

async fn verify_with(
    host: &Host,
    task: &Task,
    running: &Running,
    secrets: &Secrets,
) -> Result<Seen, RestoreError> {
    let client = client(running, secrets);
    host.status.say("verify", "counts");
    let weaviate = &host.settings.weaviate;
    let wanted = Access { anonymous: weaviate.anonymous, reader: secrets.reader().cloned() };
    verify::access(&client, &wanted).await?;
    let mut modules: Vec<&str> = weaviate.modules.iter().map(String::as_str).collect();
    modules.push(backend(&task.mode).module());
    verify::server(&client.meta().await?, &task.manifest, &modules)?;
    let seen = verify::count(&client).await?;
    match task.plan {
        Plan::Keep { .. } => compare_kept(&task.volume, &seen)?,
        Plan::Restore { .. } | Plan::Empty | Plan::Refuse => verify::compare(&task.manifest, &seen)?,
    }
    tracing::info!(step = "verify", collections = seen.collections.len(), "verified");
    Ok(seen)
}

/// Kept data is compared with the counts of the last clean stop. After any other stop clients may have
/// written since the last count, so a difference is only said.
fn compare_kept(volume: &DataVolume, seen: &Seen) -> Result<(), RestoreError> {
    let record = volume.reread()?;
    if let Some(counts) = &record.clean_stop {
        let found = verify::differences(&from_record(counts), &seen.collections);
        if found.is_empty() {
            return Ok(());
        }
        let reference = "the last clean stop".to_owned();
        return Err(RestoreError::Differs { reference, differences: found });
    }
    let restored = record.restored.map(|r| from_record(&r.collections)).unwrap_or_default();
    let differences = verify::differences(&restored, &seen.collections);
    tracing::warn!(
        step = "verify",
        ?differences,
        "the server was not stopped cleanly: its data is kept, and what changed since the restore is only said"
    );
    Ok(())
}

type Recorded = std::collections::BTreeMap<String, std::collections::BTreeMap<String, disk::TenantRecord>>;

fn from_record(recorded: &Recorded) -> Collections {
    let tenant = |t: &disk::TenantRecord| manifest::Tenant {
        objects: t.objects,
        status: t.status.clone(),
        ..manifest::Tenant::default()
    };
    let collection = |tenants: &std::collections::BTreeMap<String, disk::TenantRecord>| {
        let tenants = tenants.iter().map(|(name, t)| (name.clone(), tenant(t))).collect();
        manifest::Collection { tenants, ..manifest::Collection::default() }
    };
    recorded.iter().map(|(name, tenants)| (name.clone(), collection(tenants))).collect()
}

/// Reads the manifest again, now that the interface is ours and nobody else can serve: the old node's last
/// backup may have landed meanwhile. Then all of it is done again.
pub async fn refresh(
    host: &Host,
    me: &Identity,
    verified: Verified,
    _eni: &AttachedEni,
    secrets: &Secrets,
) -> Result<Fresh, RestoreError> {
    let Verified { mut task, mut running, mut seen } = verified;
    loop {
        let settings = task.store.settings();
        let key = settings.key(manifest::NAME);
        let now = manifest::read(&task.store, &key, &task.wish.deployment, &task.wish.node).await?;
        match again::decide(&task.held, now.as_ref(), &task.plan, &task.manifest) {
            again::Plan::Unchanged => break,
            again::Plan::Follow => {
                task.held = now.map_or(Held::Nothing, |pointer| Held::Pointer(Box::new(pointer)));
                break;
            }
            again::Plan::Again => {
                say_moved(host, now.as_ref());
                let choice = choose::choose(&task.store, &task.wish).await?;
                let Task { store, wish, volume, .. } = task;
                let instance_id = me.instance_id().to_owned();
                let chosen = ChosenBackup { store, wish, instance_id, choice };
                let record = volume.reread()?;
                let remembered = record.restored.as_ref().map(remember);
                task = stage_with(host, &volume, chosen, remembered).await?;
                // What is on the volume is of the older backup.
                if !matches!(task.plan, Plan::Keep { .. }) {
                    running = reset(host, &task, running, "a newer backup was published").await?;
                }
                running = restore_with(host, &task, running, secrets).await?;
                seen = verify_with(host, &task, &running, secrets).await?;
            }
            again::Plan::Vanished => {
                let bucket = task.store.bucket().to_owned();
                return Err(manifest::ManifestError::Vanished { bucket, key }.into());
            }
        }
    }
    let tree = staging(&task.volume)?;
    let remove = move || -> Result<(), RestoreError> {
        for name in tree.names(Path::new(""))? {
            tree.remove(Path::new(&name))?;
        }
        Ok(())
    };
    blocking(remove).await?;
    host.status.done("refresh");
    Ok(Fresh { task, running, seen })
}

fn say_moved(host: &Host, now: Option<&Pointer>) {
    let backup = now.and_then(|p| p.manifest.backup_id.as_deref()).unwrap_or("none");
    tracing::info!(step = "refresh", backup, "the manifest moved while we waited");
    host.status.say("refresh", format!("the manifest moved on to {backup}"));
}

/// Sends the configured queries once. A query that fails is said, and stops nothing: the data is right.
pub async fn warm(host: &Host, owned: Owned, secrets: &Secrets) -> Result<Warm, RestoreError> {
    let (eni, running, volume, restored) = owned.into_parts();
    let client = client(&running, secrets);
    for (n, query) in host.settings.restore.warm.iter().enumerate() {
        host.status.say("warm", format!("query {} of {}", n + 1, host.settings.restore.warm.len()));
        let why = match client.graphql(query).await {
            Ok(answer) if answer.status == 200 && answer.body["errors"].is_null() => continue,
            Ok(answer) => {
                answer.body["errors"][0]["message"].as_str().map_or_else(|| answer.message(), str::to_owned)
            }
            Err(error) => error.to_string(),
        };
        host.status.warn(format!("query {} of restore.warm failed: {why}", n + 1));
    }
    host.status.done("warm");
    Ok(Warm { eni, running, volume, restored })
}
