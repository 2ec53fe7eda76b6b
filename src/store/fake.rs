//! An S3 on loopback for tests: objects in memory, and trouble by script.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_credential_types::Credentials;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use sha2::Digest as _;

use super::{Settings, Store};

/// What happens to one call, instead of its answer.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// An error without touching anything.
    Refuse(u16, &'static str),
    /// It is done, and the answer says otherwise.
    Lie(u16, &'static str),
    /// The body ends after so many bytes, and the connection with it.
    Cut(usize),
    /// After so many bytes nothing comes any more.
    Stall(usize),
    /// Before it is done, this object is there.
    Meanwhile(String, Vec<u8>),
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<String, Vec<u8>>,
    /// Method, part of the key, what happens: the first that matches is used up.
    script: VecDeque<(Method, String, Trouble)>,
    calls: Vec<String>,
    page: Option<usize>,
    /// Says that a page is not the last, and not where the next begins.
    loses_tokens: bool,
    /// Writes whatever the conditions say.
    unconditional: bool,
    /// Uploads that have not ended, with their parts.
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    /// Of objects that came in parts: the checksum over those of the parts.
    composites: BTreeMap<String, String>,
    /// Says another checksum than that of what it holds.
    mangles: bool,
    /// Reads wait until so many are there.
    group: Option<Arc<tokio::sync::Barrier>>,
    /// Reads that have no answer yet, and the most that there ever were.
    reading: usize,
    most: usize,
}

#[derive(Clone, Debug)]
pub struct FakeS3 {
    inner: Arc<Mutex<Inner>>,
    address: std::net::SocketAddr,
}

pub fn etag(bytes: &[u8]) -> String {
    crate::hex::hex(&sha2::Sha256::digest(bytes))[..32].to_owned()
}

pub fn sha256(bytes: &[u8]) -> String {
    crate::hex::hex(&sha2::Sha256::digest(bytes))
}

impl FakeS3 {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("an address");
        let fake = Self { inner: Arc::default(), address };
        let app = axum::Router::new().fallback(answer).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        fake
    }

    pub fn settings(&self, prefix: &str) -> Settings {
        Settings {
            bucket: "backups".to_owned(),
            prefix: prefix.to_owned(),
            endpoint: Some(self.address.to_string()),
            region: Some("eu-central-1".to_owned()),
            path_style: true,
            use_ssl: false,
            kms_key: None,
            role_arn: None,
            credentials: None,
            unfenced: false,
        }
    }

    pub fn store(&self, prefix: &str) -> Store {
        self.store_by(&self.settings(prefix))
    }

    /// With `backup.unfenced`.
    pub fn unfenced(&self, prefix: &str) -> Store {
        self.store_by(&Settings { unfenced: true, ..self.settings(prefix) })
    }

    fn store_by(&self, settings: &Settings) -> Store {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .region(aws_sdk_s3::config::Region::new("eu-central-1"))
            .endpoint_url(format!("http://{}", self.address))
            .force_path_style(true)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
            .build();
        Store::new(&aws_sdk_s3::Client::from_conf(config), settings)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panicked")
    }

    pub fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        self.inner().objects.insert(key.to_owned(), bytes.into());
    }

    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.inner().objects.get(key).cloned()
    }

    pub fn remove(&self, key: &str) {
        self.inner().objects.remove(key);
    }

    /// The next call with `method` on a key that contains `key` meets `trouble`.
    pub fn trouble(&self, method: Method, key: &str, trouble: Trouble) {
        self.inner().script.push_back((method, key.to_owned(), trouble));
    }

    pub fn pages_of(&self, keys: usize) {
        self.inner().page = Some(keys);
    }

    pub fn loses_tokens(&self) {
        self.inner().loses_tokens = true;
    }

    pub fn forgets_conditions(&self) {
        self.inner().unconditional = true;
    }

    pub fn mangles(&self) {
        self.inner().mangles = true;
    }

    /// Uploads that nobody has ended.
    pub fn uploads(&self) -> usize {
        self.inner().uploads.len()
    }

    pub fn answers_in_groups_of(&self, reads: usize) {
        self.inner().group = Some(Arc::new(tokio::sync::Barrier::new(reads)));
    }

    pub fn most_at_a_time(&self) -> usize {
        self.inner().most
    }

    /// `GET prefix/x bytes=0-9`.
    pub fn calls(&self) -> Vec<String> {
        self.inner().calls.clone()
    }

    pub fn forget_calls(&self) {
        self.inner().calls.clear();
    }
}

fn refused(status: u16, code: &str) -> Response {
    let body = format!("<Error><Code>{code}</Code><Message>{code}, by script</Message></Error>");
    (StatusCode::from_u16(status).expect("a status"), body).into_response()
}

