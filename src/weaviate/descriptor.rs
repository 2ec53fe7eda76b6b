//! The server's own descriptors: `<id>/backup_config.json` of the backup, `<id>/<node>/backup.json` of a node
//! (entities/backup/descriptor.go of 1.39.0). They hold no checksums.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

pub const GLOBAL: &str = "backup_config.json";
pub const NODE: &str = "backup.json";
/// Written by a restore into the backup's folder: another machine's result, never to be staged.
pub const RESTORE: &str = "restore_config.json";
/// A probe that the server writes and deletes.
pub const PROBE: &str = "access-check";

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Global {
    #[serde(default)]
    pub started_at: String,
    #[serde(default)]
    pub completed_at: String,
    pub id: String,
    #[serde(default)]
    pub nodes: BTreeMap<String, NodeEntry>,
    pub status: String,
    #[serde(default)]
    pub version: String,
    #[serde(default)]
    pub server_version: String,
    #[serde(default)]
    pub error: String,
    #[serde(default)]
    pub pre_compression_size_bytes: u64,
    /// Absent in old ones, which are gzip.
    #[serde(default)]
    pub compression_type: String,
    #[serde(default)]
    pub base_backup_id: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NodeEntry {
    #[serde(default)]
    pub classes: Option<Vec<String>>,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub error: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    pub id: String,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub error: String,
    #[serde(default)]
    pub classes: Option<Vec<NodeClass>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeClass {
    pub name: String,
    #[serde(default)]
    pub shards: Option<Vec<Shard>>,
    #[serde(default)]
    pub chunks: Option<BTreeMap<String, Option<Vec<String>>>>,
    /// What it unpacks to; absent in old ones.
    #[serde(default)]
    pub pre_compression_size_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// Of a collection with tenants: the tenant.
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub big_files_chunk: Option<BTreeMap<String, BigFile>>,
    #[serde(default)]
    pub incremental_backup_info: Incremental,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BigFile {
    pub size: u64,
    pub modified_at: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incremental {
    #[serde(default)]
    pub files_per_backup: Option<BTreeMap<String, Vec<BaseFile>>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseFile {
    #[serde(default)]
    pub file: String,
    #[serde(default)]
    pub chunk_keys: Option<Vec<String>>,
}

impl Global {
    /// Why it is no backup that can be restored on `node`; `None` where it can.
    pub fn unusable(&self, id: &str) -> Option<String> {
        if self.id != id {
            return Some(format!("it says that it is {:?}", self.id));
        }
        if self.status != "SUCCESS" || !self.error.is_empty() {
            return Some(format!("its status is {} {}", self.status, self.error).trim_end().to_owned());
        }
        // Only the major version of the structure is compared by the server too (Weaviate 1.39.0,
        // usecases/backup, `checkRestorableVersion`).
        if self.version.split('.').next().and_then(|major| major.parse::<u32>().ok()) > Some(2) {
            return Some(format!("its structure has version {}", self.version));
        }
        let failed = self.nodes.iter().find(|(_, n)| n.status != "SUCCESS" || !n.error.is_empty());
        failed.map(|(name, n)| format!("node {name} has status {} {}", n.status, n.error))
    }
}

/// Collection → its shards.
pub type Shards = BTreeMap<String, BTreeSet<String>>;

impl Node {
    /// What these collections unpack to.
    pub fn size_of(&self, collections: &BTreeSet<String>) -> u64 {
        let classes = self.classes.iter().flatten().filter(|class| collections.contains(&class.name));
        classes.map(|class| class.pre_compression_size_bytes).sum()
    }

    /// What of each collection is in the backup. A tenant that the server left out is not, though the collection's
    /// sharding state names it (weaviate#10851).
    pub fn shards(&self) -> Shards {
        let classes = self.classes.iter().flatten();
        let names =
            |class: &NodeClass| class.shards.iter().flatten().map(|shard| shard.name.clone()).collect();
        classes.map(|class| (class.name.clone(), names(class))).collect()
    }

    /// Keys, relative to the folder that holds all backups, of every chunk that a restore of `id` reads.
    pub fn chunks(&self, id: &str, node: &str) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for class in self.classes.iter().flatten() {
            for n in class.chunks.iter().flat_map(BTreeMap::keys) {
                keys.insert(format!("{id}/{node}/{}/chunk-{n}", class.name));
            }
            for shard in class.shards.iter().flatten() {
                let bases = shard.incremental_backup_info.files_per_backup.iter().flatten();
                for (base, files) in bases {
                    for key in files.iter().flat_map(|f| f.chunk_keys.iter().flatten()) {
                        keys.insert(format!("{base}/{node}/{key}"));
                    }
                }
            }
        }
        keys
    }

    /// Every big file with its size and time: what an incremental backup compares.
    pub fn big_files(&self) -> impl Iterator<Item = (&str, &BigFile)> {
        self.classes
            .iter()
            .flatten()
            .flat_map(|class| class.shards.iter().flatten())
            .flat_map(|shard| shard.big_files_chunk.iter().flatten())
            .map(|(path, file)| (path.as_str(), file))
    }
}

/// `1.39.0` and `1.39.0-rc.1-abc` → (1, 39). Patches of one line read each other's backups.
pub fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']);
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?.parse().ok()?;
    Some((major, minor))
}

/// `1.23.13` → (1, 23, 13); a patch that is not written is the first.
pub fn patch(version: &str) -> Option<(u32, u32, u32)> {
    let (major, minor) = release(version)?;
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']);
    let patch = numbers.nth(2).and_then(|number| number.parse().ok()).unwrap_or_default();
    Some((major, minor, patch))
}

/// The version in an image's tag: `cr.weaviate.io/semitechnologies/weaviate:1.39.0`. `None` for `latest`, a
/// digest, or a registry's port.
pub fn tagged(image: &str) -> Option<&str> {
    let name = image.split('@').next()?;
    let (_, tag) = name.rsplit_once(':')?;
    (!tag.contains('/') && release(tag).is_some()).then_some(tag)
}
