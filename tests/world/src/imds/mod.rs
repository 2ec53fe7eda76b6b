//! The instance metadata service, version 2 only.
//!
//! ```text
//!  PUT /latest/api/token ─▶ token (TTL) ─┐
//!  GET /latest/... ─▶ token? ─▶ tree of leaves as they are now ─▶ leaf | listing | 404
//! ```
//!
//! The hop limit is not this module's: the VPC answers with TTL 1. To add a leaf: a line in `tree`.

#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use tokio::time::Instant;

use crate::assumptions::{Behaviour, Known};
use crate::cloud::{Cloud, View};
use crate::faults::{Effect, transport};
use crate::judge::Rule;
use crate::ledger::Event;

const GUIDE: &str = "EC2 user guide, instance metadata";

/// What the world claims about the metadata.
pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "imds.token",
        what: "PUT with a TTL of 1 to 21600 s, else 400; forwarded requests and versioned paths 403",
        known: Known::Documented(GUIDE),
    },
    Behaviour {
        name: "imds.no-version-1",
        what: "401 without a token, with a wrong one, with an expired one",
        known: Known::Documented(GUIDE),
    },
    Behaviour {
        name: "imds.late-mac",
        what: "a hot-plugged MAC appears late, with device-number 0 at first",
        known: Known::Documented("amazon-ec2-net-utils, comments in lib.sh"),
    },
    Behaviour {
        name: "imds.target-lifecycle-state",
        what: "the state that the instance is on its way to; 404 outside of groups",
        known: Known::Documented("Auto Scaling user guide, retrieve the target lifecycle state"),
    },
    Behaviour {
        name: "imds.credentials",
        what: "new credentials appear shortly before the old ones end; both are valid in between",
        known: Known::Documented("EC2 user guide: at least five minutes before"),
    },
    Behaviour {
        name: "imds.tags",
        what: "tags/instance/ only where enabled; keys with a slash or a space are left out",
        known: Known::Documented(GUIDE),
    },
    Behaviour {
        name: "imds.notices",
        what: "spot/instance-action, spot/termination-time and events/recommendations/rebalance: 404 until given",
        known: Known::Documented("EC2 user guide, Spot Instance interruption notices"),
    },
    Behaviour {
        name: "imds.throttled",
        what: "503 for a throttled request, 403 for a denied one",
        known: Known::Assumed("the guide only says: throttled, retry with backoff"),
    },
];

/// The header that version 1 of the service does not have.
const TOKEN: &str = "x-aws-ec2-metadata-token";

/// The longest life of a token, in seconds.
const LONGEST: u64 = 21_600;

/// Tokens of all instances, each with its instance and its end.
pub type Tokens = BTreeMap<String, (String, Instant)>;

impl Cloud {
    /// The metadata of the instance that asks, by the address that it asks from; of this one where no interface has it.
    pub fn imds(&self, instance: &str) -> Router {
        Router::new().fallback(enter).with_state((self.clone(), instance.to_owned()))
    }
}

