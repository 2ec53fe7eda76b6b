//! Making backups: shards flushed, their files packed into chunks, big unchanged files referred to.
//!
//! ```text
//! shard ─► flush ─► files: in memory (3) │ small: together, up to the target size │ big: one chunk each
//!                                                      big, same size and mtime in the base chain ─► reference
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rand::seq::SliceRandom;

use super::archive::{self, Compression, IN_MEMORY};
use super::backend::{BackendError, Place};
use super::descriptor::{
    self, BigFile, ClassDescriptor, Global, NEVER, NodeEntry, PerNode, ShardDescriptor, Unchanged,
};
use super::{is_canceled, poll};
use crate::App;
use crate::settings::Settings;
use crate::store::Store;
use crate::store::class::Class;

/// Everything that the checks of the POST have found out.
#[derive(Debug)]
pub struct Plan {
    pub id: String,
    pub place: Place,
    pub classes: Vec<String>,
    pub compression: Compression,
    pub base: Option<Base>,
    /// The server's.
    pub version: String,
}

/// The chain below an incremental backup: for each big file the newest place that holds it.
#[derive(Debug, Default)]
pub struct Base {
    pub id: String,
    pub files: BTreeMap<String, (String, BigFile)>,
}

const STRUCTURE_VERSION: &str = "2.1";

/// Reads the descriptors of a base and of its bases; the text of the refusal otherwise.
pub async fn base_chain(place: &Place, node: &str, base: &str) -> Result<Base, String> {
    let mut chain = Base { id: base.to_owned(), ..Base::default() };
    let mut next = base.to_owned();
    for _ in 0..100 {
        let fail = |error: &dyn std::fmt::Display| {
            format!("resolve base backup chain: could not fetch base backup: {error}")
        };
        let global = place.get(&format!("{next}/backup_config.json")).await.map_err(|error| fail(&error))?;
        let global: Global = serde_json::from_slice(&global).map_err(|error| fail(&error))?;
        if global.status != "SUCCESS" {
            return Err(fail(&format!("base backup {next} has status {}", global.status)));
        }
        let own = place.get(&format!("{next}/{node}/backup.json")).await.map_err(|error| fail(&error))?;
        let own: PerNode = serde_json::from_slice(&own).map_err(|error| fail(&error))?;
        for shard in own.classes.into_iter().flat_map(|class| class.shards) {
            for (path, big) in shard.big_files_chunk {
                chain.files.entry(path).or_insert_with(|| (next.clone(), big));
            }
        }
        if global.base_backup_id.is_empty() {
            return Ok(chain);
        }
        next = global.base_backup_id;
    }
    Err("resolve base backup chain: too long".into())
}

pub fn global(plan: &Plan, node: &str, started: &str) -> Global {
    let entry = NodeEntry { classes: plan.classes.clone(), status: "STARTED".into(), ..NodeEntry::default() };
    Global {
        started_at: started.to_owned(),
        completed_at: NEVER.into(),
        id: plan.id.clone(),
        nodes: BTreeMap::from([(node.to_owned(), entry)]),
        status: "STARTED".into(),
        version: STRUCTURE_VERSION.into(),
        server_version: plan.version.clone(),
        leader: node.to_owned(),
        compression_type: plan.compression.type_name().into(),
        base_backup_id: plan.base.as_ref().map_or_else(String::new, |base| base.id.clone()),
        ..Global::default()
    }
}

pub async fn save(plan: &Plan, global: &Global) -> Result<(), BackendError> {
    let key = format!("{}/backup_config.json", plan.id);
    plan.place.put(&key, serde_json::to_vec(global).unwrap_or_default()).await
}

/// Writes the first descriptor and starts the work.
pub async fn start(app: &App, plan: Plan, canceled: Arc<AtomicBool>) -> Result<(), BackendError> {
    let node = app.store.node.clone();
    let mut global = global(&plan, &node, &descriptor::now());
    save(&plan, &global).await?;
    let app = app.clone();
    let plan = Arc::new(plan);
    tokio::spawn(async move {
        let work = {
            let (app, plan, canceled) = (app.clone(), Arc::clone(&plan), Arc::clone(&canceled));
            tokio::task::spawn_blocking(move || {
                let Settings { min_chunk, target_chunk, .. } = app.settings;
                pack(&Source { store: &app.store, min_chunk, target_chunk }, &plan, &canceled)
            })
        };
        let outcome = poll(&app.settings.timing, work).await;
        let outcome = outcome.unwrap_or_else(|error| Err(io::Error::other(error)));
        finish(&mut global, &node, is_canceled(&canceled), outcome);
        if let Ok(own) = per_node_of(&plan, &global, &node).await
            && let Err(error) = own
        {
            crate::log::line("error", "backup", &error);
        }
        if let Err(error) = save(&plan, &global).await {
            crate::log::line("error", "backup", &format!("put final metadata: {error}"));
        }
        // Whoever reads the line may ask for the next one.
        app.slots.create.release();
        crate::log::line(
            "info",
            "backup",
            &format!("backup {}: {} {}", plan.id, global.status, global.error),
        );
    });
    Ok(())
}

