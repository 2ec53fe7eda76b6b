//! The HTTP side of the registry: a request is recorded, troubled, answered.

use std::collections::BTreeMap;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::Registry;
use super::image::{Blob, Image, MANIFEST_TYPE};
use crate::cloud::View;
use crate::ledger::Event;
use crate::s3::shaped::{Shape, Shaped};
use crate::s3::trouble::{End, Trouble};
use crate::s3::{Answer, Reset};

/// The service for one or many connections. Cheap to clone.
#[derive(Clone)]
pub struct Front {
    pub(super) registry: Registry,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Path {
    Ping,
    Manifest { repository: String, reference: String },
    Blob { repository: String, digest: String },
    Tags { repository: String },
    Unknown,
}

/// An answer before it is troubled: status, type, digest and body, or a refusal.
struct Found {
    content_type: &'static str,
    digest: Option<String>,
    bytes: Bytes,
}

struct Refusal {
    status: StatusCode,
    code: &'static str,
    text: &'static str,
}

const fn refusal(status: StatusCode, code: &'static str, text: &'static str) -> Refusal {
    Refusal { status, code, text }
}

impl Path {
    fn of(path: &str) -> Self {
        let Some(rest) = path.strip_prefix("/v2").map(|rest| rest.trim_matches('/')) else {
            return Self::Unknown;
        };
        if rest.is_empty() {
            return Self::Ping;
        }
        // Names of repositories may contain slashes, the rest may not.
        let mut parts = rest.rsplitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(reference), Some("manifests"), Some(repository)) => {
                Self::Manifest { repository: repository.to_owned(), reference: reference.to_owned() }
            }
            (Some(digest), Some("blobs"), Some(repository)) => {
                Self::Blob { repository: repository.to_owned(), digest: digest.to_owned() }
            }
            (Some("list"), Some("tags"), Some(repository)) => {
                Self::Tags { repository: repository.to_owned() }
            }
            _ => Self::Unknown,
        }
    }

    fn operation(&self, method: &Method) -> &'static str {
        match (self, *method == Method::HEAD) {
            (Self::Ping, _) => "Ping",
            (Self::Manifest { .. }, false) => "GetManifest",
            (Self::Manifest { .. }, true) => "HeadManifest",
            (Self::Blob { .. }, false) => "GetBlob",
            (Self::Blob { .. }, true) => "HeadBlob",
            (Self::Tags { .. }, _) => "ListTags",
            (Self::Unknown, _) => "Unknown",
        }
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        let pairs: Vec<(&str, &String)> = match self {
            Self::Ping | Self::Unknown => Vec::new(),
            Self::Manifest { repository, reference } => {
                vec![("Repository", repository), ("Reference", reference)]
            }
            Self::Blob { repository, digest } => vec![("Repository", repository), ("Digest", digest)],
            Self::Tags { repository } => vec![("Repository", repository)],
        };
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }
}

