//! Uploads in parts, as operations.

use std::sync::Arc;
use std::time::SystemTime;

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, Checksum, ChecksumType,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, ETag, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput,
    ListPartsOutput, MultipartUpload, Part, ServerSideEncryption, Timestamp, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result};

use super::errors::{broken, refused};
use super::listing::whole_seconds;
use super::multipart::{PartFile, Upload, assemble, chosen};
use super::objects::{Bucket as Stored, Description, Version};
use super::operations::{Operations, call_of};
use super::reads::condition;
use super::spool::{Promise, compare, spool};

impl Operations {
    pub(super) fn begin(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let call = call_of(&request)?;
        let input = request.input;
        let description = Description {
            content_type: input.content_type,
            content_encoding: input.content_encoding,
            metadata: input.metadata,
            ..self.encrypted(&call, input.server_side_encryption, input.ssekms_key_id)?
        };
        let algorithm = input.checksum_algorithm.as_ref().map(|a| a.as_str().to_owned());
        // CRC64NVME knows the whole object only.
        let whole = input.checksum_type.as_ref().is_some_and(|t| t.as_str() == ChecksumType::FULL_OBJECT)
            || algorithm.as_deref() == Some("CRC64NVME");
        let id = format!("{:032x}", rand::random::<u128>());
        let output = CreateMultipartUploadOutput {
            bucket: Some(input.bucket.clone()),
            key: Some(input.key.clone()),
            upload_id: Some(id.clone()),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            server_side_encryption: description.encryption.clone().map(ServerSideEncryption::from),
            ssekms_key_id: description.kms_key.clone(),
            ..CreateMultipartUploadOutput::default()
        };
        let upload = Upload {
            key: input.key,
            started: SystemTime::now(),
            algorithm,
            whole,
            description,
            parts: std::collections::BTreeMap::new(),
        };
        let mut buckets = self.objects.buckets();
        let bucket = buckets.get_mut(&input.bucket).ok_or_else(|| refused(S3ErrorCode::NoSuchBucket))?;
        bucket.uploads.insert(id, upload);
        Ok(S3Response::new(output))
    }

    /// Runs `act` on an upload that exists for this key.
    fn on_upload<T>(
        &self,
        (bucket, key, id): (&str, &str, &str),
        act: impl FnOnce(&mut Stored) -> S3Result<T>,
    ) -> S3Result<T> {
        let mut buckets = self.objects.buckets();
        let bucket = buckets.get_mut(bucket).ok_or_else(|| refused(S3ErrorCode::NoSuchBucket))?;
        if bucket.uploads.get(id).is_none_or(|upload| upload.key != key) {
            return Err(refused(S3ErrorCode::NoSuchUpload));
        }
        act(bucket)
    }

