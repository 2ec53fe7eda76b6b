//! Who calls, and whether a policy lets them.
//!
//! ```text
//!  access key ──CredentialLookup──▶ Caller ──Authorise(action, ARN, context)──▶ allowed?
//! ```
//!
//! The signature itself is checked by `s3s`; here are the secret it is checked with, the session token,
//! and the decision. [`Gate::admit`] decides what a request needs before it runs; what depends on the
//! object (its encryption key, its absence) is asked for by the operation.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::call::Call;
use super::errors::refused;
use super::objects::Objects;
use crate::judge::Rule;
use crate::ledger::{Event, Ledger};

/// What belongs to an access key.
#[derive(Clone, Debug, Default)]
pub struct Credential {
    pub secret: String,
    /// Temporary credentials: the request must carry exactly this token.
    pub session_token: Option<String>,
    /// The instance whose metadata service handed them out.
    pub instance: Option<String>,
    /// From this moment on they are refused.
    pub expires: Option<Timestamp>,
}

/// The world's credential store.
pub trait CredentialLookup: Send + Sync {
    fn lookup(&self, access_key: &str) -> Option<Credential>;
}

/// The signer of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    pub access_key: String,
    pub instance: Option<String>,
}

/// The world's policy evaluator.
pub trait Authorise: Send + Sync {
    /// `action` as in `s3:GetObject`, `resource` an ARN, `context` the condition keys of the request.
    fn allowed(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
        context: &BTreeMap<String, String>,
    ) -> bool;
}

/// Everybody may do everything: for the doubles' own tests and for stores other than Amazon's.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Authorise for AllowAll {
    fn allowed(&self, _: &Caller, _: &str, _: &str, _: &BTreeMap<String, String>) -> bool {
        true
    }
}

/// One long-lived key pair.
#[derive(Clone, Debug)]
pub struct OneKey {
    pub access_key: String,
    pub credential: Credential,
}

impl OneKey {
    pub fn new(access_key: &str, secret: &str) -> Self {
        let credential = Credential { secret: secret.to_owned(), ..Credential::default() };
        Self { access_key: access_key.to_owned(), credential }
    }
}

impl CredentialLookup for OneKey {
    fn lookup(&self, access_key: &str) -> Option<Credential> {
        (access_key == self.access_key).then(|| self.credential.clone())
    }
}

/// Both questions in one place.
#[derive(Clone)]
pub(super) struct Gate {
    pub credentials: Arc<dyn CredentialLookup>,
    pub authorise: Arc<dyn Authorise>,
    pub objects: Arc<Objects>,
    pub ledger: Arc<Ledger>,
    /// The only one that requests may be signed for, but for the buckets that are elsewhere.
    pub region: String,
    pub regions: BTreeMap<String, String>,
    /// Whether the server calls, by a client of its own.
    pub server_calls: bool,
}

/// What the server's own client calls, and what it calls unsigned once nobody vends it credentials: `s3.server-unsigned`.
const OF_THE_SERVER: [&str; 3] = ["GetObject", "ListObjectsV2", "PutObject"];

pub(super) const REGION: &str = "eu-central-1";
pub(super) const ACCOUNT: &str = "123456789012";

/// The ARN of a bucket, or of a key in it.
pub(super) fn arn(bucket: &str, key: Option<&str>) -> String {
    key.map_or_else(|| format!("arn:aws:s3:::{bucket}"), |key| format!("arn:aws:s3:::{bucket}/{key}"))
}

impl Gate {
    /// May the caller of `call` do this?
    pub fn allows(
        &self,
        call: &Call,
        action: &str,
        resource: &str,
        extra: &BTreeMap<String, String>,
    ) -> bool {
        let Some(caller) = call.caller() else { return false };
        let mut context = extra.clone();
        context.insert("aws:SecureTransport".into(), "false".into());
        context.insert("aws:RequestedRegion".into(), call.region.as_ref().unwrap_or(&self.region).clone());
        self.authorise.allowed(&caller, action, resource, &context)
    }