/// A failed or canceled backup leaves its node descriptor as it is; nothing to do for a good one.
async fn per_node_of(plan: &Plan, global: &Global, node: &str) -> Result<Result<(), String>, ()> {
    if global.status == "SUCCESS" {
        return Err(());
    }
    let own = PerNode {
        started_at: global.started_at.clone(),
        completed_at: NEVER.into(),
        id: plan.id.clone(),
        status: "TRANSFERRING".into(),
        version: STRUCTURE_VERSION.into(),
        server_version: plan.version.clone(),
        error: global.error.clone(),
        ..PerNode::default()
    };
    let key = format!("{}/{node}/backup.json", plan.id);
    let put = plan.place.put(&key, serde_json::to_vec(&own).unwrap_or_default()).await;
    Ok(put.map_err(|error| error.to_string()))
}

pub fn finish(global: &mut Global, node: &str, canceled: bool, outcome: io::Result<u64>) {
    global.completed_at = descriptor::now();
    let (status, error, bytes) = match outcome {
        _ if canceled => {
            let id = &global.id;
            let text =
                format!("producer: %!w(<nil>), consumer: write object \"{id}\" failed: context canceled");
            ("CANCELED", text, 0)
        }
        Ok(bytes) => ("SUCCESS", String::new(), bytes),
        Err(error) => ("FAILED", error.to_string(), 0),
    };
    global.status = status.into();
    global.error.clone_from(&error);
    global.pre_compression_size_bytes = bytes;
    if let Some(entry) = global.nodes.get_mut(node) {
        entry.status = status.into();
        entry.error = error;
        entry.pre_compression_size_bytes = bytes;
    }
}

/// Where the participant takes its files from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub store: &'a Store,
    pub min_chunk: u64,
    pub target_chunk: u64,
}

fn is_reindexing(store: &Store, class: &str) -> bool {
    store.read().resolve(class).is_some_and(Class::is_reindexing)
}

/// Why no backup is taken of it at the moment.
pub fn blocked(store: &Store, class: &str) -> Option<String> {
    is_reindexing(store, class)
        .then(|| format!("backup blocked: runtime-reindex in flight: collection {class:?}"))
}

/// The participant: all classes, then the node's descriptor. Returns the bytes before compression.
pub fn pack(source: &Source<'_>, plan: &Plan, canceled: &AtomicBool) -> io::Result<u64> {
    let started = descriptor::now();
    let mut classes = Vec::new();
    for name in &plan.classes {
        if let Some(text) = blocked(source.store, name) {
            return Err(io::Error::other(text));
        }
        let class = describe(source, plan, name)?;
        classes.push(pack_class(source, plan, class, canceled)?);
    }
    if let Some(name) = plan.classes.iter().find(|name| is_reindexing(source.store, name)) {
        return Err(io::Error::other(format!(
            "backup spanned a runtime-reindex: collection {name:?} was migrated while this backup was being captured"
        )));
    }
    let bytes = classes.iter().map(|class| class.pre_compression_size_bytes).sum();
    let own = PerNode {
        started_at: started,
        completed_at: NEVER.into(),
        id: plan.id.clone(),
        classes,
        status: "SUCCESS".into(),
        version: STRUCTURE_VERSION.into(),
        server_version: plan.version.clone(),
        pre_compression_size_bytes: bytes,
        compression_type: plan.compression.type_name().into(),
        base_backup_id: plan.base.as_ref().map_or_else(String::new, |base| base.id.clone()),
        ..PerNode::default()
    };
    let mut sink = plan.place.writer(&format!("{}/{}/backup.json", plan.id, source.store.node))?;
    serde_json::to_writer(&mut sink, &own)?;
    sink.finish()?;
    Ok(bytes)
}

/// Flushes the class and writes down what it is; its shards still without files.
fn describe(source: &Source<'_>, plan: &Plan, name: &str) -> io::Result<ClassDescriptor> {
    let mut state = source.store.write();
    let aliases: Vec<_> = state
        .aliases
        .iter()
        .filter(|(_, class)| *class == name)
        .map(|(alias, class)| serde_json::json!({"alias": alias, "class": class}))
        .collect();
    let gone = || io::Error::other(format!("class {name} is gone"));
    let class = state.classes.get_mut(name).ok_or_else(gone)?;
    class.flush()?;
    // Tenants without a directory never held anything; those of inactive tenants are taken (recording 27), by servers
    // that know how.
    let taken = |shard: &String| class.is_active(shard) || keeps_inactive(&plan.version);
    let shards =
        class.shard_names().into_iter().filter(|shard| taken(shard) && class.dir().join(shard).is_dir());
    let shards = shards.map(|shard| ShardDescriptor {
        name: shard,
        node: source.store.node.clone(),
        ..ShardDescriptor::default()
    });
    Ok(ClassDescriptor {
        name: name.to_owned(),
        backup_id: plan.id.clone(),
        shards: shards.collect(),
        sharding_state: descriptor::encode(&class.sharding),
        schema: descriptor::encode(&class.schema),
        aliases: descriptor::encode(&aliases),
        aliases_included: true,
        ..ClassDescriptor::default()
    })
}

