//! The operations that the double knows, by their names at the service; all others answer `NotImplemented`.
//!
//! ```text
//!  s3s ─▶ Operations ─▶ reads | writes | uploads ─▶ Objects
//! ```
//!
//! To add an operation: a method here that calls one of the three, its permission in `access::actions`,
//! its request line in `call::operation`, and a row in `BEHAVIOURS`.

use std::sync::Arc;

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, Bucket, BucketLocationConstraint,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput,
    CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteBucketInput, DeleteBucketOutput, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput,
    DeleteObjectsOutput, GetBucketEncryptionInput, GetBucketEncryptionOutput, GetBucketLocationInput,
    GetBucketLocationOutput, GetBucketVersioningInput, GetBucketVersioningOutput, GetObjectInput,
    GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListBucketsInput,
    ListBucketsOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsInput,
    ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput,
    PutObjectInput, PutObjectOutput, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Timestamp, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::access::Gate;
use super::call::Call;
use super::errors::refused;
use super::objects::Objects;

#[derive(Clone)]
pub(super) struct Operations {
    pub objects: Arc<Objects>,
    pub gate: Gate,
    /// Entries per page at most; the service may return fewer than it was asked for.
    pub page: usize,
}

/// The request's own record.
pub(super) fn call_of<T>(request: &S3Request<T>) -> S3Result<Arc<Call>> {
    request.extensions.get::<Arc<Call>>().cloned().ok_or_else(|| S3Error::new(S3ErrorCode::InternalError))
}

type Answer<T> = S3Result<S3Response<T>>;

#[async_trait::async_trait]
impl S3 for Operations {
    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        self.read(request).await
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        self.describe(&request)
    }

    async fn list_objects_v2(&self, request: S3Request<ListObjectsV2Input>) -> Answer<ListObjectsV2Output> {
        self.list_v2(request)
    }

    async fn list_objects(&self, request: S3Request<ListObjectsInput>) -> Answer<ListObjectsOutput> {
        self.list_v1(request)
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        self.write(request).await
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        self.copy(request).await
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        self.remove(request)
    }

    async fn delete_objects(&self, request: S3Request<DeleteObjectsInput>) -> Answer<DeleteObjectsOutput> {
        self.remove_many(request)
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        self.begin(request)
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        self.add_part(request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        self.complete(request).await
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        self.abort(&request)
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        self.parts(request)
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        self.uploads(request)
    }

    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> Answer<CreateBucketOutput> {
        if !self.objects.create_bucket(&request.input.bucket) {
            return Err(refused(S3ErrorCode::BucketAlreadyOwnedByYou));
        }
        let location = Some(format!("/{}", request.input.bucket));
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    async fn delete_bucket(&self, request: S3Request<DeleteBucketInput>) -> Answer<DeleteBucketOutput> {
        let bucket = &request.input.bucket;
        let keys = self.objects.list(bucket, "", crate::cloud::View::Now);
        if keys.ok_or_else(|| refused(S3ErrorCode::NoSuchBucket))?.is_empty() {
            self.objects.buckets().remove(bucket);
            return Ok(S3Response::new(DeleteBucketOutput {}));
        }
        Err(refused(S3ErrorCode::BucketNotEmpty))
    }

    async fn head_bucket(&self, _: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        // That the bucket exists was asked before the caller's permission was.
        let bucket_region = Some(self.gate.region.clone());
        Ok(S3Response::new(HeadBucketOutput { bucket_region, ..HeadBucketOutput::default() }))
    }

    async fn get_bucket_location(
        &self,
        _: S3Request<GetBucketLocationInput>,
    ) -> Answer<GetBucketLocationOutput> {
        let location_constraint = Some(BucketLocationConstraint::from(self.gate.region.clone()));
        Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
    }

    async fn get_bucket_versioning(
        &self,
        _: S3Request<GetBucketVersioningInput>,
    ) -> Answer<GetBucketVersioningOutput> {
        // Never switched on: the service says nothing then.
        Ok(S3Response::new(GetBucketVersioningOutput::default()))
    }

    async fn get_bucket_encryption(
        &self,
        _: S3Request<GetBucketEncryptionInput>,
    ) -> Answer<GetBucketEncryptionOutput> {
        let by_default = ServerSideEncryptionByDefault {
            sse_algorithm: ServerSideEncryption::from_static(ServerSideEncryption::AES256),
            kms_master_key_id: None,
        };
        let rule = ServerSideEncryptionRule {
            apply_server_side_encryption_by_default: Some(by_default),
            ..ServerSideEncryptionRule::default()
        };
        let configuration = ServerSideEncryptionConfiguration { rules: vec![rule] };
        let output = GetBucketEncryptionOutput { server_side_encryption_configuration: Some(configuration) };
        Ok(S3Response::new(output))
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> Answer<ListBucketsOutput> {
        let buckets = self.objects.buckets();
        let listed = buckets.iter().map(|(name, bucket)| Bucket {
            name: Some(name.clone()),
            creation_date: Some(Timestamp::from(bucket.created)),
            ..Bucket::default()
        });
        let buckets = Some(listed.collect());
        Ok(S3Response::new(ListBucketsOutput { buckets, ..ListBucketsOutput::default() }))
    }
}