    pub(super) async fn add_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let call = call_of(&request)?;
        let trailers = request.trailing_headers;
        let input = request.input;
        let at = (input.bucket.as_str(), input.key.as_str(), input.upload_id.as_str());
        let (algorithm, description) = self.on_upload(at, |bucket| {
            let upload = &bucket.uploads[&input.upload_id];
            Ok((upload.algorithm.clone(), upload.description.clone()))
        })?;
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
            algorithm: input.checksum_algorithm.map(|a| a.as_str().to_owned()).or(algorithm),
            length: input.content_length,
        };
        let spooled = spool(&self.objects, input.body, &promise, trailers).await?;
        call.fact("Size", spooled.size.to_string());
        let sums = spooled.checksums.clone();
        let output = UploadPartOutput {
            e_tag: Some(ETag::Strong(spooled.md5.clone())),
            server_side_encryption: description.encryption.map(ServerSideEncryption::from),
            ssekms_key_id: description.kms_key,
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            ..UploadPartOutput::default()
        };
        let part = Arc::new(PartFile { spooled, stored: SystemTime::now() });
        self.on_upload(at, |bucket| {
            if let Some(upload) = bucket.uploads.get_mut(&input.upload_id) {
                upload.parts.insert(input.part_number, part);
            }
            Ok(())
        })?;
        Ok(S3Response::new(output))
    }

    pub(super) async fn complete(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let call = call_of(&request)?;
        let input = request.input;
        let condition = condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let wanted = input.multipart_upload.and_then(|m| m.parts).unwrap_or_default();
        let at = (input.bucket.as_str(), input.key.as_str(), input.upload_id.as_str());
        let (parts, algorithm, whole, description) = self.on_upload(at, |bucket| {
            let upload = &bucket.uploads[&input.upload_id];
            let parts = chosen(upload, &wanted)?;
            Ok((parts, upload.algorithm.clone(), upload.whole, upload.description.clone()))
        })?;
        let objects = Arc::clone(&self.objects);
        let joined =
            tokio::task::spawn_blocking(move || assemble(&objects, &parts, algorithm.as_deref(), whole));
        let assembled = joined.await.map_err(broken)??;
        let promised = Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            checksum_type: None,
        };
        compare(&promised, &assembled.checksums)?;
        call.fact("Size", assembled.size.to_string());
        let version = Version {
            file: assembled.file,
            size: assembled.size,
            etag: assembled.etag,
            modified: whole_seconds(SystemTime::now()),
            checksums: assembled.checksums,
            description,
        };
        let version = self.objects.commit(&input.bucket, &input.key, version, &condition).map_err(refused)?;
        self.on_upload(at, |bucket| {
            bucket.uploads.remove(&input.upload_id);
            Ok(())
        })?;
        call.fact("ETag", version.etag.clone());
        let sums = version.checksums.clone();
        let output = CompleteMultipartUploadOutput {
            location: Some(format!("http://{}/{}/{}", super::hosts::DOMAIN, input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(version.etag.clone())),
            server_side_encryption: version.description.encryption.clone().map(ServerSideEncryption::from),
            ssekms_key_id: version.description.kms_key.clone(),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            checksum_type: sums.checksum_type,
            ..CompleteMultipartUploadOutput::default()
        };
        Ok(S3Response::new(output))
    }

    pub(super) fn abort(
        &self,
        request: &S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = &request.input;
        self.on_upload((&input.bucket, &input.key, &input.upload_id), |bucket| {
            bucket.uploads.remove(&input.upload_id);
            Ok(())
        })?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    pub(super) fn parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let input = request.input;
        let at = (input.bucket.as_str(), input.key.as_str(), input.upload_id.as_str());
        let parts = self.on_upload(at, |bucket| {
            let upload = &bucket.uploads[&input.upload_id];
            Ok(upload
                .parts
                .iter()
                .map(|(number, part)| Part {
                    part_number: Some(*number),
                    e_tag: Some(ETag::Strong(part.spooled.md5.clone())),
                    size: i64::try_from(part.spooled.size).ok(),
                    last_modified: Some(Timestamp::from(part.stored)),
                    ..Part::default()
                })
                .collect::<Vec<_>>())
        })?;
        let output = ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            is_truncated: Some(false),
            parts: Some(parts),
            ..ListPartsOutput::default()
        };
        Ok(S3Response::new(output))
    }

    pub(super) fn uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        let prefix = input.prefix.unwrap_or_default();
        let buckets = self.objects.buckets();
        let bucket = buckets.get(&input.bucket).ok_or_else(|| refused(S3ErrorCode::NoSuchBucket))?;
        let uploads = bucket.uploads.iter().filter(|(_, upload)| upload.key.starts_with(&prefix));
        let uploads = uploads.map(|(id, upload)| MultipartUpload {
            key: Some(upload.key.clone()),
            upload_id: Some(id.clone()),
            initiated: Some(Timestamp::from(upload.started)),
            ..MultipartUpload::default()
        });
        let output = ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: Some(prefix.clone()),
            is_truncated: Some(false),
            uploads: Some(uploads.collect()),
            ..ListMultipartUploadsOutput::default()
        };
        Ok(S3Response::new(output))
    }
}
