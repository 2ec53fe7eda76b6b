//! The S3 double: the protocol of `s3s`, with a store of our own behind it.
//!
//! ```text
//!  connection ─▶ front (ledger, faults, pace) ─▶ s3s (SigV4, XML) ─▶ access (policy) ─▶ operations
//!                                                                                          │
//!  fixtures, judge ─────────────────────────── Store::put, read, keys ────────────▶ objects
//! ```
//!
//! The file-system back end that comes with `s3s` was tried first. It keeps what it refuses, lists no
//! ETags, drops encryption headers, and lets several conditional writers win; wrapping each of its
//! operations left nothing of it in use, so the store is ours: bodies in files, streamed both ways in
//! pieces of 64 KiB, metadata in memory, all changes under one lock.
//!
//! To add an operation, see `operations`; to add an effect, see `trouble`.

mod access;
mod behaviours;
pub(crate) mod call;
mod direct;
mod errors;
mod front;
mod hosts;
mod line;
mod listing;
mod multipart;
mod objects;
mod operations;
mod reads;
pub(crate) mod serve;
pub(crate) mod shaped;
mod spool;
pub(crate) mod trouble;
mod uploads;
mod writes;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use s3s::service::S3ServiceBuilder;

pub use access::{AllowAll, Authorise, Caller, Credential, CredentialLookup, OneKey};
pub use behaviours::BEHAVIOURS;
pub use direct::ObjectInfo;
pub use front::{Answer, Front, Reset};
pub use hosts::DOMAIN;
pub use line::{Carried, Line};
pub use serve::Serving;

use crate::faults::Faults;
use crate::ledger::Ledger;
use access::Gate;
use front::Inner;
use objects::Objects;
use operations::Operations;

pub(crate) use spool::hex;

/// How fast the store is, and how it pages.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Before each answer.
    pub first_byte: Duration,
    /// Of each connection, in either direction.
    pub bytes_per_second: Option<u64>,
    /// What all connections share.
    pub line: Option<Arc<Line>>,
    /// Entries per page of a listing, at most 1000.
    pub page: usize,
    /// Where it is: requests that are signed for another region are refused.
    pub region: String,
    /// Buckets that are elsewhere.
    pub regions: BTreeMap<String, String>,
    /// The server moves the bytes itself. Its own client, once nobody vends it credentials, goes on unsigned.
    pub server_calls: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            first_byte: Duration::ZERO,
            bytes_per_second: None,
            line: None,
            page: 1000,
            region: access::REGION.to_owned(),
            regions: BTreeMap::new(),
            server_calls: false,
        }
    }
}

/// One region's S3. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct Store {
    objects: Arc<Objects>,
    gate: Gate,
    ledger: Arc<Ledger>,
    faults: Arc<Faults>,
    settings: Settings,
}

impl Store {
    /// An empty store whose bodies lie under `root`.
    pub fn new(
        root: impl AsRef<Path>,
        credentials: Arc<dyn CredentialLookup>,
        authorise: Arc<dyn Authorise>,
        ledger: Arc<Ledger>,
        faults: Arc<Faults>,
    ) -> std::io::Result<Self> {
        let objects = Arc::new(Objects::new(root.as_ref())?);
        let settings = Settings::default();
        let gate = Gate {
            credentials,
            authorise,
            objects: Arc::clone(&objects),
            ledger: Arc::clone(&ledger),
            region: settings.region.clone(),
            regions: settings.regions.clone(),
            server_calls: settings.server_calls,
        };
        Ok(Self { objects, gate, ledger, faults, settings })
    }

    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.gate.region.clone_from(&settings.region);
        self.gate.regions.clone_from(&settings.regions);
        self.gate.server_calls = settings.server_calls;
        self.settings = settings;
        self
    }

    /// What all connections share, where they do.
    pub const fn line(&self) -> Option<&Arc<Line>> {
        self.settings.line.as_ref()
    }

    /// Shows every object that a client stores by a plain PUT, and is not large, with its key.
    pub fn inspect_writes(&self, by: impl Fn(&str, &[u8]) + Send + Sync + 'static) {
        self.objects.inspect_by(Box::new(by));
    }

    /// A hyper service. A scripted reset ends it with an error; [`Store::serve`] makes that an RST.
    pub fn service(&self) -> Front {
        let operations = Operations {
            objects: Arc::clone(&self.objects),
            gate: self.gate.clone(),
            page: self.settings.page.clamp(1, 1000),
        };
        let mut builder = S3ServiceBuilder::new(operations);
        builder.set_auth(self.gate.clone());
        builder.set_access(self.gate.clone());
        builder.set_host(hosts::Hosts);
        let inner = Inner {
            service: builder.build(),
            settings: self.settings.clone(),
            ledger: Arc::clone(&self.ledger),
            faults: Arc::clone(&self.faults),
        };
        Front { inner: Arc::new(inner) }
    }

    /// Serves on `listener` until the result is dropped. Needs a tokio runtime around it; the listener
    /// may have been bound in any network namespace.
    pub fn serve(&self, listener: std::net::TcpListener) -> std::io::Result<Serving> {
        serve::serve(self.service(), listener)
    }
}