    /// As [`Gate::allows`], as the service words its refusal.
    pub fn require(
        &self,
        call: &Call,
        action: &str,
        resource: &str,
        extra: &BTreeMap<String, String>,
    ) -> S3Result<()> {
        if self.allows(call, action, resource, extra) {
            return Ok(());
        }
        call.fact("Denied", format!("{action} on {resource}"));
        Err(refused(S3ErrorCode::AccessDenied))
    }

    /// A key that is not there is only named as such to a caller who may list it.
    pub fn missing(&self, call: &Call, bucket: &str, key: &str) -> S3Error {
        let context = BTreeMap::from([("s3:prefix".to_owned(), key.to_owned())]);
        if self.allows(call, "s3:ListBucket", &arn(bucket, None), &context) {
            return refused(S3ErrorCode::NoSuchKey);
        }
        call.fact("Denied", format!("s3:ListBucket on {} hides a missing key", arn(bucket, None)));
        refused(S3ErrorCode::AccessDenied)
    }

    /// The key's own policy has a say where an object is encrypted with it.
    pub fn require_kms(&self, call: &Call, action: &str, key_id: &str) -> S3Result<()> {
        let resource = if key_id.starts_with("arn:") {
            key_id.to_owned()
        } else {
            format!("arn:aws:kms:{}:{ACCOUNT}:key/{key_id}", self.region)
        };
        let context =
            BTreeMap::from([("kms:ViaService".to_owned(), format!("s3.{}.amazonaws.com", self.region))]);
        self.require(call, action, &resource, &context)
    }

    /// The header belongs to what begins an object: a part is encrypted as its upload is.
    fn encrypted_as_demanded(
        &self,
        call: &Call,
        operation: &str,
        context: &BTreeMap<String, String>,
    ) -> S3Result<()> {
        let begins = matches!(operation, "PutObject" | "CopyObject" | "CreateMultipartUpload");
        let by = context.get("s3:x-amz-server-side-encryption").map(String::as_str);
        if !begins || !self.objects.demands_kms() || by == Some("aws:kms") {
            return Ok(());
        }
        call.fact("Denied", format!("the bucket's policy wants aws:kms, not {by:?}"));
        Err(refused(S3ErrorCode::AccessDenied))
    }

    fn forbid(&self, rule: Rule, details: String) {
        self.ledger.record(Event::Forbidden { rule, details });
    }

    fn admit(&self, call: &Call, cx: &S3AccessContext<'_>) -> S3Result<()> {
        let Some(credentials) = cx.credentials() else {
            let agent = cx.headers().get("user-agent").and_then(|v| v.to_str().ok()).unwrap_or_default();
            let excused =
                self.server_calls && agent.contains("minio-go") && OF_THE_SERVER.contains(&call.operation);
            if !excused {
                self.forbid(Rule::Unsigned, format!("s3:{} without a signature", call.operation));
            }
            return Err(refused(S3ErrorCode::AccessDenied));
        };
        let known = self
            .credentials
            .lookup(&credentials.access_key)
            .ok_or_else(|| refused(S3ErrorCode::InvalidAccessKeyId))?;
        call.called_by(Caller { access_key: credentials.access_key.clone(), instance: known.instance });
        if known.expires.is_some_and(|at| at <= Timestamp::now()) {
            return Err(refused(S3ErrorCode::ExpiredToken));
        }
        let header = cx.headers().get("x-amz-security-token").and_then(|v| v.to_str().ok());
        if header.or(call.query("X-Amz-Security-Token")) != known.session_token.as_deref() {
            return Err(refused(S3ErrorCode::InvalidToken));
        }
        let expected = cx.s3_path().get_bucket_name().and_then(|bucket| self.regions.get(bucket));
        let expected = expected.unwrap_or(&self.region);
        if let Some(region) = call.region.as_deref().filter(|region| *region != expected) {
            self.forbid(Rule::Region, format!("s3:{} was signed for {region}", call.operation));
            let text = format!(
                "The authorization header is malformed; the region '{region}' is wrong; expecting '{expected}'"
            );
            return Err(S3Error::with_message(S3ErrorCode::AuthorizationHeaderMalformed, text));
        }
        let owner = cx.headers().get("x-amz-expected-bucket-owner").and_then(|v| v.to_str().ok());
        if owner.is_some_and(|owner| owner != ACCOUNT) {
            return Err(refused(S3ErrorCode::AccessDenied));
        }
        let Some(bucket) = cx.s3_path().get_bucket_name() else {
            return self.require(call, "s3:ListAllMyBuckets", "*", &BTreeMap::new());
        };
        if cx.s3_op().name() != "CreateBucket" && !self.objects.has_bucket(bucket) {
            return Err(refused(S3ErrorCode::NoSuchBucket));
        }
        if self.objects.is_closed(bucket) {
            return Err(refused(S3ErrorCode::AccessDenied));
        }
        let resource = arn(bucket, cx.s3_path().get_object_key());
        let context = context_of(call, cx);
        for action in actions(cx.s3_op().name(), &context) {
            self.require(call, &action, &resource, &context)?;
        }
        self.encrypted_as_demanded(call, cx.s3_op().name(), &context)
    }
}

