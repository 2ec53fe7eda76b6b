//! A bucket in memory: enough S3 for the stand-in's client, with its signatures checked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use stand_in::s3::credentials::Credentials;
use stand_in::s3::sign::{self, Unsigned};

#[derive(Clone, Debug, Default)]
pub struct Bucket(Arc<Mutex<BTreeMap<String, Bytes>>>);

pub const SECRET: &str = "the-secret";

impl Bucket {
    pub async fn serve() -> (Self, std::net::SocketAddr) {
        let bucket = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(handle).with_state(bucket.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (bucket, address)
    }

    pub fn keys(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.0.lock().unwrap().get(key).cloned()
    }

    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        self.0.lock().unwrap().insert(key.to_owned(), bytes.into());
    }

    pub fn remove(&self, key: &str) {
        self.0.lock().unwrap().remove(key).expect("there to be removed");
    }
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    (status, format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>")).into_response()
}

fn signed(headers: &HeaderMap, method: &str, path: &str, query: &str, payload: &[u8]) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Ok(at) = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text("x-amz-date")) else { return false };
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    let unsigned = Unsigned { method, host: text("host"), path, query, payload, region: "us-east-1", at };
    let keys =
        Credentials::Keys { id: "AKIDEXAMPLE".into(), secret: SECRET.into(), token: None, refresh: None };
    let expected = sign::headers(&unsigned, &keys);
    expected.iter().any(|(name, value)| *name == "authorization" && value == text("authorization"))
}

async fn handle(State(bucket): State<Bucket>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let payload = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or(""));
    if !signed(&parts.headers, parts.method.as_str(), path, query, &payload) {
        let message = "The request signature we calculated does not match the signature you provided. \
                       Check your key and signing method.";
        return error(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", message);
    }
    let parameters = stand_in::rest::query::parse(query);
    let key = stand_in::rest::query::percent_decoded(path.trim_start_matches('/'));
    let mut objects = bucket.0.lock().unwrap();
    match (parts.method.as_str(), parameters.get("uploadId")) {
        ("GET", _) if parameters.contains_key("list-type") => {
            let prefix = format!("{key}{}", parameters["prefix"]);
            let found: std::collections::BTreeSet<_> = objects
                .keys()
                .filter_map(|key| key.strip_prefix(&prefix)?.split_once('/').map(|(folder, _)| folder))
                .collect();
            let folders = found.iter().map(|folder| {
                format!("<CommonPrefixes><Prefix>{}{folder}/</Prefix></CommonPrefixes>", parameters["prefix"])
            });
            format!("<ListBucketResult>{}</ListBucketResult>", folders.collect::<Vec<_>>().concat())
                .into_response()
        }
        ("GET", _) => objects.get(&key).cloned().map_or_else(
            || error(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist."),
            IntoResponse::into_response,
        ),
        ("PUT", Some(upload)) => {
            let number: u32 = parameters["partNumber"].parse().unwrap();
            objects.insert(format!("!{upload}/{number:05}"), payload);
            ([("etag", format!("\"{number}\""))], "").into_response()
        }
        ("PUT", None) => {
            objects.insert(key, payload);
            ([("etag", "\"x\"")], "").into_response()
        }
        ("POST", None) => format!("<UploadId>{}</UploadId>", key.replace('/', "-")).into_response(),
        ("POST", Some(upload)) => {
            let prefix = format!("!{upload}/");
            let parts: Vec<_> = objects.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
            let whole: Vec<u8> =
                parts.iter().flat_map(|part| objects.remove(part).unwrap().to_vec()).collect();
            objects.insert(key, whole.into());
            "<CompleteMultipartUploadResult/>".into_response()
        }
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "no"),
    }
}