async fn answer(State(fake): State<FakeS3>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let key = head.uri.path().trim_start_matches("/backups").trim_start_matches('/').to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let range = head.headers.get(header::RANGE).and_then(|r| r.to_str().ok()).unwrap_or_default().to_owned();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let trouble = {
        let mut inner = fake.inner();
        let what =
            match (key.is_empty(), parameter(&query, "uploadId").or_else(|| parameter(&query, "uploads"))) {
                (true, _) => query.clone(),
                (false, None) => key.clone(),
                (false, Some(_)) => format!("{key}?{query}"),
            };
        inner.calls.push(format!("{} {what} {range}", head.method).trim_end().to_owned());
        let at = inner.script.iter().position(|(m, k, _)| *m == head.method && what.contains(k.as_str()));
        at.and_then(|at| inner.script.remove(at)).map(|(_, _, trouble)| trouble)
    };
    match &trouble {
        Some(Trouble::Refuse(status, code)) => return refused(*status, code),
        Some(Trouble::Meanwhile(key, bytes)) => fake.put(key, bytes.clone()),
        Some(Trouble::Lie(..) | Trouble::Cut(_) | Trouble::Stall(_)) | None => {}
    }
    let group = {
        let mut inner = fake.inner();
        inner.reading += usize::from(head.method == Method::GET);
        inner.most = inner.most.max(inner.reading);
        inner.group.clone().filter(|_| head.method == Method::GET)
    };
    if let Some(group) = group {
        group.wait().await;
    }
    fake.inner().reading -= usize::from(head.method == Method::GET);
    let response = match head.method {
        Method::PUT if parameter(&query, "uploadId").is_some() => part(&fake, &query, &head.headers, &body),
        Method::POST if parameter(&query, "uploads").is_some() => begin(&fake, &key),
        Method::POST => complete(&fake, &key, &query),
        Method::DELETE if parameter(&query, "uploadId").is_some() => abort(&fake, &query),
        Method::DELETE => {
            fake.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        Method::HEAD => look(&fake, &key),
        Method::PUT => write(&fake, &key, &head.headers, body.to_vec()),
        Method::GET if key.is_empty() => list(&fake, &query),
        Method::GET => read(&fake, &key, &range, trouble.as_ref()),
        _ => refused(405, "MethodNotAllowed"),
    };
    match trouble {
        Some(Trouble::Lie(status, code)) => refused(status, code),
        _ => response,
    }
}

/// `x-amz-checksum-sha256`.
const CHECKSUM: &str = "x-amz-checksum-sha256";

fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (known, value) = pair.split_once('=').unwrap_or((pair, ""));
        (known == name).then(|| value.to_owned())
    })
}

fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

/// What was promised of the body is what came, as S3 compares it; the checksum of the answer.
fn promised(fake: &FakeS3, headers: &HeaderMap, body: &[u8]) -> Result<String, Response> {
    let found = base64(&sha2::Sha256::digest(body));
    match headers.get(CHECKSUM).and_then(|value| value.to_str().ok()) {
        Some(wanted) if wanted != found => Err(refused(400, "BadDigest")),
        _ if fake.inner().mangles => Ok(base64(&[0; 32])),
        _ => Ok(found),
    }
}

fn begin(fake: &FakeS3, key: &str) -> Response {
    let mut inner = fake.inner();
    let id = format!("upload-{}", inner.uploads.len() + inner.calls.len());
    inner.uploads.insert(id.clone(), BTreeMap::new());
    format!(
        "<InitiateMultipartUploadResult><Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
    )
    .into_response()
}

fn part(fake: &FakeS3, query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
    let checksum = match promised(fake, headers, body) {
        Ok(checksum) => checksum,
        Err(refusal) => return refusal,
    };
    let number = parameter(query, "partNumber").and_then(|n| n.parse().ok()).expect("a part's number");
    let id = parameter(query, "uploadId").unwrap_or_default();
    let mut inner = fake.inner();
    let Some(parts) = inner.uploads.get_mut(&id) else { return refused(404, "NoSuchUpload") };
    parts.insert(number, body.to_vec());
    ([(header::ETAG.as_str(), format!("\"{}\"", etag(body))), (CHECKSUM, checksum)], "").into_response()
}

fn complete(fake: &FakeS3, key: &str, query: &str) -> Response {
    let id = parameter(query, "uploadId").unwrap_or_default();
    let mut inner = fake.inner();
    let Some(parts) = inner.uploads.remove(&id) else { return refused(404, "NoSuchUpload") };
    let mut of_parts = sha2::Sha256::new();
    for part in parts.values() {
        of_parts.update(sha2::Sha256::digest(part));
    }
    let composite = format!("{}-{}", base64(&of_parts.finalize()), parts.len());
    let whole: Vec<u8> = parts.into_values().flatten().collect();
    let tag = etag(&whole);
    inner.objects.insert(key.to_owned(), whole);
    inner.composites.insert(key.to_owned(), composite.clone());
    format!(
        "<CompleteMultipartUploadResult><Key>{key}</Key><ETag>&quot;{tag}&quot;</ETag>\
         <ChecksumSHA256>{composite}</ChecksumSHA256></CompleteMultipartUploadResult>"
    )
    .into_response()
}

fn abort(fake: &FakeS3, query: &str) -> Response {
    fake.inner().uploads.remove(&parameter(query, "uploadId").unwrap_or_default());
    StatusCode::NO_CONTENT.into_response()
}

