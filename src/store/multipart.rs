//! One object in parts: begun, each part under its checksum, and ended whole or given up.
//!
//! ```text
//! CreateMultipartUpload ─▶ UploadPart… ─▶ Complete with all checksums ─▶ Put
//!                                   └─ else Abort
//! ```

use std::time::Duration;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::error::StoreError;
use super::objects::{Store, bare};
use super::range::Moved;
use super::sending::Sending;
use crate::retry::retry;

/// S3 takes 10 000 parts at most ("Multipart upload limits").
pub(super) const PARTS: u64 = 10_000;
/// A connection that is slower than this, in bytes a second, is given up: 16 of them are 0.5 MB/s together.
const SLOWEST: u64 = 32 << 10;
const OPERATION: &str = "s3:PutObject";

/// The calls for one object.
#[derive(Clone, Copy)]
pub(super) struct Calls<'a> {
    pub store: &'a Store,
    pub key: &'a str,
    pub sending: Sending,
    pub moved: &'a Moved,
}

/// What is under way.
pub(super) struct Upload(String);

/// The whole object, as the store names it.
pub(super) struct Put {
    pub etag: String,
    /// Where the bucket keeps versions.
    pub version_id: Option<String>,
}

/// A part that is there.
pub(super) struct Done {
    part: CompletedPart,
    digest: sha2::digest::Output<Sha256>,
}

impl Calls<'_> {
    /// How long one call with so many bytes may take.
    pub fn patience(&self, bytes: u64) -> Duration {
        self.sending.answer + Duration::from_secs(bytes / SLOWEST)
    }

    /// Tries again what another try may cure, and says so.
    pub async fn again<T, F>(&self, work: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let note = |error: &StoreError| {
            (self.moved)(0);
            tracing::warn!(key = self.key, %error, "{} is sent again: {error}", self.key);
        };
        retry(self.sending.tries, note, work).await
    }

    /// The store says what it holds. One that says nothing is asked when all is there: `backup` lists what it holds.
    pub fn same(&self, answered: Option<&str>, sent: &str) -> Result<(), StoreError> {
        match answered {
            Some(answered) if answered != sent => Err(StoreError::Corrupt {
                bucket: self.store.bucket().to_owned(),
                key: self.key.to_owned(),
                what: format!("the store holds bytes with the SHA-256 {answered}, and was sent {sent}"),
            }),
            Some(_) | None => Ok(()),
        }
    }

    pub async fn begin(&self) -> Result<Upload, StoreError> {
        let output = self
            .again(|| {
                let mut request = self
                    .store
                    .client
                    .create_multipart_upload()
                    .bucket(self.store.bucket())
                    .key(self.key)
                    .checksum_algorithm(ChecksumAlgorithm::Sha256);
                if let Some(kms_key) = &self.store.settings().kms_key {
                    request =
                        request.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(kms_key);
                }
                self.store.within_time(OPERATION, self.key, self.sending.answer, request.send())
            })
            .await?;
        Ok(Upload(output.upload_id().unwrap_or_default().to_owned()))
    }

    /// Sends one part; `body` makes its bytes anew for each try.
    pub async fn part(
        &self,
        upload: &Upload,
        number: i32,
        length: u64,
        digest: sha2::digest::Output<Sha256>,
        body: impl Fn() -> ByteStream,
    ) -> Result<Done, StoreError> {
        let checksum = STANDARD.encode(digest);
        let output = self
            .again(|| {
                let request = self
                    .store
                    .client
                    .upload_part()
                    .bucket(self.store.bucket())
                    .key(self.key)
                    .upload_id(&upload.0)
                    .part_number(number)
                    .checksum_sha256(&checksum)
                    .body(body());
                self.store.within_time(OPERATION, self.key, self.patience(length), request.send())
            })
            .await?;
        self.same(output.checksum_sha256(), &checksum)?;
        (self.moved)(length);
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(output.e_tag().map(str::to_owned))
            .checksum_sha256(checksum)
            .build();
        Ok(Done { part, digest })
    }

    /// Puts the parts together.
    pub async fn complete(&self, upload: &Upload, mut done: Vec<Done>) -> Result<Put, StoreError> {
        done.sort_by_key(|done| done.part.part_number());
        let mut of_parts = Sha256::new();
        for done in &done {
            of_parts.update(done.digest);
        }
        // As S3 makes it: over the parts' checksums, with their number ("Checking object integrity").
        let composite = format!("{}-{}", STANDARD.encode(of_parts.finalize()), done.len());
        let parts = done.into_iter().map(|done| done.part).collect();
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let ended = self
            .again(|| {
                let request = self
                    .store
                    .client
                    .complete_multipart_upload()
                    .bucket(self.store.bucket())
                    .key(self.key)
                    .upload_id(&upload.0)
                    .multipart_upload(parts.clone());
                // S3 puts the parts together before it answers, and sends blanks meanwhile.
                self.store.within_time(OPERATION, self.key, 4 * self.sending.answer, request.send())
            })
            .await;
        let put =
            |etag, version: Option<&str>| Put { etag: bare(etag), version_id: version.map(str::to_owned) };
        match ended {
            Ok(output) => {
                self.same(output.checksum_sha256(), &composite)?;
                Ok(put(output.e_tag(), output.version_id()))
            }
            // It was ended by a try whose answer got lost, or it never was: the object tells.
            Err(StoreError::Refused { operation, bucket, key, source }) if source.code == "NoSuchUpload" => {
                let held = self.head().await?;
                if held.checksum_sha256() == Some(composite.as_str()) {
                    return Ok(put(held.e_tag(), held.version_id()));
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
            .key(self.key)
            .checksum_mode(ChecksumMode::Enabled);
        self.store.within_time(OPERATION, self.key, self.sending.answer, request.send()).await
    }

    /// Parts of an upload that nobody ends are paid for, and seen by no listing of objects.
    pub async fn give_up(&self, upload: &Upload) {
        const OPERATION: &str = "s3:AbortMultipartUpload";
        let request = self
            .store
            .client
            .abort_multipart_upload()
            .bucket(self.store.bucket())
            .key(self.key)
            .upload_id(&upload.0);
        let given = self.store.within_time(OPERATION, self.key, self.sending.answer, request.send()).await;
        if let Err(error) = given {
            tracing::warn!(key = self.key, %error, "parts of {} may be left: {error}", self.key);
        }
    }
}
