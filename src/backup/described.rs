//! What a backup says of itself, against what lies in the bucket.

use std::collections::{BTreeMap, BTreeSet};

use super::base::Base;
use super::error::BackupError;
use crate::manifest::Object;
use crate::weaviate::descriptor::{Global, Node, Shards};

/// Which backup it is.
#[derive(Clone, Copy, Debug)]
pub struct Backup<'a> {
    pub id: &'a str,
    /// The node's name: the folder of its files.
    pub node: &'a str,
    /// The key of the backup's folder, without a slash at its end.
    pub key: &'a str,
    pub base: Option<&'a Base>,
}

/// What its descriptors say.
#[derive(Debug)]
pub struct Described {
    pub global: Global,
    /// What a restore reads of the base.
    pub of_base: Vec<Object>,
    /// Which tenants it holds.
    pub shards: Shards,
}

impl Backup<'_> {
    pub fn incomplete(&self, what: String) -> BackupError {
        BackupError::Incomplete { backup: self.id.to_owned(), what }
    }

    /// Whether the server's own words fit what is there by its key: each chunk that a restore will read, and no error.
    pub fn described(
        &self,
        global: &[u8],
        node: &[u8],
        there: &BTreeMap<String, Object>,
    ) -> Result<Described, BackupError> {
        let global: Global =
            serde_json::from_slice(global).map_err(|error| self.incomplete(error.to_string()))?;
        if let Some(why) = global.unusable(self.id) {
            return Err(self.incomplete(why));
        }
        let kind = if global.compression_type.is_empty() { "gzip" } else { &global.compression_type };
        if let Some(base) = self.base.filter(|base| base.kind != kind) {
            return Err(self.incomplete(format!(
                "it is compressed by {kind}, and its base {} by {}",
                base.id, base.kind
            )));
        }
        let node: Node = serde_json::from_slice(node).map_err(|error| self.incomplete(error.to_string()))?;
        let own = format!("{}/", self.id);
        let (chunks, of_base): (BTreeSet<String>, BTreeSet<String>) =
            node.chunks(self.id, self.node).into_iter().partition(|chunk| chunk.starts_with(&own));
        for chunk in chunks {
            let key = format!("{}/{}", self.key, &chunk[own.len()..]);
            if !there.contains_key(&key) {
                return Err(self.incomplete(format!("{chunk} was never written")));
            }
        }
        let of_base = match self.base {
            Some(base) => base.needed(self.node, &of_base),
            // A full one that refers to another.
            None => of_base.into_iter().next().map_or(Ok(Vec::new()), Err),
        };
        let of_base = of_base.map_err(|missing| self.incomplete(format!("{missing} is not in its base")))?;
        Ok(Described { global, of_base, shards: node.shards() })
    }
}