fn look(fake: &FakeS3, key: &str) -> Response {
    let Some(object) = fake.get(key) else { return StatusCode::NOT_FOUND.into_response() };
    let known = fake.inner().composites.get(key).cloned();
    let checksum = known.unwrap_or_else(|| base64(&sha2::Sha256::digest(&object)));
    let tag = format!("\"{}\"", etag(&object));
    let length = object.len().to_string();
    let headers =
        [(header::ETAG.as_str(), tag), (CHECKSUM, checksum), (header::CONTENT_LENGTH.as_str(), length)];
    (headers, "").into_response()
}

fn write(fake: &FakeS3, key: &str, headers: &HeaderMap, body: Vec<u8>) -> Response {
    let checksum = match promised(fake, headers, &body) {
        Ok(checksum) => checksum,
        Err(refusal) => return refusal,
    };
    let mut inner = fake.inner();
    let known = inner.objects.get(key).map(|o| etag(o));
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).map(|v| v.trim_matches('"').to_owned());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH), known) {
        _ if inner.unconditional => {}
        (Some(_), _, None) => return refused(404, "NoSuchKey"),
        (Some(wanted), _, Some(known)) if wanted != known => return refused(412, "PreconditionFailed"),
        (None, Some(_), Some(_)) => return refused(412, "PreconditionFailed"),
        _ => {}
    }
    let tag = format!("\"{}\"", etag(&body));
    inner.objects.insert(key.to_owned(), body);
    ([(header::ETAG.as_str(), tag), (CHECKSUM, checksum)], "").into_response()
}

fn read(fake: &FakeS3, key: &str, range: &str, trouble: Option<&Trouble>) -> Response {
    let Some(object) = fake.get(key) else { return refused(404, "NoSuchKey") };
    let tag = format!("\"{}\"", etag(&object));
    let (status, part, content_range) = match range.strip_prefix("bytes=").and_then(|r| r.split_once('-')) {
        None => (StatusCode::OK, object.clone(), None),
        Some((start, end)) => {
            let start: usize = start.parse().expect("a number");
            let end: usize = end.parse::<usize>().expect("a number").min(object.len().saturating_sub(1));
            if start >= object.len() {
                return refused(416, "InvalidRange");
            }
            let range = format!("bytes {start}-{end}/{}", object.len());
            (StatusCode::PARTIAL_CONTENT, object[start..=end].to_vec(), Some(range))
        }
    };
    let length = part.len();
    let body = match trouble {
        Some(Trouble::Cut(after)) => {
            let first = bytes::Bytes::copy_from_slice(&part[..*after]);
            let end = Err(std::io::Error::other("cut"));
            Body::from_stream(futures_util::stream::iter([Ok(first), end]))
        }
        Some(Trouble::Stall(after)) => {
            let first = bytes::Bytes::copy_from_slice(&part[..*after]);
            let never = futures_util::stream::once(async {
                tokio::time::sleep(Duration::from_hours(1)).await;
                Ok::<_, std::io::Error>(bytes::Bytes::new())
            });
            Body::from_stream(futures_util::stream::iter([Ok(first)]).chain(never))
        }
        _ => Body::from(part),
    };
    let mut response =
        Response::builder().status(status).header(header::ETAG, tag).header(header::CONTENT_LENGTH, length);
    if let Some(range) = content_range {
        response = response.header(header::CONTENT_RANGE, range);
    }
    response.body(body).expect("a response")
}

fn list(fake: &FakeS3, query: &str) -> Response {
    let decode = |text: &str| text.replace("%2F", "/").replace("%3D", "=").replace('+', " ");
    let value =
        |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).map(decode);
    let prefix = value("prefix").unwrap_or_default();
    let after = value("continuation-token").unwrap_or_default();
    let delimiter = value("delimiter");
    let inner = fake.inner();
    let page = inner.page.unwrap_or(1000);
    let mut body = String::new();
    let (mut folders, mut count, mut last) = (std::collections::BTreeSet::new(), 0, None);
    for (key, object) in inner.objects.iter().filter(|(k, _)| k.starts_with(&prefix) && **k > after) {
        if count == page {
            last = None;
            let (known, _) = inner.objects.range(..key.clone()).next_back().expect("one before");
            last.replace(known.clone());
            break;
        }
        count += 1;
        if let Some((folder, _)) = delimiter.as_ref().and_then(|_| key[prefix.len()..].split_once('/')) {
            folders.insert(format!("{prefix}{folder}/"));
            continue;
        }
        let (size, tag, second) = (object.len(), etag(object), count % 60);
        write!(
            body,
            "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>&quot;{tag}&quot;</ETag>\
             <LastModified>2026-11-21T00:00:{second:02}Z</LastModified></Contents>"
        )
        .expect("a text");
    }
    for folder in folders {
        write!(body, "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>").expect("a text");
    }
    let next = last.map_or_else(
        || "<IsTruncated>false</IsTruncated>".to_owned(),
        |token| {
            if inner.loses_tokens {
                return "<IsTruncated>true</IsTruncated>".to_owned();
            }
            format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
        },
    );
    format!("<ListBucketResult>{next}{body}</ListBucketResult>").into_response()
}
