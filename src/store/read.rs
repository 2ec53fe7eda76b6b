//! An object from its first byte to its last, hashed on the way: to prove it, or to hand its bytes on.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::Sender;

use super::error::StoreError;
use super::fetch::{Limits, hex};
use super::objects::Store;
use super::span::{Sink, Span};

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub size: u64,
    /// In hex.
    pub sha256: String,
}

/// Reads all of an object that has `size` bytes. The bytes go to `wanted`, where somebody wants them; `moved` is told
/// of each piece.
pub async fn read(
    store: &Store,
    key: &str,
    size: u64,
    limits: Limits,
    wanted: Option<Sender<Bytes>>,
    moved: impl Fn(u64) + Send + Sync,
) -> Result<Content, StoreError> {
    let mut through = Through { hasher: Sha256::new(), wanted, moved };
    // An empty object has no range that could be asked for: a listing has said that it is there.
    if size > 0 {
        let (store, key) = (store.clone(), key.to_owned());
        let span = Span { store, key, size, etag: None, start: 0, end: size };
        span.read(limits, &mut through).await?;
    }
    Ok(Content { size, sha256: hex(through.hasher) })
}

struct Through<M> {
    hasher: Sha256,
    wanted: Option<Sender<Bytes>>,
    moved: M,
}

impl<M: Fn(u64) + Send + Sync> Sink for Through<M> {
    async fn take(&mut self, _at: u64, bytes: Bytes) -> Result<(), StoreError> {
        self.hasher.update(&bytes);
        (self.moved)(bytes.len() as u64);
        if let Some(wanted) = &self.wanted {
            // Whoever has gone knows why, and says it.
            let _ = wanted.send(bytes).await;
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
