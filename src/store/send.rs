//! A file into the bucket: hashed while it is read, each byte under a checksum that the store compares, and whole or
//! not there at all.
//!
//! ```text
//! file ─▶ parts of 8 MiB, in order ─▶ SHA-256 of the file, SHA-256 of the part ─▶ N in flight ─┐
//!   one part : PUT with its checksum ──────────────────────────────────────────────────────────┤
//!   several  : CreateMultipartUpload ─▶ UploadPart… ─▶ Complete with all checksums; else Abort ┴─▶ Sent
//! ```

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_sdk_s3::types::ServerSideEncryption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{self, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::body;
use super::error::StoreError;
use super::files::Tree;
use super::multipart::{Calls, PARTS, Put, Upload};
use super::objects::{Store, bare};
use super::range::Moved;
use super::sending::Sending;
use crate::hex::hex;

/// Of SHA-256.
type Digest = sha2::digest::Output<Sha256>;

/// The semaphore bounds what is in flight; this only lets all of it be polled.
const AT_A_TIME: usize = 64;

/// A file that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Where it lies, relative to the tree.
    pub path: PathBuf,
    /// Its full key.
    pub key: String,
}

/// What lies in the bucket now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub key: String,
    pub size: u64,
    /// Of the bytes that were read, in hex.
    pub sha256: String,
    pub etag: String,
    /// Where the bucket keeps versions.
    pub version_id: Option<String>,
}

/// Sends one file. `flight` bounds the parts of all files that are on their way at a time; `moved` is told about every
/// byte that the store has taken.
pub async fn send(
    store: &Store,
    tree: &Tree,
    parcel: &Parcel,
    sending: Sending,
    flight: &Arc<Semaphore>,
    moved: &Moved,
) -> Result<Sent, StoreError> {
    let local = |source| StoreError::Local { verb: "read", path: parcel.path.clone(), source };
    let file = tree.read(&parcel.path)?.ok_or_else(|| local(std::io::ErrorKind::NotFound.into()))?;
    let before = file.metadata().map_err(local)?;
    let calls = Calls { store, key: &parcel.key, sending, moved };
    let job = Job { calls, parcel, file: Arc::new(file), flight };
    let sent = if before.len() <= sending.part { job.whole().await? } else { job.in_parts(&before).await? };
    let after = job.file.metadata().map_err(local)?;
    // The server was to be done with it: what was read may be of two times.
    if after.len() != before.len() || times(&after) != times(&before) {
        return Err(StoreError::Changed { path: parcel.path.clone() });
    }
    Ok(sent)
}

fn times(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

struct Job<'a> {
    calls: Calls<'a>,
    parcel: &'a Parcel,
    file: Arc<File>,
    flight: &'a Arc<Semaphore>,
}

/// One part as it was hashed.
struct Piece {
    number: i32,
    start: u64,
    end: u64,
    digest: Digest,
}

impl Job<'_> {
    async fn whole(&self) -> Result<Sent, StoreError> {
        const OPERATION: &str = "s3:PutObject";
        let Calls { store, key, moved, .. } = self.calls;
        // Never closed.
        let _turn = self.flight.acquire().await.ok();
        let length = self.file.metadata().map_err(local(&self.parcel.path))?.len();
        let (digest, _) = self.hash(0, length, Sha256::new()).await?;
        store.pace(length).await;
        let checksum = STANDARD.encode(digest);
        let output = self
            .calls
            .again(|| {
                let mut request = store
                    .client
                    .put_object()
                    .bucket(store.bucket())
                    .key(key)
                    .checksum_sha256(&checksum)
                    .body(body::of_file(&self.file, 0, length));
                if let Some(kms_key) = &store.settings().kms_key {
                    request =
                        request.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(kms_key);
                }
                store.within_time(OPERATION, key, self.calls.patience(length), request.send())
            })
            .await?;
        self.calls.same(output.checksum_sha256(), &checksum)?;
        moved(length);
        Ok(Sent {
            key: key.to_owned(),
            size: length,
            sha256: hex(&digest),
            etag: bare(output.e_tag()),
            version_id: output.version_id().map(str::to_owned),
        })
    }

    async fn in_parts(&self, metadata: &Metadata) -> Result<Sent, StoreError> {
        let upload = self.calls.begin().await?;
        let sent = self.parts(metadata.len(), &upload).await;
        if sent.is_err() {
            self.calls.give_up(&upload).await;
        }
        sent
    }

    /// Read and hashed in order, sent side by side.
    async fn parts(&self, length: u64, upload: &Upload) -> Result<Sent, StoreError> {
        let size = self.calls.sending.part.max(length.div_ceil(PARTS));
        let starts = (0..length.div_ceil(size)).map(|n| n * size);
        let read =
            stream::try_unfold((starts, Sha256::new(), 0), move |(mut starts, hasher, number)| async move {
                let Some(start) = starts.next() else { return Ok::<_, StoreError>(None) };
                // What is hashed and not sent yet is bounded, too: it is read once more from the cache and not the disk.
                let turn = Arc::clone(self.flight).acquire_owned().await.ok();
                let end = (start + size).min(length);
                let (digest, hasher) = self.hash(start, end, hasher).await?;
                let piece = Piece { number: number + 1, start, end, digest };
                Ok(Some(((piece, turn, hasher.clone()), (starts, hasher, number + 1))))
            });
        let mut whole = Sha256::new();
        let done = read
            .inspect_ok(|(_, _, hasher)| whole.clone_from(hasher))
            .map_ok(|(Piece { number, start, end, digest }, turn, _)| async move {
                self.calls.store.pace(end - start).await;
                let bytes = || body::of_file(&self.file, start, end);
                let part = self.calls.part(upload, number, end - start, digest, bytes).await;
                drop(turn);
                part
            })
            .try_buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        let Put { etag, version_id } = self.calls.complete(upload, done).await?;
        Ok(Sent {
            key: self.calls.key.to_owned(),
            size: length,
            sha256: hex(&whole.finalize()),
            etag,
            version_id,
        })
    }

    /// The hash of the bytes `start..end`, and the file's with them.
    async fn hash(&self, start: u64, end: u64, mut whole: Sha256) -> Result<(Digest, Sha256), StoreError> {
        let file = Arc::clone(&self.file);
        let hashed = tokio::task::spawn_blocking(move || {
            let (mut part, mut at) = (Sha256::new(), start);
            while at < end {
                let bytes = body::piece(&file, at, end)?;
                part.update(&bytes);
                whole.update(&bytes);
                at += bytes.len() as u64;
            }
            Ok((part.finalize(), whole))
        });
        let hashed = hashed.await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
        hashed.map_err(local(&self.parcel.path))
    }
}

fn local(path: &Path) -> impl Fn(std::io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Local { verb: "read", path: path.clone(), source }
}
