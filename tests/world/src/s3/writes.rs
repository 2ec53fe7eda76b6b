//! PUT, copy and delete.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use s3s::dto::{
    Checksum, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, Error,
    ObjectIdentifier, PutObjectInput, PutObjectOutput, ServerSideEncryption, StreamingBlob, Timestamp,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use tokio_util::io::ReaderStream;

use super::access::{ACCOUNT, arn};
use super::call::Call;
use super::errors::{broken, refused};
use super::listing::whole_seconds;
use super::objects::{Condition, Description, Version};
use super::operations::{Operations, call_of};
use super::reads::{PIECE, condition};
use super::spool::{Promise, spool};
use crate::judge::facts;

/// Nothing that we read for the ledger is larger than this.
const LARGEST_MANIFEST: u64 = 64 * 1024 * 1024;

impl Operations {
    pub(super) async fn write(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let call = call_of(&request)?;
        let trailers = request.trailing_headers;
        let input = request.input;
        let condition = condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let description = Description {
            content_type: input.content_type,
            content_encoding: input.content_encoding,
            metadata: input.metadata,
            ..self.encrypted(&call, input.server_side_encryption, input.ssekms_key_id)?
        };
        let promise = Promise {
            md5: input.content_md5,
            checksums: Checksum {
                checksum_crc32: input.checksum_crc32,
                checksum_crc32c: input.checksum_crc32c,
                checksum_crc64nvme: input.checksum_crc64nvme,
                checksum_sha1: input.checksum_sha1,
                checksum_sha256: input.checksum_sha256,
                checksum_type: None,
            },
            algorithm: input.checksum_algorithm.map(|a| a.as_str().to_owned()),
            length: input.content_length,
        };
        let spooled = spool(&self.objects, input.body, &promise, trailers).await?;
        call.fact("Size", spooled.size.to_string());
        if spooled.size <= LARGEST_MANIFEST {
            let (objects, key) = (Arc::clone(&self.objects), input.key.clone());
            let path = spooled.file.0.clone();
            // The search of a large body would keep other clients waiting.
            let looked = tokio::task::spawn_blocking(move || {
                let body = std::fs::read(&path).unwrap_or_default();
                objects.inspect(&key, &body);
                if is_manifest(&key) { facts(&body) } else { BTreeMap::new() }
            });
            for (name, value) in looked.await.map_err(broken)? {
                call.fact(&name, value);
            }
        }
        if let Some(byte) = call.flip {
            flip(&spooled.file.0, byte, 0).map_err(broken)?;
        }
        let version = Version {
            file: spooled.file,
            size: spooled.size,
            etag: spooled.md5,
            modified: whole_seconds(SystemTime::now()),
            checksums: spooled.checksums,
            description,
        };
        let version = self.objects.commit(&input.bucket, &input.key, version, &condition).map_err(refused)?;
        call.fact("ETag", version.etag.clone());
        let sums = version.checksums.clone();
        let output = PutObjectOutput {
            e_tag: Some(ETag::Strong(version.etag.clone())),
            server_side_encryption: version.description.encryption.clone().map(ServerSideEncryption::from),
            ssekms_key_id: version.description.kms_key.clone(),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            checksum_type: sums.checksum_type,
            ..PutObjectOutput::default()
        };
        Ok(S3Response::new(output))
    }

    /// How an object will be encrypted, if the caller may use the key.
    pub(super) fn encrypted(
        &self,
        call: &Call,
        encryption: Option<ServerSideEncryption>,
        key: Option<String>,
    ) -> S3Result<Description> {
        // S3 encrypts everything with its own keys unless told otherwise.
        let encryption =
            encryption.map_or_else(|| ServerSideEncryption::AES256.to_owned(), |e| e.as_str().to_owned());
        let kms_key = match (encryption.as_str(), key) {
            (ServerSideEncryption::AES256, None) => None,
            (ServerSideEncryption::AWS_KMS, key) => {
                Some(key.unwrap_or_else(|| format!("arn:aws:kms:{}:{ACCOUNT}:key/aws-s3", self.gate.region)))
            }
            _ => {
                let text = "The encryption method specified is not supported";
                return Err(S3Error::with_message(S3ErrorCode::InvalidArgument, text));
            }
        };
        if let Some(key) = &kms_key {
            self.gate.require_kms(call, "kms:GenerateDataKey", key)?;
        }
        Ok(Description { encryption: Some(encryption), kms_key, ..Description::default() })
    }

