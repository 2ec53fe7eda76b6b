//! Schema 1.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::weaviate;

/// What a collection held when the backup was made: tenant, or "" for a collection without tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    #[serde(default)]
    pub tenants: BTreeMap<String, Tenant>,
    /// Digests of sample objects; written by `backup`.
    #[serde(default)]
    pub samples: Value,
    /// Clients wrote to it while the backup was made: what a restore counts may be any of what was counted then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changing: bool,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// `None` where it could not be counted: an inactive tenant. The lowest count of a changing collection.
    pub objects: Option<u64>,
    /// The highest, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
    /// `HOT` or `COLD`; the server may have more.
    #[serde(default)]
    pub status: Option<String>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

pub type Collections = BTreeMap<String, Collection>;

/// Collection → its tenants whose data is not in the backup.
pub type Unprotected = BTreeMap<String, BTreeSet<String>>;

/// Tenants that a sentence names of each collection.
const NAMED: usize = 5;

/// The first of them, for a sentence: `1, 2, 3, 4, 5, …`.
fn first(names: &BTreeSet<String>) -> String {
    let mut few: Vec<&str> = names.iter().map(String::as_str).take(NAMED).collect();
    if names.len() > NAMED {
        few.push("\u{2026}");
    }
    few.join(", ")
}

/// `1 of collection Chunk (beta)`; `None` where there is none.
pub fn listed(unprotected: &Unprotected) -> Option<String> {
    let of = |(class, tenants): (&String, &BTreeSet<String>)| {
        format!("{} of collection {class} ({})", tenants.len(), first(tenants))
    };
    let all: Vec<String> = unprotected.iter().filter(|(_, tenants)| !tenants.is_empty()).map(of).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// An object of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// The full key.
    pub key: String,
    pub size: u64,
    /// In hex; empty only in a manifest that is `unverified`.
    pub sha256: String,
    #[serde(default)]
    pub etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Another name of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    pub alias: String,
    pub class: String,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Alias {
    /// As the server tells it.
    pub fn plain(&self) -> weaviate::Alias {
        weaviate::Alias { alias: self.alias.clone(), class: self.class.clone() }
    }
}

impl From<&weaviate::Alias> for Alias {
    fn from(weaviate::Alias { alias, class }: &weaviate::Alias) -> Self {
        Self { alias: alias.clone(), class: class.clone(), other: Map::new() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    pub version: String,
    #[serde(default)]
    pub image_digest: Option<String>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Another environment's backup, from which a node was restored that has made none of its own yet (`restore.from`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub bucket: String,
    pub prefix: String,
    pub deployment: String,
    pub node: String,
    pub backup_id: String,
    /// Its collections that this node was not to have.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left_out: BTreeSet<String>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bucket, prefix, deployment, node, backup_id: _, left_out, other: _ } = self;
        write!(f, "s3://{bucket}/{prefix} (deployment {deployment}, node {node})")?;
        write_without(f, left_out)
    }
}

/// ` without A, B`; nothing where all of it is there.
pub fn write_without(f: &mut std::fmt::Formatter<'_>, left_out: &BTreeSet<String>) -> std::fmt::Result {
    if left_out.is_empty() { Ok(()) } else { write!(f, " without {}", first(left_out)) }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub schema: u64,
    pub deployment: String,
    pub node: String,
    pub generation: u64,
    /// The instance that took it; `None` in a copy.
    #[serde(default)]
    pub owner: Option<String>,
    #[serde(default)]
    pub nonce: Option<String>,
    /// `None`: the node started empty, or from `from`, and no backup was made since.
    pub backup_id: Option<String>,
    /// Whose backup the node was restored from; never beside one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Origin>,
    #[serde(default)]
    pub bucket: Option<String>,
    /// `<prefix>/<id>`, without a slash at its end.
    #[serde(default)]
    pub path: Option<String>,
    #[serde(default)]
    pub created: Option<String>,
    #[serde(default)]
    pub completed: Option<String>,
    #[serde(default)]
    pub quiesced: bool,
    #[serde(default)]
    pub server: Server,
    #[serde(default)]
    pub compression: Option<String>,
    /// The backup and those that it is built on, oldest first, itself last.
    #[serde(default)]
    pub chain: Vec<String>,
    /// Of the whole chain, sorted by key.
    #[serde(default)]
    pub objects: Vec<Object>,
    /// Over `objects`.
    #[serde(default)]
    pub checksum: Option<String>,
    #[serde(default)]
    pub collections: Collections,
    #[serde(default)]
    pub aliases: Vec<Alias>,
    /// What the server left out, as `backup.inactive_tenants` allowed: a restore has these tenants without their data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unprotected: Unprotected,
    /// The checksums were taken at a restore, not when the backup was made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unverified: bool,
    /// Which object of `backup.marker` the last backup was made for: whoever sees it again has nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
    /// The checksums were taken by `adopt`, after it was made, and nobody counted it then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// How often its owner has taken up again, in this generation, the data that it had kept: each writes the manifest
    /// anew, so that nobody who read it before can take it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub renewed: u64,
    /// In a copy: why the pointer did not follow. Such a one is restored by name only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<String>,
    /// This program's version.
    #[serde(default)]
    pub agent: Option<String>,
    /// Fields of a newer version: kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // As serde calls it.
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Manifest {
    /// Its collections, for a sentence: `A, B`, or `none`.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.collections.keys().map(String::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    /// The folder that holds the chain's folders: the path without the id; may be empty.
    pub fn root(&self) -> &str {
        let path = self.path.as_deref().unwrap_or_default();
        path.rsplit_once('/').map_or("", |(root, _)| root)
    }

    /// An object's path below the root: `<id>/<node>/<Class>/chunk-1`.
    pub fn relative<'a>(&self, key: &'a str) -> &'a str {
        let root = self.root();
        if root.is_empty() { key } else { key.strip_prefix(root).map_or(key, |k| k.trim_start_matches('/')) }
    }

    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|o| o.size).sum()
    }
}
