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
use std::time::Duration;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{self, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::body;
use super::error::StoreError;
use super::files::Tree;
use super::objects::{Store, bare};
use super::range::Moved;
use super::sending::Sending;
use crate::hex::hex;
use crate::retry::retry;

/// S3 takes 10 000 parts at most ("Multipart upload limits").
const PARTS: u64 = 10_000;
/// Of SHA-256.
type Digest = sha2::digest::Output<Sha256>;

/// The semaphore bounds what is in flight; this only lets all of it be polled.
const AT_A_TIME: usize = 64;
/// A connection that is slower than this, in bytes a second, is given up: 16 of them are 0.5 MB/s together.
const SLOWEST: u64 = 32 << 10;

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
    let job = Job { store, parcel, file: Arc::new(file), sending, flight, moved };
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
    store: &'a Store,
    parcel: &'a Parcel,
    file: Arc<File>,
    sending: Sending,
    flight: &'a Arc<Semaphore>,
    moved: &'a Moved,
}

/// One part as it was hashed.
struct Piece {
    number: i32,
    start: u64,
    end: u64,
    /// In base64, as the header has it.
    checksum: String,
}

impl Job<'_> {
    fn key(&self) -> &str {
        &self.parcel.key
    }

    /// How long one call with so many bytes may take.
    fn patience(&self, bytes: u64) -> Duration {
        self.sending.answer + Duration::from_secs(bytes / SLOWEST)
    }

    /// Tries again what another try may cure, and says so.
    async fn again<T, F>(&self, work: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let note = |error: &StoreError| {
            (self.moved)(0);
            tracing::warn!(key = self.key(), %error, "{} is sent again: {error}", self.key());
        };
        retry(self.sending.tries, note, work).await
    }

    async fn whole(&self) -> Result<Sent, StoreError> {
        const OPERATION: &str = "s3:PutObject";
        // Never closed.
        let _turn = self.flight.acquire().await.ok();
        let length = self.file.metadata().map_err(local(&self.parcel.path))?.len();
        let (digest, _) = self.hash(0, length, Sha256::new()).await?;
        self.store.pace(length).await;
        let checksum = STANDARD.encode(digest);
        let output = self
            .again(|| {
                let mut request = self
                    .store
                    .client
                    .put_object()
                    .bucket(self.store.bucket())
                    .key(self.key())
                    .checksum_sha256(&checksum)
                    .body(body::of_file(&self.file, 0, length));
                if let Some(kms_key) = &self.store.settings().kms_key {
                    request =
                        request.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(kms_key);
                }
                self.store.within_time(OPERATION, self.key(), self.patience(length), request.send())
            })
            .await?;
        self.same(output.checksum_sha256(), &checksum)?;
        (self.moved)(length);
        Ok(Sent {
            key: self.key().to_owned(),
            size: length,
            sha256: hex(&digest),
            etag: bare(output.e_tag()),
            version_id: output.version_id().map(str::to_owned),
        })
    }

    async fn in_parts(&self, metadata: &Metadata) -> Result<Sent, StoreError> {
        let upload = self.begin().await?;
        let sent = self.parts(metadata.len(), &upload).await;
        if sent.is_err() {
            self.give_up(&upload).await;
        }
        sent
    }

    async fn begin(&self) -> Result<String, StoreError> {
        const OPERATION: &str = "s3:PutObject";
        let output = self
            .again(|| {
                let mut request = self
                    .store
                    .client
                    .create_multipart_upload()
                    .bucket(self.store.bucket())
                    .key(self.key())
                    .checksum_algorithm(ChecksumAlgorithm::Sha256);
                if let Some(kms_key) = &self.store.settings().kms_key {
                    request =
                        request.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(kms_key);
                }
                self.store.within_time(OPERATION, self.key(), self.sending.answer, request.send())
            })
            .await?;
        Ok(output.upload_id().unwrap_or_default().to_owned())
    }

    /// Read and hashed in order, sent side by side.
    async fn parts(&self, length: u64, upload: &str) -> Result<Sent, StoreError> {
        let size = self.sending.part.max(length.div_ceil(PARTS));
        let starts = (0..length.div_ceil(size)).map(|n| n * size);
        let read =
            stream::try_unfold((starts, Sha256::new(), 0), move |(mut starts, hasher, number)| async move {
                let Some(start) = starts.next() else { return Ok::<_, StoreError>(None) };
                // What is hashed and not sent yet is bounded, too: it is read once more from the cache and not the disk.
                let turn = Arc::clone(self.flight).acquire_owned().await.ok();
                let end = (start + size).min(length);
                let (digest, hasher) = self.hash(start, end, hasher).await?;
                let piece = Piece { number: number + 1, start, end, checksum: STANDARD.encode(digest) };
                Ok(Some(((piece, turn, digest, hasher.clone()), (starts, hasher, number + 1))))
            });
        let (mut whole, mut of_parts) = (Sha256::new(), Sha256::new());
        let mut done: Vec<CompletedPart> = read
            .inspect_ok(|(_, _, digest, hasher)| {
                of_parts.update(digest);
                whole.clone_from(hasher);
            })
            .map_ok(|(piece, turn, _, _)| async move {
                self.store.pace(piece.end - piece.start).await;
                let part = self.part(upload, &piece).await;
                drop(turn);
                part
            })
            .try_buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        done.sort_by_key(CompletedPart::part_number);
        // As S3 makes it: over the parts' checksums, with their number ("Checking object integrity").
        let composite = format!("{}-{}", STANDARD.encode(of_parts.finalize()), done.len());
        self.complete(upload, done, length, &whole.finalize(), &composite).await
    }

    async fn part(&self, upload: &str, piece: &Piece) -> Result<CompletedPart, StoreError> {
        const OPERATION: &str = "s3:PutObject";
        let Piece { number, start, end, checksum } = piece;
        let output = self
            .again(|| {
                let request = self
                    .store
                    .client
                    .upload_part()
                    .bucket(self.store.bucket())
                    .key(self.key())
                    .upload_id(upload)
                    .part_number(*number)
                    .checksum_sha256(checksum)
                    .body(body::of_file(&self.file, *start, *end));
                self.store.within_time(OPERATION, self.key(), self.patience(end - start), request.send())
            })
            .await?;
        self.same(output.checksum_sha256(), checksum)?;
        (self.moved)(end - start);
        Ok(CompletedPart::builder()
            .part_number(*number)
            .set_e_tag(output.e_tag().map(str::to_owned))
            .checksum_sha256(checksum)
            .build())
    }

    async fn complete(
        &self,
        upload: &str,
        parts: Vec<CompletedPart>,
        size: u64,
        digest: &[u8],
        composite: &str,
    ) -> Result<Sent, StoreError> {
        const OPERATION: &str = "s3:PutObject";
        let whole = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let ended = self
            .again(|| {
                let request = self
                    .store
                    .client
                    .complete_multipart_upload()
                    .bucket(self.store.bucket())
                    .key(self.key())
                    .upload_id(upload)
                    .multipart_upload(whole.clone());
                // S3 puts the parts together before it answers, and sends blanks meanwhile.
                self.store.within_time(OPERATION, self.key(), 4 * self.sending.answer, request.send())
            })
            .await;
        let sent = |etag, version: Option<&str>| Sent {
            key: self.key().to_owned(),
            size,
            sha256: hex(digest),
            etag: bare(etag),
            version_id: version.map(str::to_owned),
        };
        match ended {
            Ok(output) => {
                self.same(output.checksum_sha256(), composite)?;
                Ok(sent(output.e_tag(), output.version_id()))
            }
            // It was ended by a try whose answer got lost, or it never was: the object tells.
            Err(StoreError::Refused { operation, bucket, key, source }) if source.code == "NoSuchUpload" => {
                let held = self.head().await?;
                if held.checksum_sha256() == Some(composite) {
                    return Ok(sent(held.e_tag(), held.version_id()));
                }
                Err(StoreError::Refused { operation, bucket, key, source })
            }
            Err(error) => Err(error),
        }
    }

    async fn head(&self) -> Result<HeadObjectOutput, StoreError> {
        const OPERATION: &str = "s3:GetObject";
        let request = self
            .store
            .client
            .head_object()
            .bucket(self.store.bucket())
            .key(self.key())
            .checksum_mode(ChecksumMode::Enabled);
        self.store.within_time(OPERATION, self.key(), self.sending.answer, request.send()).await
    }

    /// Parts of an upload that nobody ends are paid for, and seen by no listing of objects.
    async fn give_up(&self, upload: &str) {
        const OPERATION: &str = "s3:AbortMultipartUpload";
        let request = self
            .store
            .client
            .abort_multipart_upload()
            .bucket(self.store.bucket())
            .key(self.key())
            .upload_id(upload);
        let given = self.store.within_time(OPERATION, self.key(), self.sending.answer, request.send()).await;
        if let Err(error) = given {
            tracing::warn!(key = self.key(), %error, "parts of {} may be left: {error}", self.key());
        }
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

    /// The store says what it holds. One that says nothing is asked when all is there: `backup` lists what it holds.
    fn same(&self, answered: Option<&str>, sent: &str) -> Result<(), StoreError> {
        match answered {
            Some(answered) if answered != sent => Err(StoreError::Corrupt {
                bucket: self.store.bucket().to_owned(),
                key: self.key().to_owned(),
                what: format!("the store holds bytes with the SHA-256 {answered}, and was sent {sent}"),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

fn local(path: &Path) -> impl Fn(std::io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Local { verb: "read", path: path.clone(), source }
}
