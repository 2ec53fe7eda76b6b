//! Reading a manifest, and what is checked before a word of it is believed.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::error::ManifestError;
use super::types::{Manifest, Object};
use crate::hex::hex;

/// Names below the prefix that are ours: no backup may have one.
pub const RESERVED_IDS: &[&str] = &["manifests", "reports", "drills", "exports"];

/// The one checksum over a list of objects: of lines `<sha256>  <size>  <key>`.
pub fn checksum(objects: &[Object]) -> String {
    let mut hasher = Sha256::new();
    for Object { key, size, sha256, etag: _, version_id: _, other: _ } in objects {
        hasher.update(format!("{sha256}  {size}  {key}\n"));
    }
    hex(&hasher.finalize())
}

#[derive(Deserialize)]
struct Head {
    schema: serde_json::Number,
}

impl Manifest {
    /// Reads it. The schema is looked at first: a manifest of a newer one need not be readable otherwise.
    pub fn parse(bucket: &str, key: &str, bytes: &[u8]) -> Result<Self, ManifestError> {
        let malformed =
            |what: String| ManifestError::Malformed { bucket: bucket.to_owned(), key: key.to_owned(), what };
        let head: Head = serde_json::from_slice(bytes).map_err(|e| malformed(e.to_string()))?;
        if head.schema.as_u64() != Some(1) {
            return Err(ManifestError::Schema {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                schema: head.schema.to_string(),
            });
        }
        serde_json::from_slice(bytes).map_err(|e| malformed(e.to_string()))
    }

    /// Whether it is ours, whole, and safe to follow: its keys become paths on the disk.
    pub fn check(&self, bucket: &str, key: &str, deployment: &str, node: &str) -> Result<(), ManifestError> {
        if self.deployment != deployment || self.node != node {
            return Err(ManifestError::Foreign {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                deployment: self.deployment.clone(),
                node: self.node.clone(),
            });
        }
        let malformed = |what: String| {
            Err(ManifestError::Malformed { bucket: bucket.to_owned(), key: key.to_owned(), what })
        };
        let Some(id) = &self.backup_id else { return Ok(()) };
        if let Some(wrong) = self.chain.iter().chain([id]).find(|id| !is_id(id)) {
            return malformed(format!("{wrong:?} is no id of a backup"));
        }
        if self.chain.last() != Some(id) {
            return malformed(format!("its chain does not end with {id}"));
        }
        let path = self.path.as_deref().unwrap_or_default();
        if path.rsplit('/').next() != Some(id.as_str()) {
            return malformed(format!("its path {path:?} is not the folder of {id}"));
        }
        if self.objects.is_empty() {
            return malformed("it lists no object".to_owned());
        }
        for pair in self.objects.windows(2) {
            if pair[0].key >= pair[1].key {
                return malformed(format!("its objects are not sorted at {}", pair[1].key));
            }
        }
        for object in &self.objects {
            if !self.is_safe(&object.key) {
                return malformed(format!("{:?} is not in a folder of its chain", object.key));
            }
            let hashed = object.sha256.len() == 64 && object.sha256.bytes().all(|b| b.is_ascii_hexdigit());
            if !(hashed || self.unverified && object.sha256.is_empty()) {
                return malformed(format!("{} has no SHA-256", object.key));
            }
        }
        let found = checksum(&self.objects);
        if self.checksum.as_deref() != Some(&found) {
            return Err(ManifestError::Checksum { bucket: bucket.to_owned(), key: key.to_owned() });
        }
        Ok(())
    }

    /// Below `<root>/<an id of the chain>/`, with plain names only.
    fn is_safe(&self, key: &str) -> bool {
        let root = self.root();
        let below = if root.is_empty() {
            Some(key)
        } else {
            key.strip_prefix(root).and_then(|rest| rest.strip_prefix('/'))
        };
        below.and_then(|k| k.split_once('/')).is_some_and(|(id, rest)| {
            self.chain.iter().any(|known| known == id) && rest.split('/').all(is_plain)
        })
    }
}

/// A name that is one component of a path and nothing else.
pub(crate) fn is_plain(name: &str) -> bool {
    // Names that end so are our own unfinished downloads.
    let unfinished = std::path::Path::new(name).extension().is_some_and(|e| e == "part");
    !matches!(name, "" | "." | "..") && !name.contains(['\\', '\0']) && !unfinished
}

/// What the server takes as an id (handler.go, `regExpID`), and none of our own names.
pub(crate) fn is_id(id: &str) -> bool {
    !id.is_empty()
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
        && !RESERVED_IDS.contains(&id)
}
