//! Restoring: bytes into `.backup.tmp`, then class by class into place.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::Value;

use super::archive::{self, Compression};
use super::backend::{BackendError, Place};
use super::descriptor::{self, ClassDescriptor, Global, NEVER, PerNode};
use super::{is_canceled, poll};
use crate::App;
use crate::store::class::{Class, remove_dir};

/// Everything that the checks of the POST have found out.
#[derive(Debug)]
pub struct Plan {
    pub id: String,
    pub place: Place,
    pub global: Global,
    /// The node's name in the backup, and its descriptor cut down to the wanted classes.
    pub node: String,
    pub per_node: PerNode,
    pub mapping: BTreeMap<String, String>,
    pub workers: usize,
    pub overwrite_alias: bool,
}

impl Plan {
    fn key(&self) -> String {
        format!("{}/restore_config.json", self.id)
    }

    /// What `restore_config.json` says at this moment.
    fn config(&self, started: &str, status: &str, error: &str) -> Global {
        let mut config = self.global.clone();
        started.clone_into(&mut config.started_at);
        config.completed_at =
            if matches!(status, "TRANSFERRING" | "FINALIZING") { NEVER.into() } else { descriptor::now() };
        status.clone_into(&mut config.status);
        error.clone_into(&mut config.error);
        config.pre_compression_size_bytes = 0;
        config.leader.clone_from(&self.node);
        if let Some(node) = config.nodes.get_mut(&self.node) {
            node.classes = self.per_node.classes.iter().map(|class| class.name.clone()).collect();
            status.clone_into(&mut node.status);
            error.clone_into(&mut node.error);
        }
        config
    }

    async fn save(&self, started: &str, status: &str, error: &str) -> Result<(), BackendError> {
        let bytes = serde_json::to_vec(&self.config(started, status, error)).unwrap_or_default();
        self.place.put(&self.key(), bytes).await
    }
}

/// Writes the first `restore_config.json` and starts the work; what comes after is in the slot.
pub async fn start(app: &App, plan: Plan, canceled: Arc<AtomicBool>) -> Result<(), BackendError> {
    let started = descriptor::now();
    plan.save(&started, "TRANSFERRING", "").await?;
    app.slots.restore.set("TRANSFERRING");
    let app = app.clone();
    let plan = Arc::new(plan);
    tokio::spawn(async move {
        let (status, error) = run(&app, &plan, &started, &canceled).await;
        if let Err(error) = plan.save(&started, status, &error).await {
            crate::log::line("error", "restore", &format!("put final metadata: {error}"));
        }
        // Whoever reads the line may ask for the next one.
        app.slots.restore.release();
        crate::log::line("info", "restore", &format!("restore {}: {status} {error}", plan.id));
    });
    Ok(())
}

async fn run(
    app: &App,
    plan: &Arc<Plan>,
    started: &str,
    canceled: &Arc<AtomicBool>,
) -> (&'static str, String) {
    let participant = tokio::spawn(transfer(app.store.root.clone(), Arc::clone(plan), Arc::clone(canceled)));
    let timing = app.settings.timing;
    let outcome = poll(&timing, participant).await;
    if is_canceled(canceled) || !matches!(outcome, Ok(Ok(()))) {
        // Recording 16: the reason is in the log only.
        if let Ok(Err(reason)) = &outcome {
            crate::log::line("error", "restore", &format!("{}: {reason}", plan.id));
        }
        return ("CANCELED", "restore cancelled: write files: get files: context canceled".into());
    }
    app.slots.restore.set("FINALIZING");
    if let Err(error) = plan.save(started, "FINALIZING", "").await {
        return ("FAILED", error.to_string());
    }
    let mut failures = Vec::new();
    for class in &plan.per_node.classes {
        let exists = app.store.read().classes.contains_key(&class.name);
        if !exists {
            tokio::time::sleep(timing.class_apply).await;
        }
        if let Err(reason) = apply(app, plan, class) {
            failures.push(format!("\"{}\": error when trying to restore class: {reason}", class.name));
        }
    }
    if failures.is_empty() {
        ("SUCCESS", String::new())
    } else {
        ("FAILED", format!("could not restore classes: [{}]", failures.join(" ")))
    }
}

/// One chunk to fetch: its key, and for a base backup's chunk the files that are wanted of it.
pub type Fetch = (String, Option<BTreeSet<String>>);

pub fn fetches(id: &str, node: &str, class: &ClassDescriptor) -> Vec<Fetch> {
    let own = class.chunks.keys().map(|n| (format!("{id}/{node}/{}/chunk-{n}", class.name), None));
    let mut bases: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for shard in &class.shards {
        for (base, files) in &shard.incremental_backup_info.files_per_backup {
            for file in files {
                for key in &file.chunk_keys {
                    bases.entry(format!("{base}/{node}/{key}")).or_default().insert(file.file.clone());
                }
            }
        }
    }
    own.chain(bases.into_iter().map(|(key, files)| (key, Some(files)))).collect()
}

