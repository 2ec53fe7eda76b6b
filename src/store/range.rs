//! One range of one object, from the store into a file.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::error::StoreError;
use super::fetch::Limits;
use super::flight::Flight;
use super::span::{Sink, Span};

/// Small pieces are gathered up to this before they are written; hyper's own grow to 400 KiB on a fast connection
/// (hyper, proto/h1/io.rs) and go to the disk as they are. With 16 connections 1 MiB in all.
const GATHER: usize = 64 << 10;

/// Told about bytes that are safe on the disk.
pub type Moved = Arc<dyn Fn(u64) + Send + Sync>;

pub(super) struct Range {
    pub span: Span,
    pub file: Arc<File>,
    pub path: PathBuf,
    pub moved: Moved,
    pub flight: Arc<Flight>,
}

impl Range {
    pub(super) async fn fetch(self, limits: Limits) -> Result<(), StoreError> {
        let Self { span, file, path, moved, flight } = self;
        let gathered = Vec::with_capacity(GATHER);
        let mut into = Into { file, path, moved, flight, gathered, at: span.start };
        span.read(limits, &mut into).await
    }
}

struct Into {
    file: Arc<File>,
    path: PathBuf,
    moved: Moved,
    flight: Arc<Flight>,
    gathered: Vec<u8>,
    /// Up to here it is in the file.
    at: u64,
}

impl Sink for Into {
    async fn take(&mut self, _at: u64, bytes: Bytes) -> Result<(), StoreError> {
        if self.gathered.len() + bytes.len() > GATHER {
            self.settle().await?;
        }
        if bytes.len() > GATHER {
            self.write(bytes).await.map(drop)
        } else {
            self.gathered.extend_from_slice(&bytes);
            Ok(())
        }
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        let gathered = std::mem::take(&mut self.gathered);
        self.gathered = self.write(gathered).await?;
        self.gathered.clear();
        Ok(())
    }

    fn overrun(&mut self) {
        self.flight.refused();
    }
}

impl Into {
    /// Hands the buffer back, for the next bytes.
    async fn write<B>(&mut self, bytes: B) -> Result<B, StoreError>
    where
        B: AsRef<[u8]> + Send + 'static,
    {
        let length = bytes.as_ref().len() as u64;
        if length == 0 {
            return Ok(bytes);
        }
        let (file, offset) = (Arc::clone(&self.file), self.at);
        let _turn = self.flight.disk_for_a_piece().await;
        // A write waits when many dirty pages are about; not on a thread that also sends heartbeats.
        let written =
            tokio::task::spawn_blocking(move || file.write_all_at(bytes.as_ref(), offset).map(|()| bytes));
        let bytes = written
            .await
            .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
            .map_err(|source| StoreError::Local { verb: "written", path: self.path.clone(), source })?;
        self.at += length;
        self.flight.moved(length);
        (self.moved)(length);
        Ok(bytes)
    }
}