impl Registry {
    fn found(&self, path: &Path, absent: bool) -> Result<Found, Refusal> {
        let repository = |name: &String| {
            let unknown =
                refusal(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "repository name not known to registry");
            self.repositories.get(name).ok_or(unknown)
        };
        let json = |value: serde_json::Value| Found {
            content_type: "application/json",
            digest: None,
            bytes: value.to_string().into(),
        };
        match path {
            Path::Ping => Ok(json(json!({}))),
            Path::Unknown => Err(refusal(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such endpoint")),
            Path::Tags { repository: name } => {
                let tags: Vec<_> = repository(name)?.tags.keys().collect();
                Ok(json(json!({ "name": name, "tags": tags })))
            }
            Path::Manifest { repository: name, reference } => {
                let known = repository(name)?;
                let digest = known.tags.get(reference).unwrap_or(reference);
                let image = known.images.get(digest).filter(|_| !absent);
                let Blob { digest, bytes } = image.map(|image| image.manifest.clone()).ok_or(refusal(
                    StatusCode::NOT_FOUND,
                    "MANIFEST_UNKNOWN",
                    "manifest unknown",
                ))?;
                Ok(Found { content_type: MANIFEST_TYPE, digest: Some(digest), bytes })
            }
            Path::Blob { repository: name, digest } => {
                let blobs = |image: &Image| {
                    let layers = image.layers.iter().map(|layer| layer.packed.clone());
                    layers.chain(std::iter::once(image.config.clone())).collect::<Vec<_>>()
                };
                let mut blobs = repository(name)?.images.values().flat_map(blobs);
                let blob = blobs.find(|blob| blob.digest == *digest && !absent);
                let Blob { digest, bytes } =
                    blob.ok_or(refusal(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry"))?;
                Ok(Found { content_type: "application/octet-stream", digest: Some(digest), bytes })
            }
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Answer>, Reset> {
        let (method, path) = (request.method().clone(), Path::of(request.uri().path()));
        let operation = path.operation(&method);
        let effects = self.faults.hits("registry", operation, &path.parameters());
        self.faults.hold(&effects).await;
        let Trouble { delay, end, view, cut_at, flip_at } = Trouble::of(
            effects,
            &End::refused(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "too many requests"),
            &End::refused(StatusCode::FORBIDDEN, "DENIED", "requested access to the resource is denied"),
        );
        tokio::time::sleep(delay).await;
        match end {
            None => {}
            Some(End::Reset { .. }) => {
                self.record(operation, &path, 0, Some("Reset"));
                return Err(Reset);
            }
            Some(End::Silent) => {
                self.record(operation, &path, 0, Some("Silent"));
                return std::future::pending().await;
            }
            Some(End::Refused { status, code, text }) => {
                self.record(operation, &path, status.as_u16(), Some(&code));
                return Ok(error(status, &code, &text));
            }
        }
        if method != Method::GET && method != Method::HEAD {
            let refused =
                refusal(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "the operation is unsupported");
            self.record(operation, &path, refused.status.as_u16(), Some(refused.code));
            return Ok(error(refused.status, refused.code, refused.text));
        }
        match self.found(&path, view != View::Now) {
            Err(refused) => {
                self.record(operation, &path, refused.status.as_u16(), Some(refused.code));
                Ok(error(refused.status, refused.code, refused.text))
            }
            Ok(found) => {
                self.record(operation, &path, 200, None);
                let shape = Shape { cut_at, flip_at, ..Shape::default() };
                Ok(whole(&method, found, shape))
            }
        }
    }

    fn record(&self, operation: &str, path: &Path, status: u16, code: Option<&str>) {
        self.ledger.record(Event::Call {
            service: "registry".to_owned(),
            operation: operation.to_owned(),
            caller: None,
            parameters: path.parameters(),
            status,
            code: code.map(str::to_owned),
        });
    }
}

fn whole(method: &Method, found: Found, shape: Shape) -> Response<Answer> {
    let Found { content_type, digest, bytes } = found;
    let length = bytes.len();
    let body = Full::new(if *method == Method::HEAD { Bytes::new() } else { bytes });
    let mut answer = Response::new(Shaped::new(body, shape).boxed_unsync());
    let headers = answer.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(content_type));
    headers.insert("content-length", HeaderValue::from(length));
    headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    if let Some(digest) = digest.and_then(|digest| HeaderValue::from_str(&digest).ok()) {
        headers.insert("docker-content-digest", digest);
    }
    answer
}

fn error(status: StatusCode, code: &str, text: &str) -> Response<Answer> {
    let document = json!({ "errors": [{ "code": code, "message": text }] });
    let body = Full::new(Bytes::from(document.to_string()));
    let mut answer = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    answer
}

impl hyper::service::Service<Request<Incoming>> for Front {
    type Response = Response<Answer>;
    type Error = Reset;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Reset>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let registry = self.registry.clone();
        Box::pin(registry.answer(request))
    }
}