/// Classes one after another, the chunks of a class by as many workers as the request allows.
async fn transfer(root: std::path::PathBuf, plan: Arc<Plan>, canceled: Arc<AtomicBool>) -> io::Result<()> {
    let compression = Compression::of_type(&plan.global.compression_type)
        .ok_or_else(|| io::Error::other("unknown compression type"))?;
    for class in &plan.per_node.classes {
        let target = root.join(".backup.tmp").join(&class.name);
        remove_dir(&target)?;
        std::fs::create_dir_all(&target)?;
        let permits = Arc::new(tokio::sync::Semaphore::new(plan.workers));
        let mut tasks = tokio::task::JoinSet::new();
        for (key, wanted) in fetches(&plan.id, &plan.node, class) {
            let (plan, target, canceled) = (Arc::clone(&plan), target.clone(), Arc::clone(&canceled));
            let permits = Arc::clone(&permits);
            tasks.spawn(async move {
                let _permit = permits.acquire_owned().await.map_err(io::Error::other)?;
                let work = move || {
                    let named = |error: io::Error| io::Error::other(format!("unzip chunk {key}: {error}"));
                    let stream = plan.place.reader(&key).map_err(named)?;
                    archive::unpack(stream, compression, &target, wanted.as_ref(), &canceled).map_err(named)
                };
                tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
            });
        }
        // All are waited for, so that none writes behind the back of a later attempt.
        let mut outcome = Ok(());
        while let Some(done) = tasks.join_next().await {
            outcome = outcome.and(done.map_err(io::Error::other).flatten());
        }
        outcome?;
    }
    Ok(())
}

/// Renames the class's files into place and adds it to the schema.
fn apply(app: &App, plan: &Plan, class: &ClassDescriptor) -> Result<(), String> {
    let store = &app.store;
    let mut state = store.write();
    if state.classes.contains_key(&class.name) {
        return Err(format!("class name {} already exists", class.name));
    }
    if let Some(similar) = state.classes.keys().find(|name| name.eq_ignore_ascii_case(&class.name)) {
        return Err(format!("class already exists: found similar class \"{similar}\""));
    }
    let schema = descriptor::decode(&class.schema).ok_or("unmarshal class schema")?;
    let mut sharding = descriptor::decode(&class.sharding_state).ok_or("unmarshal sharding state")?;
    check_modules(&schema)?;
    map_nodes(&mut sharding, &plan.mapping);
    // Errors here are logged and forgotten by the real server as well (cluster/schema/manager.go).
    if let Err(error) = move_into_place(&store.root, &class.name) {
        crate::log::line("error", "restore", &format!("restore class directory {}: {error}", class.name));
    }
    let opened = Class::open(&store.root, schema, sharding).map_err(|error| error.to_string())?;
    state.classes.insert(class.name.clone(), opened);
    for alias in
        descriptor::decode(&class.aliases).iter().flat_map(|list| list.as_array().into_iter().flatten())
    {
        let name = alias["alias"].as_str().unwrap_or_default().to_owned();
        if plan.overwrite_alias || !state.aliases.contains_key(&name) {
            state.aliases.insert(name, class.name.clone());
        }
    }
    store.save(&state).map_err(|error| error.to_string())
}

/// The stand-in runs no vectorizer: a class that needs one meets a server without the module.
fn check_modules(schema: &Value) -> Result<(), String> {
    match schema["vectorizer"].as_str() {
        None | Some("" | "none") => Ok(()),
        Some(name) if name.starts_with("text2vec-transformers") => {
            Err(format!("vectorizer: no module with name \"{name}\" present"))
        }
        Some(_) => Ok(()),
    }
}

fn map_nodes(sharding: &mut Value, mapping: &BTreeMap<String, String>) {
    for physical in sharding["physical"].as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
        for node in physical["belongsToNodes"].as_array_mut().into_iter().flatten() {
            if let Some(new) = node.as_str().and_then(|old| mapping.get(old)) {
                *node = new.clone().into();
            }
        }
    }
}

fn move_into_place(root: &Path, class: &str) -> io::Result<()> {
    let staged = root.join(".backup.tmp").join(class);
    let mut outcome = Ok(());
    for entry in std::fs::read_dir(&staged)?.flatten() {
        outcome = outcome.and(std::fs::rename(entry.path(), root.join(entry.file_name())));
    }
    // Whatever could not be renamed is dropped: the class comes up empty or stale.
    remove_dir(&staged)?;
    outcome
}
