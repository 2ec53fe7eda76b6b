//! Small objects: whole, in one call each.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::StalledStreamProtectionConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::error::StoreError;
use super::pace::Pace;
use super::settings::Settings;
use crate::aws::{self, CallError, HttpStatus, Kind};
use crate::host::Host;

/// The bucket of `[backup]`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) client: Client,
    settings: Arc<Settings>,
    /// Of the bytes of backups; small objects are not worth it.
    pace: Option<Arc<Pace>>,
}

/// An object that was read whole.
#[derive(Clone, Debug)]
pub struct Object {
    pub bytes: bytes::Bytes,
    pub etag: String,
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    pub size: u64,
    /// Without quotes; empty where the store lists none.
    pub etag: String,
    /// Seconds since 1970.
    pub modified: i64,
}

/// On what a write depends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Always,
    /// Only if the object is still the one with this ETag.
    IfMatch(String),
    /// Only if there is none.
    IfAbsent,
}

/// One call on a small object, the SDK's own three attempts included.
const CALL: Duration = Duration::from_secs(30);
/// The biggest object that is read into memory. A manifest of 40 000 objects has about 12 MB, and one that counts a
/// million tenants some 100 MB, as the volume's own record of them.
const LARGEST: u64 = 256 << 20;

/// ETags are compared without their quotes: a listing of some stores has none.
pub(super) fn bare(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

impl Store {
    /// A client for the configured bucket. `keys` for a store where the instance role means nothing.
    pub async fn connect(host: &Host, region: &str, keys: Option<SharedCredentialsProvider>) -> Self {
        Self::connect_to(host, region, &host.settings.backup, keys).await
    }

    /// The same for another bucket.
    pub async fn connect_to(
        host: &Host,
        region: &str,
        settings: &Settings,
        keys: Option<SharedCredentialsProvider>,
    ) -> Self {
        Self::new(&host.aws(region).await.s3(settings, keys), settings)
    }

    /// The same with another role's credentials.
    pub async fn connect_as(host: &Host, region: &str, role: &str, session: &str) -> Self {
        let settings = &host.settings.backup;
        let clients = host.aws(region).await;
        Self::new(&clients.s3(settings, Some(clients.role(role, session).await)), settings)
    }

    pub fn new(client: &Client, settings: &Settings) -> Self {
        // `fetch` watches every range itself and knows about its own back-pressure; the SDK's watch would take
        // a slow disk for a slow store (aws-smithy-runtime, stalled stream protection).
        let config = client
            .config()
            .to_builder()
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self { client: Client::from_conf(config), settings: Arc::new(settings.clone()), pace: None }
    }

    /// The same credentials for another bucket, in the same region.
    #[must_use]
    pub fn of_bucket(&self, bucket: &str) -> Self {
        let settings =
            Settings { bucket: bucket.to_owned(), prefix: String::new(), ..self.settings().clone() };
        Self { settings: Arc::new(settings), ..self.clone() }
    }

    /// The same, which moves at most so many bytes of backups a second; its clones share that.
    #[must_use]
    pub fn paced(&self, per_second: Option<u64>) -> Self {
        Self { pace: per_second.map(|rate| Arc::new(Pace::new(rate))), ..self.clone() }
    }

    /// Waits as long as so many bytes would be too early.
    pub(super) async fn pace(&self, bytes: u64) {
        if let Some(pace) = &self.pace {
            pace.take(bytes).await;
        }
    }

    pub fn bucket(&self) -> &str {
        &self.settings.bucket
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn within<T, E, R>(
        &self,
        operation: &'static str,
        key: &str,
        call: impl Future<Output = Result<T, SdkError<E, R>>>,
    ) -> Result<T, StoreError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + HttpStatus,
        SdkError<E, R>: std::error::Error,
    {
        self.within_time(operation, key, CALL, call).await
    }

    pub(super) async fn within_time<T, E, R>(
        &self,
        operation: &'static str,
        key: &str,
        patience: Duration,
        call: impl Future<Output = Result<T, SdkError<E, R>>>,
    ) -> Result<T, StoreError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + HttpStatus,
        SdkError<E, R>: std::error::Error,
    {
        match tokio::time::timeout(patience, call).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(self.failed(operation, key, &error)),
            Err(_) => Err(self.unanswered(operation, key, patience)),
        }
    }

    pub(super) fn failed<E, R>(
        &self,
        operation: &'static str,
        key: &str,
        error: &SdkError<E, R>,
    ) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + HttpStatus,
        SdkError<E, R>: std::error::Error,
    {
        let mut call = aws::failed(operation, error);
        if call.code.is_empty()
            && let Some(status) = error.raw_response().map(HttpStatus::status)
            && (400..500).contains(&status)
        {
            call.code = status.to_string();
            call.kind = match status {
                // A proxy before the store, without a word of the store's.
                408 => Kind::Unreachable,
                429 => Kind::Throttled,
                _ => Kind::Refused,
            };
        }
        if call.kind == Kind::Credentials && self.settings.credentials.is_some() {
            return StoreError::Keys { bucket: self.bucket().to_owned(), source: call };
        }
        StoreError::of(operation, self.bucket(), key, call)
    }

    fn unanswered(&self, operation: &'static str, key: &str, patience: Duration) -> StoreError {
        let source = CallError {
            operation,
            kind: Kind::Unreachable,
            code: String::new(),
            message: format!("nothing within {} s", patience.as_secs()),
        };
        StoreError::of(operation, self.bucket(), key, source)
    }

    /// Reads a small object whole.
    pub async fn get(&self, key: &str) -> Result<Object, StoreError> {
        self.get_at_most(key, LARGEST).await
    }

    pub(super) async fn get_at_most(&self, key: &str, most: u64) -> Result<Object, StoreError> {
        const OPERATION: &str = "s3:GetObject";
        let request = self.client.get_object().bucket(self.bucket()).key(key);
        let output = self.within(OPERATION, key, request.send()).await?;
        let size = output.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
        if size > most {
            let (bucket, key) = (self.bucket().to_owned(), key.to_owned());
            return Err(StoreError::TooLarge { bucket, key, mib: size >> 20, most: most >> 20 });
        }
        let etag = bare(output.e_tag());
        // A second more for each MiB: a slow store is not a silent one.
        let patience = CALL + Duration::from_secs(size >> 20);
        let body = tokio::time::timeout(patience, output.body.collect()).await;
        match body {
            Ok(Ok(body)) => Ok(Object { bytes: body.into_bytes(), etag }),
            Ok(Err(error)) => Err(StoreError::Interrupted {
                bucket: self.bucket().to_owned(),
                key: key.to_owned(),
                at: 0,
                why: error.to_string(),
            }),
            Err(_) => Err(self.unanswered(OPERATION, key, patience)),
        }
    }

    /// Writes an object and returns its ETag.
    pub async fn put(&self, key: &str, bytes: Vec<u8>, condition: &Condition) -> Result<String, StoreError> {
        let mut request = self
            .client
            .put_object()
            .bucket(self.bucket())
            .key(key)
            .content_type("application/json")
            .body(ByteStream::from(bytes));
        if let Some(kms_key) = &self.settings.kms_key {
            request = request.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(kms_key);
        }
        match condition {
            Condition::Always => {}
            Condition::IfMatch(etag) => request = request.if_match(format!("\"{etag}\"")),
            Condition::IfAbsent => request = request.if_none_match("*"),
        }
        let output = self.within("s3:PutObject", key, request.send()).await?;
        Ok(bare(output.e_tag()))
    }

    /// Removes an object. One that is not there is no error of S3's.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let request = self.client.delete_object().bucket(self.bucket()).key(key);
        self.within("s3:DeleteObject", key, request.send()).await.map(drop)
    }

    /// Every object whose key begins with `prefix`.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut found = Vec::new();
        self.pages(prefix, None, |page| {
            for object in page.contents() {
                found.push(Listed {
                    key: object.key().unwrap_or_default().to_owned(),
                    size: object.size().and_then(|s| u64::try_from(s).ok()).unwrap_or_default(),
                    etag: bare(object.e_tag()),
                    modified: object.last_modified().map_or(0, aws_smithy_types::DateTime::secs),
                });
            }
        })
        .await?;
        Ok(found)
    }

    /// The folders directly below `prefix`, which is empty or ends with a slash; without that slash.
    pub async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        self.pages(prefix, Some("/"), |page| {
            let names = page.common_prefixes().iter().filter_map(|p| p.prefix());
            found
                .extend(names.filter_map(|p| Some(p.strip_prefix(prefix)?.trim_end_matches('/').to_owned())));
        })
        .await?;
        Ok(found)
    }

    /// A page may hold fewer keys than asked for, or none: only `IsTruncated` says that it was the last.
    async fn pages(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        mut each: impl FnMut(&aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output),
    ) -> Result<(), StoreError> {
        let mut token = None;
        loop {
            let request = self
                .client
                .list_objects_v2()
                .bucket(self.bucket())
                .prefix(prefix)
                .set_delimiter(delimiter.map(str::to_owned))
                .set_continuation_token(token.take());
            let page = self.within("s3:ListBucket", prefix, request.send()).await?;
            each(&page);
            match (page.is_truncated(), page.next_continuation_token()) {
                (Some(true), Some(next)) => token = Some(next.to_owned()),
                // What is not listed looks like what is not there, and a backup could be passed over.
                (Some(true), None) => {
                    let (bucket, prefix) = (self.bucket().to_owned(), prefix.to_owned());
                    return Err(StoreError::HalfListed { bucket, prefix });
                }
                (Some(false) | None, _) => return Ok(()),
            }
        }
    }
}
