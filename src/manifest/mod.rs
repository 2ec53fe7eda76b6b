//! The manifest: the authoritative pointer to the latest backup, and the fence.
//!
//! ```text
//! <prefix>/latest_weaviate_backup.manifest.json ──read──▶ Pointer (manifest + ETag)
//! Fresh ──take_over: .tmp, read back, conditional PUT of generation + 1──▶ Owned
//!            │ 412, own nonce: the answer was lost   ─▶ Owned
//!            │ 412, another instance                 ─▶ no longer the owner (final)
//!            └ 412, the old owner published once more ─▶ moved (again from refresh)
//! kept data, behind a closed door ──renew: the same generation and nonce, If-Match on what was read──▶ Owned
//! a backup ──publish_again: under the owner's own nonce, If-Match on what it wrote last──▶ the same generation
//! ```
//!
//! To add a field: add it to [`Manifest`] with a default. Fields that this version does not know are kept.

mod check;
mod error;
mod protocol;
mod take_over;
mod types;

pub use check::{RESERVED_IDS, checksum};
pub(crate) use check::{is_id, is_plain};
pub use error::ManifestError;
pub use protocol::{Claim, Claimed, Decision, Held, decide, decide_again, publish, publish_again, renew};
pub use take_over::{Owned, take_over};
pub use types::{
    Alias, Collection, Collections, Manifest, Object, Origin, Server, Tenant, Unprotected, listed,
    write_without,
};

use crate::store::{Store, StoreError};

/// The pointer's name below the prefix: an empty prefix gives exactly the seeds' key.
pub const NAME: &str = "latest_weaviate_backup.manifest.json";
/// Immutable copies, one per backup.
pub const COPIES: &str = "manifests";

/// A manifest as it lies in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    pub manifest: Manifest,
    /// Of the object that was read.
    pub etag: String,
    /// Where it was read: the pointer's own key, or a copy's.
    pub key: String,
}

/// Reads and checks the manifest at `key`; `None` where there is none. A manifest that is denied,
/// unreachable, malformed or another node's is an error, never "none".
pub async fn read(
    store: &Store,
    key: &str,
    deployment: &str,
    node: &str,
) -> Result<Option<Pointer>, ManifestError> {
    let object = match store.get(key).await {
        Ok(object) => object,
        Err(StoreError::Absent { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let manifest = Manifest::parse(store.bucket(), key, &object.bytes)?;
    manifest.check(store.bucket(), key, deployment, node)?;
    Ok(Some(Pointer { manifest, etag: object.etag, key: key.to_owned() }))
}

#[cfg(test)]
mod again_tests;
#[cfg(test)]
mod tests;
