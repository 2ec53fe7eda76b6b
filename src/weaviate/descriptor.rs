//! The server's own descriptors: `<id>/backup_config.json` of the backup, `<id>/<node>/backup.json` of a node
//! (entities/backup/descriptor.go of 1.39.0). They hold no checksums.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::types::{is_active, is_offloaded};

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
    /// [`Sharding`] as JSON in base64.
    #[serde(default)]
    pub sharding_state: Option<String>,
}

/// What the server knows of a collection's shards, whether the backup holds them or not (usecases/sharding/state.go of
/// 1.39.0).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sharding {
    #[serde(default)]
    physical: Option<BTreeMap<String, Physical>>,
    /// Its shards are tenants.
    #[serde(default)]
    partitioning_enabled: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Physical {
    /// Absent is HOT.
    #[serde(default)]
    status: Option<String>,
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

/// The first release whose backups hold inactive tenants (weaviate#10851).
pub const KEEPS_INACTIVE: (u32, u32) = (1, 37);

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

    /// Tenants whose data `server`'s backup has left out; an error is why a sharding state cannot be read.
    ///
    /// Of an inactive one without a shard nobody can say afterwards whether it held something. A server that keeps
    /// inactive tenants has left out those alone that were never active, and hold nothing.
    pub fn left_out(&self, server: &str) -> Result<Shards, String> {
        let keeps = release(server).is_some_and(|release| release >= KEEPS_INACTIVE);
        let mut found = Shards::new();
        for class in self.classes.iter().flatten() {
            let Some(state) = &class.sharding_state else { continue };
            let bytes = STANDARD.decode(state).map_err(|error| error.to_string());
            let sharding = bytes.and_then(|bytes| {
                serde_json::from_slice::<Sharding>(&bytes).map_err(|error| error.to_string())
            });
            let Sharding { physical, partitioning_enabled } =
                sharding.map_err(|error| format!("the sharding state of {}: {error}", class.name))?;
            if !partitioning_enabled {
                continue;
            }
            for (tenant, Physical { status }) in physical.into_iter().flatten() {
                let taken = class.shards.iter().flatten().any(|shard| shard.name == tenant);
                let status = status.as_deref().filter(|status| !status.is_empty()).unwrap_or("HOT");
                if !taken && (!keeps || is_active(status) || is_offloaded(status)) {
                    found.entry(class.name.clone()).or_default().insert(tenant);
                }
            }
        }
        Ok(found)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a backup with the tenants alpha and beta; `cold` was made inactive, and never held anything.
    fn recorded() -> Node {
        let path = "tests/recordings/weaviate-1.39.0/backups/full-1/weaviate-0/backup.json";
        let bytes = std::fs::read(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).expect("recorded");
        serde_json::from_slice(&bytes).expect("a descriptor")
    }

    /// As the server wrote it, but for this tenant's status.
    fn with(tenant: &str, status: &str) -> Node {
        let mut node = recorded();
        let classes = node.classes.iter_mut().flatten();
        let chunk = classes.into_iter().find(|class| class.name == "Chunk").expect("recorded");
        let state = STANDARD.decode(chunk.sharding_state.as_ref().expect("recorded")).expect("base64");
        let mut state: serde_json::Value = serde_json::from_slice(&state).expect("json");
        assert!(state["physical"][tenant]["status"].is_string(), "{tenant} is there");
        state["physical"][tenant]["status"] = status.into();
        chunk.sharding_state = Some(STANDARD.encode(state.to_string()));
        node
    }

    #[test]
    fn who_is_left_out_is_known_from_the_descriptor_and_the_version() {
        let cold = || Shards::from([("Chunk".to_owned(), ["cold".to_owned()].into())]);
        let rows = [
            ("cold", "COLD", "1.39.0", None),
            ("cold", "COLD", "1.37.0", None),
            // What an older server left out may have held something.
            ("cold", "COLD", "1.36.23", Some(cold())),
            ("cold", "COLD", "", Some(cold())),
            // No backup of any version holds what lies elsewhere.
            ("cold", "FROZEN", "1.39.0", Some(cold())),
            // An active one has a shard.
            ("cold", "HOT", "1.39.0", Some(cold())),
            ("cold", "", "1.39.0", Some(cold())),
            // Whoever has one is in it, whatever the status was.
            ("beta", "COLD", "1.39.0", None),
        ];
        for (tenant, status, server, expected) in rows {
            let found = with(tenant, status).left_out(server);
            assert_eq!(found, Ok(expected.unwrap_or_default()), "{tenant} {status} {server}");
        }
    }

    #[test]
    fn a_sharding_state_that_cannot_be_read_is_no_absence_of_tenants() {
        for state in ["!", "e30x"] {
            let mut node = recorded();
            node.classes.iter_mut().flatten().for_each(|class| class.sharding_state = Some(state.to_owned()));
            assert!(node.left_out("1.39.0").expect_err("unreadable").contains("sharding state"), "{state}");
        }
        // One from before it was written down.
        let mut node = recorded();
        node.classes.iter_mut().flatten().for_each(|class| class.sharding_state = None);
        assert_eq!(node.left_out("1.39.0"), Ok(Shards::new()));
    }
}