    pub(super) async fn copy(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let call = call_of(&request)?;
        let input = request.input;
        let CopySource::Bucket { bucket, key, .. } = &input.copy_source else {
            return Err(refused(S3ErrorCode::NotImplemented));
        };
        let source = self.source(&call, bucket, key)?;
        let opened = tokio::fs::File::open(&source.file.0).await.map_err(broken)?;
        let body = StreamingBlob::wrap(ReaderStream::with_capacity(opened, PIECE));
        // An object in parts becomes one of a single part, with the ETag of one.
        let spooled = spool(&self.objects, Some(body), &Promise::default(), None).await?;
        let encryption = self.encrypted(&call, input.server_side_encryption, input.ssekms_key_id)?;
        let about = &source.description;
        let version = Version {
            file: spooled.file,
            size: spooled.size,
            etag: spooled.md5,
            modified: whole_seconds(SystemTime::now()),
            checksums: spooled.checksums,
            description: Description {
                content_type: input.content_type.or_else(|| about.content_type.clone()),
                content_encoding: about.content_encoding.clone(),
                metadata: input.metadata.or_else(|| about.metadata.clone()),
                ..encryption
            },
        };
        let version =
            self.objects.commit(&input.bucket, &input.key, version, &Condition::None).map_err(refused)?;
        let result = CopyObjectResult {
            e_tag: Some(ETag::Strong(version.etag.clone())),
            last_modified: Some(Timestamp::from(version.modified)),
            ..CopyObjectResult::default()
        };
        let output = CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() };
        Ok(S3Response::new(output))
    }

    pub(super) fn remove(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        let condition = condition(input.if_match.as_ref(), None)?;
        self.objects.delete(&input.bucket, &input.key, &condition).map_err(refused)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    pub(super) fn remove_many(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let call = call_of(&request)?;
        let DeleteObjectsInput { bucket, delete, .. } = request.input;
        let mut output = DeleteObjectsOutput::default();
        call.fact("Keys", delete.objects.iter().map(|o| o.key.as_str()).collect::<Vec<_>>().join(" "));
        for ObjectIdentifier { key, .. } in delete.objects {
            let allowed =
                self.gate.require(&call, "s3:DeleteObject", &arn(&bucket, Some(&key)), &BTreeMap::new());
            let done =
                allowed.and_then(|()| self.objects.delete(&bucket, &key, &Condition::None).map_err(refused));
            match done {
                Ok(()) => output
                    .deleted
                    .get_or_insert_default()
                    .push(DeletedObject { key: Some(key), ..DeletedObject::default() }),
                Err(error) => output.errors.get_or_insert_default().push(Error {
                    key: Some(key),
                    code: Some(error.code().as_str().to_owned()),
                    message: error.message().map(str::to_owned),
                    ..Error::default()
                }),
            }
        }
        if delete.quiet == Some(true) {
            output.deleted = None;
        }
        Ok(S3Response::new(output))
    }
}

/// The pointer and its `.tmp`: the keys by which a node says that it owns the deployment.
pub(super) fn is_manifest(key: &str) -> bool {
    key.ends_with(".manifest.json") || key.ends_with(".manifest.json.tmp")
}

/// Flips the `bit`th bit of a stored file's byte, at `byte` or at its last one.
pub(super) fn flip(file: &Path, byte: usize, bit: u8) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(file)?;
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(());
    }
    let at = (byte as u64).min(length - 1);
    let mut one = [0];
    file.seek(std::io::SeekFrom::Start(at))?;
    file.read_exact(&mut one)?;
    file.seek(std::io::SeekFrom::Start(at))?;
    file.write_all(&[one[0] ^ (1 << (bit % 8))])
}