/// What each operation needs on its own resource; a copy's source and each deleted key are asked for apart.
fn actions(operation: &str, context: &BTreeMap<String, String>) -> Vec<Cow<'static, str>> {
    let known: &[&str] = match operation {
        "GetObject" | "HeadObject" => &["s3:GetObject"],
        // Conditional writes on an ETag reveal the object: both permissions.
        "PutObject" | "CompleteMultipartUpload" if context.contains_key("s3:if-match") => {
            &["s3:PutObject", "s3:GetObject"]
        }
        "PutObject" | "CopyObject" | "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload" => {
            &["s3:PutObject"]
        }
        "AbortMultipartUpload" => &["s3:AbortMultipartUpload"],
        "ListParts" => &["s3:ListMultipartUploadParts"],
        "ListMultipartUploads" => &["s3:ListBucketMultipartUploads"],
        "DeleteObject" => &["s3:DeleteObject"],
        "ListObjects" | "ListObjectsV2" | "HeadBucket" => &["s3:ListBucket"],
        "GetBucketLocation" => &["s3:GetBucketLocation"],
        "GetBucketVersioning" => &["s3:GetBucketVersioning"],
        "GetBucketEncryption" => &["s3:GetEncryptionConfiguration"],
        "CreateBucket" => &["s3:CreateBucket"],
        "DeleteBucket" => &["s3:DeleteBucket"],
        // It asks for each key.
        "DeleteObjects" => &[],
        // The double does not do it; whether the caller may ask for it is the policy's matter all the same.
        other => return vec![Cow::Owned(format!("s3:{other}"))],
    };
    known.iter().copied().map(Cow::Borrowed).collect()
}

/// The condition keys that policies for a bucket are written with.
fn context_of(call: &Call, cx: &S3AccessContext<'_>) -> BTreeMap<String, String> {
    let mut context = BTreeMap::new();
    for (name, query) in [("s3:prefix", "prefix"), ("s3:delimiter", "delimiter"), ("s3:max-keys", "max-keys")]
    {
        if let Some(value) = call.query(query) {
            context.insert(name.to_owned(), value.to_owned());
        }
    }
    for (name, header) in [
        ("s3:x-amz-server-side-encryption", "x-amz-server-side-encryption"),
        ("s3:x-amz-server-side-encryption-aws-kms-key-id", "x-amz-server-side-encryption-aws-kms-key-id"),
        ("s3:if-match", "if-match"),
        ("s3:if-none-match", "if-none-match"),
    ] {
        if let Some(value) = cx.headers().get(header).and_then(|v| v.to_str().ok()) {
            context.insert(name.to_owned(), value.to_owned());
        }
    }
    context
}

#[async_trait::async_trait]
impl S3Auth for Gate {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let known = self.credentials.lookup(access_key);
        known.map(|c| c.secret.into()).ok_or_else(|| refused(S3ErrorCode::InvalidAccessKeyId))
    }
}

#[async_trait::async_trait]
impl S3Access for Gate {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let call = cx.extensions_mut().get::<Arc<Call>>().cloned();
        let call = call.ok_or_else(|| S3Error::new(S3ErrorCode::InternalError))?;
        self.admit(&call, cx)
    }
}
