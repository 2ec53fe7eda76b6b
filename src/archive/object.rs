//! An archive that is an object in a bucket: sent while it is made, and read while it is taken apart.
//!
//! ```text
//! bytes of the backup ─▶ tape ─▶ pieces ─▶ parts ─▶ completed when the last byte has come, else given up
//! ranges, ahead of their reader ─▶ pieces ─▶ tape
//! ```

use std::io::{self, Write};

use bytes::Bytes;
use tokio::sync::mpsc::{self, Sender};

use super::error::ArchiveError;
use super::export::{PIECES, seconds};
use super::tape::{self, Entry, Exactly, Feed};
use crate::manifest::Manifest;
use crate::store::{Limits, Piece, Sending, Store, StoreError, read_ahead, send_stream};

/// Parts that are in memory at a time: an archive of a terabyte has parts of 110 MB.
const CONNECTIONS: usize = 4;
/// Four blocks of a tar (its format, "Basic Tar Format"): a header, a long name's two, and padding. What zstd adds to what
/// it cannot press is within the tenth that a part has to spare.
const PER_ENTRY: u64 = 2048;

/// Nothing is overwritten.
pub async fn absent(target: &Store, key: &str) -> Result<(), ArchiveError> {
    match size(target, key).await {
        Ok(_) => Err(ArchiveError::There { file: format!("s3://{}/{key}", target.bucket()) }),
        Err(StoreError::Absent { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn size(store: &Store, key: &str) -> Result<u64, StoreError> {
    let listed = store.list(key).await?;
    let found = listed.into_iter().find(|object| object.key == key);
    found
        .map(|object| object.size)
        .ok_or_else(|| StoreError::Absent { bucket: store.bucket().to_owned(), key: key.to_owned() })
}

/// Sends the archive of these entries while their bytes are brought.
pub async fn write<F>(
    target: &Store,
    key: &str,
    entries: Vec<Entry>,
    manifest: &Manifest,
    bring: impl FnOnce(Sender<Bytes>) -> F,
) -> Result<(), ArchiveError>
where
    F: Future<Output = Result<(), ArchiveError>>,
{
    let expected = manifest.bytes() + entries.len() as u64 * PER_ENTRY;
    let mtime = seconds(manifest.completed.as_deref());
    let (sender, pieces) = mpsc::channel(PIECES);
    let (out, made) = mpsc::channel(PIECES);
    let packing = tokio::task::spawn_blocking(move || {
        let out = tape::write(Pieces(out), &entries, mtime, pieces)?;
        // Only here: whoever failed before sends no end.
        out.0.blocking_send(Piece::End).map_err(|_| gone())
    });
    let sending = send_stream(target, key, made, expected, Sending::default(), CONNECTIONS);
    let (brought, packed, sent) = tokio::join!(bring(sender), packing, sending);
    // What was not brought was not sent either: the first cause is what is told.
    brought?;
    sent?;
    let packed = packed.unwrap_or_else(|panic| Err(io::Error::other(panic)));
    let path = format!("s3://{}/{key}", target.bucket());
    packed.map_err(|source| ArchiveError::Local { verb: "written", path, source })
}

/// A writer whose bytes are sent.
struct Pieces(Sender<Piece>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Piece::Bytes(Bytes::copy_from_slice(bytes));
        self.0.blocking_send(piece).map_err(|_| gone())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "nobody sends it any more")
}

/// Reads the object, and hands it to `take` on a thread of its own, as a file would be.
pub async fn read<T: Send + 'static>(
    source: &Store,
    key: &str,
    limits: Limits,
    take: impl FnOnce(Exactly<Feed>) -> io::Result<T> + Send + 'static,
) -> Result<io::Result<T>, StoreError> {
    let size = size(source, key).await?;
    let (sender, pieces) = mpsc::channel(PIECES);
    let taking = tokio::task::spawn_blocking(move || take(Exactly::new(Feed::new(pieces), size)));
    let brought = read_ahead(source, key, size, limits, &sender, |_| {}).await;
    // Else a reader would wait for the rest of what could not be brought.
    drop(sender);
    let taken = taking.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
    // Whoever takes it and has failed says why.
    brought.map(|_| taken)
}