async fn enter(State((cloud, instance)): State<(Cloud, String)>, request: Request) -> Response {
    let peer = request.extensions().get::<SocketAddr>();
    let instance = peer.and_then(|peer| cloud.at(peer.ip())).unwrap_or(instance);
    let operation = if request.method() == Method::PUT { "PutToken" } else { "GetMetadata" };
    let path = request.uri().path().to_owned();
    let mut parameters = BTreeMap::from([("path".to_owned(), path.clone())]);
    parameters.insert("instance".to_owned(), instance.clone());
    if request.method() != Method::PUT && !request.headers().contains_key(TOKEN) {
        cloud.forbid(Rule::Tokenless, format!("{} {path} by {instance}", request.method()));
    }
    let effects = cloud.faults().hits("imds", operation, &parameters);
    let record = |status: u16| {
        cloud.ledger().record(Event::Call {
            service: "imds".to_owned(),
            operation: operation.to_owned(),
            caller: Some(instance.clone()),
            parameters: parameters.clone(),
            status,
            code: None,
        });
    };
    if effects.contains(&Effect::Silent) {
        record(0);
    }
    cloud.faults().hold(&effects).await;
    transport::wait(&effects).await;
    let unanswered = effects.iter().all(|effect| scripted(effect).is_none());
    if unanswered && transport::reset(&effects) == Some(false) {
        // It did not act: no status says that it did.
        record(0);
        let connection = request.extensions().get::<transport::Connection>().cloned();
        return transport::deliver(&effects, connection.as_ref(), Response::new(Body::empty())).await;
    }
    let response = match effects.iter().find_map(scripted) {
        Some(response) => response,
        None if request.method() == Method::PUT => put_token(&cloud, &instance, &path, request.headers()),
        None => get(&cloud, &instance, &path, request.headers(), &effects),
    };
    record(response.status().as_u16());
    let connection = request.extensions().get::<transport::Connection>().cloned();
    transport::deliver(&effects, connection.as_ref(), response).await
}

fn scripted(effect: &Effect) -> Option<Response> {
    match effect {
        Effect::Error { status, message, .. } => Some(respond(*status, message)),
        Effect::Throttled => Some(respond(503, "")),
        Effect::Denied => Some(respond(403, "")),
        Effect::Latency { .. }
        | Effect::Held { .. }
        | Effect::Silent
        | Effect::Reset { .. }
        | Effect::Truncated { .. }
        | Effect::Stale
        | Effect::Absent
        | Effect::Flipped { .. } => None,
    }
}

fn respond(status: u16, body: &str) -> Response {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert("content-type", axum::http::HeaderValue::from_static("text/plain"));
    response
}

fn put_token(cloud: &Cloud, instance: &str, path: &str, headers: &HeaderMap) -> Response {
    if path != "/latest/api/token" || headers.contains_key("x-forwarded-for") {
        return respond(403, "");
    }
    let ttl = headers.get("x-aws-ec2-metadata-token-ttl-seconds").and_then(|v| v.to_str().ok()?.parse().ok());
    let Some(ttl) = ttl.filter(|ttl| (1..=LONGEST).contains(ttl)) else { return respond(400, "") };
    let token: String = (0..56).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
    let end = Instant::now() + Duration::from_secs(ttl);
    cloud.with_metadata_tokens(|tokens| tokens.insert(token.clone(), (instance.to_owned(), end)));
    let mut response = respond(200, &token);
    response.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", ttl.into());
    response
}

fn get(cloud: &Cloud, instance: &str, path: &str, headers: &HeaderMap, effects: &[Effect]) -> Response {
    let token = headers.get(TOKEN).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let valid = cloud.with_metadata_tokens(|tokens| {
        tokens.get(token).is_some_and(|(of, end)| of == instance && *end > Instant::now())
    });
    if !valid {
        return respond(401, "");
    }
    let view = effects.iter().fold(View::Now, |view, effect| match effect {
        Effect::Stale => View::Stale,
        Effect::Absent => View::Absent,
        _ => view,
    });
    let Some(wanted) = below_version(path) else { return respond(404, "") };
    let found = tree::look(&tree::tree(cloud, instance, view), wanted);
    if view == View::Stale && found == tree::look(&tree::tree(cloud, instance, View::Now), wanted) {
        cloud.failed(&format!("the stale {wanted} of the metadata is the current one"));
    }
    match found {
        Some(text) => respond(200, &text),
        None => respond(404, ""),
    }
}

/// `/latest/x` and `/2021-07-15/x` are the same to a reader.
fn below_version(path: &str) -> Option<&str> {
    let (version, rest) = path.trim_start_matches('/').split_once('/')?;
    let dated = version.len() == 10 && version.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    (version == "latest" || dated).then_some(rest)
}