/// Since 1.37.0 (weaviate#10851); a version before it packs what it has loaded.
pub fn keeps_inactive(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) >= (1, 37)
}

fn pack_class(
    source: &Source<'_>,
    plan: &Plan,
    mut class: ClassDescriptor,
    canceled: &AtomicBool,
) -> io::Result<ClassDescriptor> {
    let root = &source.store.root;
    let mut number = 0;
    let mut shards = std::mem::take(&mut class.shards);
    for shard in &mut shards {
        let prefix = format!("{}/{}", class.name.to_lowercase(), shard.name);
        let sorted = sort_files(source, plan, shard, &prefix)?;
        class.pre_compression_size_bytes += sorted.bytes;
        for chunk in sorted.chunks {
            if is_canceled(canceled) {
                return Err(io::Error::other("context canceled"));
            }
            number += 1;
            let key = format!("{}/chunk-{number}", class.name);
            for file in &chunk {
                if let Some(big) = shard.big_files_chunk.get_mut(file) {
                    big.chunk_keys.push(key.clone());
                }
            }
            let sink = plan.place.writer(&format!("{}/{}/{key}", plan.id, source.store.node))?;
            archive::pack(sink, plan.compression, root, &chunk)?.finish()?;
            class.chunks.insert(number.to_string(), vec![shard.name.clone()]);
        }
    }
    class.shards = shards;
    Ok(class)
}

struct Sorted {
    chunks: Vec<Vec<String>>,
    bytes: u64,
}

/// Fills the shard's lists and says which files go into which chunk.
fn sort_files(
    source: &Source<'_>,
    plan: &Plan,
    shard: &mut ShardDescriptor,
    prefix: &str,
) -> io::Result<Sorted> {
    let root = &source.store.root;
    let mut head: Vec<String> = IN_MEMORY.iter().map(|name| format!("{prefix}{name}")).collect();
    let mut sizes: u64 = 0;
    for file in &head {
        sizes += std::fs::metadata(root.join(file))?.len();
    }
    let mut bigs = Vec::new();
    let mut chunks = Vec::new();
    let mut filled = 0;
    for file in files_below(root, prefix)?.into_iter().filter(|file| !is_head(file, prefix)) {
        let metadata = std::fs::metadata(root.join(&file))?;
        sizes += metadata.len();
        if metadata.len() < source.min_chunk {
            if filled > 0 && filled + metadata.len() > source.target_chunk {
                chunks.push(std::mem::take(&mut head));
                filled = 0;
            }
            filled += metadata.len();
            shard.files.push(file.clone());
            head.push(file);
            continue;
        }
        let modified = jiff::Timestamp::try_from(metadata.modified()?).map_err(io::Error::other)?.to_string();
        match plan.base.as_ref().and_then(|base| base.files.get(&file)) {
            Some((backup, known)) if known.size == metadata.len() && known.modified_at == modified => {
                let unchanged = Unchanged { file, chunk_keys: known.chunk_keys.clone() };
                shard
                    .incremental_backup_info
                    .files_per_backup
                    .entry(backup.clone())
                    .or_default()
                    .push(unchanged);
            }
            _ => {
                let big = BigFile { chunk_keys: Vec::new(), size: metadata.len(), modified_at: modified };
                shard.big_files_chunk.insert(file.clone(), big);
                shard.files.push(file.clone());
                bigs.push(vec![file]);
            }
        }
    }
    chunks.push(head);
    chunks.extend(bigs);
    Ok(Sorted { chunks, bytes: sizes })
}

fn is_head(file: &str, prefix: &str) -> bool {
    file.strip_prefix(prefix).is_some_and(|rest| IN_MEMORY.contains(&rest))
}

/// All regular files below `prefix`, relative to `root`, without logs that writers may still append to.
fn files_below(root: &Path, prefix: &str) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join(prefix))? {
        let entry = entry?;
        let name = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            found.extend(files_below(root, &name)?);
        } else if Path::new(&name).extension() != Some("wal".as_ref()) {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

/// Go iterates its maps in random order, and so do class lists come.
pub fn shuffled(mut names: Vec<String>) -> Vec<String> {
    names.shuffle(&mut rand::rng());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inactive_tenants_are_left_out_before_1_37() {
        for (version, expected) in [("1.36.23", false), ("1.37.0", true), ("1.39.0", true), ("2.0.0", true)] {
            assert_eq!(keeps_inactive(version), expected, "{version}");
        }
    }
}
