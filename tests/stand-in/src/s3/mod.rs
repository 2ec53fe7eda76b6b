//! A small S3 client: GET, PUT, multipart upload and listing, signed with SigV4, path style, plain HTTP.
//!
//! ```text
//! request ─► credentials (renewed when due) ─► sign ─► send ─► 5xx or no connection: again, bounded
//! ```
//!
//! A body that breaks off is an error: the real server does not repeat it either.

pub mod credentials;
pub mod sign;
pub mod transfer;

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, Response, StatusCode};
use tokio::sync::RwLock;

use crate::settings::{S3Settings, Settings};
use credentials::Credentials;
use sign::{Unsigned, encoded};

#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    #[error("The specified key does not exist.")]
    NoSuchKey,
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Transport(#[from] reqwest::Error),
}

const ATTEMPTS: u32 = 5;

/// What the server's own S3 client calls itself (minio-go 7, api.go, `libraryUserAgent`).
const USER_AGENT: &str = "MinIO (linux; amd64) minio-go/v7.2.1";

#[derive(Debug)]
pub struct S3Client {
    http: reqwest::Client,
    settings: S3Settings,
    environment: crate::settings::Environment,
    credentials: RwLock<Credentials>,
}

impl S3Client {
    pub async fn connect(settings: &Settings, s3: &S3Settings) -> Self {
        let http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_mins(1))
            .build()
            .unwrap_or_default();
        let credentials = RwLock::new(Credentials::first(&http, &settings.environment).await);
        Self { http, settings: s3.clone(), environment: settings.environment.clone(), credentials }
    }

    async fn credentials(&self) -> Credentials {
        let current = self.credentials.read().await.clone();
        if !current.is_due(jiff::Timestamp::now()) {
            return current;
        }
        let mut slot = self.credentials.write().await;
        if let Ok(fresh) = Credentials::resolve(&self.http, &self.environment).await {
            *slot = fresh;
        }
        slot.clone()
    }

    /// One request, answered with a success or an error; `query` sorted by name.
    async fn send(
        &self,
        method: Method,
        bucket: &str,
        key: &str,
        query: &[(&str, &str)],
        payload: Bytes,
    ) -> Result<Response, S3Error> {
        let path = format!("/{}/{}", encoded(bucket, false), encoded(key, true));
        let pairs: Vec<_> = query
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name, false), encoded(value, false)))
            .collect();
        let query = pairs.join("&");
        let scheme = if self.settings.use_ssl { "https" } else { "http" };
        let url = format!("{scheme}://{}{path}?{query}", self.settings.endpoint);
        let url = url.trim_end_matches('?');
        let mut attempt = 0;
        loop {
            attempt += 1;
            let unsigned = Unsigned {
                method: method.as_str(),
                host: &self.settings.endpoint,
                path: &path,
                query: &query,
                payload: &payload,
                region: &self.settings.region,
                at: jiff::Timestamp::now(),
            };
            let mut request = self.http.request(method.clone(), url).body(payload.clone());
            for (name, value) in sign::headers(&unsigned, &self.credentials().await) {
                request = request.header(name, value);
            }
            let outcome = request.send().await;
            let again =
                outcome.as_ref().map_or_else(|_| true, |response| response.status().is_server_error());
            if again && attempt < ATTEMPTS {
                tokio::time::sleep(pause(attempt)).await;
                continue;
            }
            return judged(outcome?).await;
        }
    }

    pub async fn get(&self, bucket: &str, key: &str) -> Result<Vec<u8>, S3Error> {
        let response = self.send(Method::GET, bucket, key, &[], Bytes::new()).await?;
        Ok(response.bytes().await?.to_vec())
    }

    pub async fn put(&self, bucket: &str, key: &str, bytes: Bytes) -> Result<(), S3Error> {
        self.send(Method::PUT, bucket, key, &[], bytes).await.map(drop)
    }

    /// The names directly under `prefix` that end in a slash.
    pub async fn folders(&self, bucket: &str, prefix: &str) -> Result<Vec<String>, S3Error> {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut query = Vec::new();
            if let Some(token) = &token {
                query.push(("continuation-token", token.as_str()));
            }
            query.extend([("delimiter", "/"), ("list-type", "2"), ("prefix", prefix.as_str())]);
            let page = self.send(Method::GET, bucket, "", &query, Bytes::new()).await?.text().await?;
            for common in between(&page, "CommonPrefixes") {
                let name = between(common, "Prefix").next().unwrap_or_default();
                let name = name.strip_prefix(prefix.as_str()).unwrap_or(name);
                found.push(name.trim_end_matches('/').to_owned());
            }
            token = between(&page, "NextContinuationToken").next().map(str::to_owned);
            if token.is_none() {
                return Ok(found);
            }
        }
    }
}

fn pause(attempt: u32) -> Duration {
    use rand::RngExt;
    Duration::from_millis(100 * u64::from(2_u32.pow(attempt))).mul_f64(rand::rng().random_range(0.5..1.0))
}

async fn judged(response: Response) -> Result<Response, S3Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.text().await.unwrap_or_default();
    let code = between(&body, "Code").next().unwrap_or_default();
    if code == "NoSuchKey" || (status == StatusCode::NOT_FOUND && code.is_empty()) {
        return Err(S3Error::NoSuchKey);
    }
    let message = between(&body, "Message").next().map_or_else(|| status.to_string(), str::to_owned);
    Err(S3Error::Refused(message))
}

/// The contents of every `<tag>...</tag>` of an answer of S3, which never nests a tag in itself.
fn between<'a>(text: &'a str, tag: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(&open)? + open.len();
        let end = start + rest[start..].find(&close)?;
        let found = &rest[start..end];
        rest = &rest[end + close.len()..];
        Some(found)
    })
}
