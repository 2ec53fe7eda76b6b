//! GET, HEAD and listings.

use std::collections::BTreeMap;
use std::sync::Arc;

use s3s::dto::{
    Checksum, ChecksumMode, ETag, ETagCondition, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
    ServerSideEncryption, StreamingBlob, Timestamp,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::call::Call;
use super::errors::{broken, refused};
use super::listing::{Page, Query, from_token, page, shown, token};
use super::objects::{Condition, Version};
use super::operations::{Operations, call_of};

/// How much of a body is in memory at a time.
pub(super) const PIECE: usize = 64 * 1024;

impl Operations {
    /// The version that this call sees, if the caller may read it.
    fn seen(&self, call: &Call, bucket: &str, key: &str) -> S3Result<Arc<Version>> {
        let version = self.objects.get(bucket, key, call.view);
        let version = version.ok_or_else(|| self.gate.missing(call, bucket, key))?;
        if let Some(kms) = &version.description.kms_key {
            self.gate.require_kms(call, "kms:Decrypt", kms)?;
        }
        call.fact("ETag", version.etag.clone());
        Ok(version)
    }

    pub(super) async fn read(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let call = call_of(&request)?;
        let input = request.input;
        let version = self.seen(&call, &input.bucket, &input.key)?;
        fresh(&version, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        if input.if_modified_since.is_some_and(|since| Timestamp::from(version.modified) <= since) {
            return Err(refused(S3ErrorCode::NotModified));
        }
        let (start, end) = match &input.range {
            Some(range) => {
                let range = range.check(version.size).map_err(|_| refused(S3ErrorCode::InvalidRange))?;
                (range.start, range.end)
            }
            None => (0, version.size),
        };
        let mut file = tokio::fs::File::open(&version.file.0).await.map_err(broken)?;
        file.seek(std::io::SeekFrom::Start(start)).await.map_err(broken)?;
        // The version is kept with the stream, so that its file outlives an overwrite.
        let stream = Held { _version: Arc::clone(&version), reader: file.take(end - start) };
        let body = StreamingBlob::wrap(ReaderStream::with_capacity(stream, PIECE));
        let whole = input.range.is_none();
        let asked = input.checksum_mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
        let sums = if asked && whole { version.checksums.clone() } else { Checksum::default() };
        let about = &version.description;
        let output = GetObjectOutput {
            body: Some(body),
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from(end - start).ok(),
            content_range: (!whole)
                .then(|| format!("bytes {start}-{}/{}", end.saturating_sub(1), version.size)),
            e_tag: Some(ETag::Strong(version.etag.clone())),
            last_modified: Some(Timestamp::from(version.modified)),
            content_type: about.content_type.clone(),
            content_encoding: about.content_encoding.clone(),
            metadata: about.metadata.clone(),
            server_side_encryption: about.encryption.clone().map(ServerSideEncryption::from),
            ssekms_key_id: about.kms_key.clone(),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            checksum_type: sums.checksum_type,
            ..GetObjectOutput::default()
        };
        Ok(S3Response::new(output))
    }

    pub(super) fn describe(
        &self,
        request: &S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let call = call_of(request)?;
        let input = &request.input;
        let version = self.seen(&call, &input.bucket, &input.key)?;
        fresh(&version, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let asked = input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
        let sums = if asked { version.checksums.clone() } else { Checksum::default() };
        let about = &version.description;
        let output = HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from(version.size).ok(),
            e_tag: Some(ETag::Strong(version.etag.clone())),
            last_modified: Some(Timestamp::from(version.modified)),
            content_type: about.content_type.clone(),
            content_encoding: about.content_encoding.clone(),
            metadata: about.metadata.clone(),
            server_side_encryption: about.encryption.clone().map(ServerSideEncryption::from),
            ssekms_key_id: about.kms_key.clone(),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            checksum_type: sums.checksum_type,
            ..HeadObjectOutput::default()
        };
        Ok(S3Response::new(output))
    }

    fn listed(&self, call: &Call, bucket: &str, query: &Query<'_>) -> S3Result<Page> {
        let keys = self.objects.list(bucket, query.prefix, call.view);
        let keys = keys.ok_or_else(|| refused(S3ErrorCode::NoSuchBucket))?;
        Ok(page(keys, query, self.page))
    }

    pub(super) fn list_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let call = call_of(&request)?;
        let input = request.input;
        let encoded = input.encoding_type.is_some();
        let after = match &input.continuation_token {
            Some(token) => Some(from_token(token)?),
            None => input.start_after.clone(),
        };
        let query = Query {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref(),
            after,
            max_keys: input.max_keys,
            encoded,
        };
        let page = self.listed(&call, &input.bucket, &query)?;
        let output = ListObjectsV2Output {
            name: Some(input.bucket.clone()),
            prefix: Some(shown(query.prefix, encoded)),
            delimiter: input.delimiter.as_deref().map(|d| shown(d, encoded)),
            max_keys: Some(page.max_keys),
            key_count: Some(page.count),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.as_deref().map(token),
            continuation_token: input.continuation_token,
            start_after: input.start_after,
            encoding_type: input.encoding_type,
            contents: Some(page.objects),
            common_prefixes: Some(page.prefixes),
            ..ListObjectsV2Output::default()
        };
        Ok(S3Response::new(output))
    }

    pub(super) fn list_v1(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let call = call_of(&request)?;
        let input = request.input;
        let encoded = input.encoding_type.is_some();
        let query = Query {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref(),
            after: input.marker.clone(),
            max_keys: input.max_keys,
            encoded,
        };
        let page = self.listed(&call, &input.bucket, &query)?;
        let output = ListObjectsOutput {
            name: Some(input.bucket.clone()),
            prefix: Some(shown(query.prefix, encoded)),
            delimiter: input.delimiter.as_deref().map(|d| shown(d, encoded)),
            marker: Some(input.marker.unwrap_or_default()),
            max_keys: Some(page.max_keys),
            is_truncated: Some(page.next.is_some()),
            next_marker: page.next.map(|key| shown(&key, encoded)),
            encoding_type: input.encoding_type,
            contents: Some(page.objects),
            common_prefixes: Some(page.prefixes),
            ..ListObjectsOutput::default()
        };
        Ok(S3Response::new(output))
    }

    /// May the caller read the source of a copy?
    pub(super) fn source(&self, call: &Call, bucket: &str, key: &str) -> S3Result<Arc<Version>> {
        if !self.objects.has_bucket(bucket) {
            return Err(refused(S3ErrorCode::NoSuchBucket));
        }
        let arn = super::access::arn(bucket, Some(key));
        self.gate.require(call, "s3:GetObject", &arn, &BTreeMap::new())?;
        self.seen(call, bucket, key)
    }
}

/// `If-Match` wins over `If-None-Match`, which is the order of RFC 9110, 13.2.2.
fn fresh(version: &Version, matching: Option<&ETagCondition>, none: Option<&ETagCondition>) -> S3Result<()> {
    let equals = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == version.etag,
    };
    if matching.is_some_and(|condition| !equals(condition)) {
        return Err(refused(S3ErrorCode::PreconditionFailed));
    }
    if none.is_some_and(equals) {
        return Err(refused(S3ErrorCode::NotModified));
    }
    Ok(())
}

/// Conditions of a write. `*` of `If-Match` asks for any object at all, which the API reference knows for
/// `DeleteObject` only; a double that lets it pass shows the judge a write that overwrites whatever is there.
pub(super) fn condition(
    matching: Option<&ETagCondition>,
    none: Option<&ETagCondition>,
) -> S3Result<Condition> {
    match (matching, none) {
        (None, None) => Ok(Condition::None),
        (None, Some(ETagCondition::Any)) => Ok(Condition::IsAbsent),
        (Some(ETagCondition::Any), None) => Ok(Condition::Matches(None)),
        (Some(ETagCondition::ETag(etag)), None) => Ok(Condition::Matches(Some(etag.value().to_owned()))),
        (_, Some(_)) => Err(refused(S3ErrorCode::NotImplemented)),
    }
}

struct Held<R> {
    _version: Arc<Version>,
    reader: R,
}

impl<R: tokio::io::AsyncRead + Unpin> tokio::io::AsyncRead for Held<R> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.reader).poll_read(context, buffer)
    }
}
