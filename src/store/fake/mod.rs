//! An S3 on loopback for tests: objects in memory, and trouble by script.
//!
//! ```text
//! call ─▶ written down ─▶ its trouble, if the script has one ─▶ objects │ uploads
//! ```

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

mod objects;
mod uploads;

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
        Method::PUT if parameter(&query, "uploadId").is_some() => {
            uploads::part(&fake, &query, &head.headers, &body)
        }
        Method::POST if parameter(&query, "uploads").is_some() => uploads::begin(&fake, &key),
        Method::POST => uploads::complete(&fake, &key, &query),
        Method::DELETE if parameter(&query, "uploadId").is_some() => uploads::abort(&fake, &query),
        Method::DELETE => {
            fake.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        Method::HEAD => objects::look(&fake, &key),
        Method::PUT => objects::write(&fake, &key, &head.headers, body.to_vec()),
        Method::GET if key.is_empty() => objects::list(&fake, &query),
        Method::GET => objects::read(&fake, &key, &range, trouble.as_ref()),
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
