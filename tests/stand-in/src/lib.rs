//! A stand-in for the Weaviate 1.39.0 container: it answers as the recordings under `tests/recordings`
//! show, unpacks real backups and serves what is in them.
//!
//! ```text
//! Settings ─► Server::start ─► 8080: rest ──┬─► store (files under PERSISTENCE_DATA_PATH)
//!                          └─► 50051: health └─► backup ─► directory | s3
//! ```
//!
//! `behaviours` says what is recorded and what is assumed.

// An `Answer` is moved once per request; boxing it would only hide it.
#![allow(clippy::result_large_err)]

pub mod auth;
pub mod backup;
pub mod behaviours;
pub mod config_file;
pub mod generate;
pub mod log;
pub mod rest;
pub mod s3;
pub mod server;
pub mod settings;
pub mod store;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use backup::Slots;
use s3::S3Client;
use settings::Settings;
use store::Store;

pub const VERSION: &str = "1.39.0";

/// One running server, shared by everything that works for it.
#[derive(Clone, Debug)]
pub struct App(Arc<Inner>);

#[derive(Debug)]
pub struct Inner {
    pub settings: Settings,
    pub store: Store,
    pub slots: Slots,
    pub s3: Option<Arc<S3Client>>,
    pub ready: AtomicBool,
    mode: RwLock<String>,
    /// The disk was too full when it was looked at last.
    read_only: AtomicBool,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    pub async fn new(settings: Settings) -> std::io::Result<Self> {
        let store = Store::open(&settings.data, &settings.node)?;
        // At start, as the real module does: credentials that are not there now never come.
        let s3 = match &settings.s3 {
            Some(s3) => Some(Arc::new(S3Client::connect(&settings, s3).await)),
            None => None,
        };
        let mode = RwLock::new("ReadWrite".to_owned());
        let ready = AtomicBool::new(false);
        let read_only = AtomicBool::new(false);
        Ok(Self(Arc::new(Inner { settings, store, slots: Slots::default(), s3, ready, mode, read_only })))
    }

    pub fn mode(&self) -> String {
        self.mode.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_mode(&self, mode: &str) {
        mode.clone_into(&mut self.mode.write().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Whether all shards are READONLY.
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    /// Makes the shards READONLY above the threshold, and READY again below it.
    pub fn look_at_disk(&self) {
        let Ok(stat) = nix::sys::statvfs::statvfs(&self.settings.data) else { return };
        let (all, free) = (stat.blocks(), stat.blocks_available());
        let full = all > 0 && (all - free.min(all)) * 100 / all >= self.settings.disk_read_only_percent;
        self.read_only.store(full, Ordering::Relaxed);
    }
}
