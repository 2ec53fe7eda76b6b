//! An object from its first byte to its last, hashed on the way: to prove it, or to hand its bytes on.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::Sender;

use super::error::StoreError;
use super::fetch::{Limits, hex, ranges};
use super::objects::Store;
use super::span::{Sink, Span};

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub size: u64,
    /// In hex.
    pub sha256: String,
}

/// Reads all of an object that has `size` bytes, from one connection; `moved` is told of each piece.
pub async fn read(
    store: &Store,
    key: &str,
    size: u64,
    limits: Limits,
    moved: impl Fn(u64) + Send + Sync,
) -> Result<Content, StoreError> {
    let mut through = Through { hasher: Sha256::new(), moved };
    // An empty object has no range that could be asked for: a listing has said that it is there.
    if size > 0 {
        let (store, key) = (store.clone(), key.to_owned());
        let span = Span { store, key, size, etag: None, start: 0, end: size };
        span.read(limits, &mut through).await?;
    }
    Ok(Content { size, sha256: hex(through.hasher) })
}

/// The same in ranges, as many at a time as are allowed, handed on in their order: for one object after the other.
/// `None` where nobody takes them any more.
pub async fn read_ahead(
    store: &Store,
    key: &str,
    size: u64,
    limits: Limits,
    wanted: &Sender<Bytes>,
    moved: impl Fn(u64) + Send + Sync,
) -> Result<Option<Content>, StoreError> {
    let mut arriving = stream::iter(ranges(size, limits.range))
        .map(async |(start, end)| {
            let (store, key) = (store.clone(), key.to_owned());
            let span = Span { store, key, size, etag: None, start, end };
            let mut held = Held(Vec::with_capacity(usize::try_from(end - start).unwrap_or_default()));
            span.read(limits, &mut held).await?;
            Ok::<_, StoreError>(Bytes::from(held.0))
        })
        .buffered(limits.connections);
    let mut hasher = Sha256::new();
    while let Some(range) = arriving.next().await {
        let bytes = range?;
        hasher.update(&bytes);
        moved(bytes.len() as u64);
        if wanted.send(bytes).await.is_err() {
            return Ok(None);
        }
    }
    Ok(Some(Content { size, sha256: hex(hasher) }))
}

/// A range in memory.
struct Held(Vec<u8>);

impl Sink for Held {
    async fn take(&mut self, _at: u64, bytes: Bytes) -> Result<(), StoreError> {
        self.0.extend_from_slice(&bytes);
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Through<M> {
    hasher: Sha256,
    moved: M,
}

impl<M: Fn(u64) + Send + Sync> Sink for Through<M> {
    async fn take(&mut self, _at: u64, bytes: Bytes) -> Result<(), StoreError> {
        self.hasher.update(&bytes);
        (self.moved)(bytes.len() as u64);
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
