//! What lies in the bucket, side by side: the manifest, the copies, the folders with their descriptors; what is wrong
//! with each, and which may go.
//!
//! ```text
//! LIST of the prefix ─┬─ the manifest, the copies ───────┐
//!                     ├─ folders, those descriptors that │
//!                     │  no copy speaks for              ├─▶ Catalog ─weigh─▶ rows ─┬─▶ `list`
//!                     └─ leases of booting nodes ────────┘                          ├─▶ keep::decide ─▶ `prune`
//!                                                                                   └─▶ `verify`: one of them, to its
//!                                                                                       last byte if asked
//! `adopt`: one that only the server knows is read to its last byte, and gets a copy of its own
//! ```
//!
//! To add something that can be wrong with a backup: a sentence in `weigh::differences` or [`weigh`], and a row in its
//! table. To add a reason to keep one: a variant of [`Reason`], its place in `keep::decide`, its row.

mod adopt;
mod error;
mod keep;
mod look;
mod prune;
mod settings;
mod verify;
mod weigh;

use crate::host::Host;
use crate::report::Status;
use crate::store::Store;

pub use adopt::{Adopted, adopt, write_copy};
pub use error::CatalogError;
pub use keep::{Reason, Verdict, decide};
pub use look::{Catalog, Copy, Folder, look};
pub use prune::{Pruned, prune};
pub use settings::Keep;
pub use verify::{Checked, Progress, find, listed, verify};
pub use weigh::{Row, Standing, differences, weigh};

/// Whose backups, and in which bucket.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    store: &'a Store,
    deployment: &'a str,
    node: &'a str,
    status: &'a Status,
}

impl Scope<'_> {
    pub const fn store(&self) -> &Store {
        self.store
    }
    pub const fn deployment(&self) -> &str {
        self.deployment
    }
    pub const fn node(&self) -> &str {
        self.node
    }
    pub const fn status(&self) -> &Status {
        self.status
    }
}

impl<'a> Scope<'a> {
    #[cfg(test)]
    pub(crate) const fn new(
        store: &'a Store,
        deployment: &'a str,
        node: &'a str,
        status: &'a Status,
    ) -> Self {
        Self { store, deployment, node, status }
    }

    pub fn of(host: &'a Host, store: &'a Store) -> Self {
        let node = &host.settings.node;
        Self { store, deployment: node.deployment.as_str(), node: node.name.as_str(), status: &host.status }
    }
}

#[cfg(test)]
mod tests;
