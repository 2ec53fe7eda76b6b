//! The REST API: from a request to an [`answer::Answer`].
//!
//! ```text
//! live, ready ─────────────────────────────────────────► no authentication
//! else: 401? ─► read-only mode and a write? 503 ─► route by (method, path) ─► 403? ─► handler
//! ```
//!
//! To add a route: a line in [`route`], a handler that takes what it needs, a row in `behaviours`.

pub mod answer;
pub mod backups;
pub mod graphql;
pub mod objects;
pub mod query;
pub mod schema;
pub mod status;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::App;
use crate::auth::{Denied, User, Verb};
use answer::Answer;

/// One request, taken apart.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub bearer: Option<String>,
    pub body: Bytes,
}

impl Request {
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The body as JSON, with the errors of the layer that validates requests.
    pub fn json(&self) -> Result<Value, Answer> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Err(Answer::invalid(422, 602, "body in body is required"));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            let reason = go_json_error(&self.body, &error);
            Answer::invalid(400, 400, format!("parsing body body from \"\" failed, because {reason}"))
        })
    }
}

/// The beginnings of Go's texts for the places where JSON goes wrong.
fn go_json_error(body: &[u8], error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected EOF".into();
    }
    let at = body.get(error.column().saturating_sub(1)).copied().map_or('?', char::from);
    let place = if error.to_string().starts_with("key must be") { "object key string" } else { "value" };
    format!("invalid character '{at}' looking for beginning of {place}")
}

/// Answers, and says who asked.
pub async fn answer(app: &App, request: &Request) -> (Answer, Option<User>) {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET" | "HEAD", "/v1/.well-known/live") => return (Answer::empty(200), None),
        ("GET" | "HEAD", "/v1/.well-known/ready") => return (status::ready(app), None),
        ("GET", "/v1/.well-known/openid-configuration") => return (status::openid(app), None),
        _ => {}
    }
    let user = match app.settings.auth.authenticate(request.bearer.as_deref()) {
        Ok(user) => user,
        Err(Denied::Anonymous(message)) => {
            return (Answer { plain: true, ..Answer::invalid(401, 401, message) }, None);
        }
        Err(Denied::Unknown(message)) => return (Answer::invalid(401, 401, message), None),
    };
    let answer = match refuse_writes(app, request) {
        Some(refused) => refused,
        None => route(app, request, &user).await.unwrap_or_else(|refused| refused),
    };
    (answer, Some(user))
}

/// `operational_mode: ReadOnly` (recording 25): reads, queries and backups go on.
fn refuse_writes(app: &App, request: &Request) -> Option<Answer> {
    let reads = matches!(request.method.as_str(), "GET" | "HEAD")
        || request.path == "/v1/graphql"
        || request.path.starts_with("/v1/backups");
    let message = "read-only mode is enabled temporally at the config level: \
                   write operations are not allowed during this time";
    (!reads && app.mode() == "ReadOnly").then(|| Answer::error(503, message))
}

async fn route(app: &App, request: &Request, user: &User) -> Result<Answer, Answer> {
    let path = request.path.strip_prefix("/v1").unwrap_or("");
    let decoded: Vec<String> = path.split('/').skip(1).map(query::percent_decoded).collect();
    let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
    let call = Call { app, request, user };
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["meta"]) => Ok(status::meta(app)),
        ("GET", ["nodes"]) => status::nodes(&call, None),
        ("GET", ["nodes", class]) => status::nodes(&call, Some(class)),
        ("GET", ["schema"]) => schema::list(&call),
        ("POST", ["schema"]) => schema::create(&call),
        ("GET", ["schema", class]) => schema::get(&call, class),
        ("DELETE", ["schema", class]) => schema::delete(&call, class),
        ("GET", ["schema", class, "shards"]) => schema::shards(&call, class),
        ("GET", ["schema", class, "tenants"]) => schema::tenants(&call, class),
        ("POST", ["schema", class, "tenants"]) => schema::set_tenants(&call, class, Verb::Create),
        ("PUT", ["schema", class, "tenants"]) => schema::set_tenants(&call, class, Verb::Update),
        ("DELETE", ["schema", class, "tenants"]) => schema::delete_tenants(&call, class),
        ("GET", ["aliases"]) => schema::aliases(&call),
        ("POST", ["aliases"]) => schema::set_alias(&call),
        ("GET", ["aliases", alias]) => schema::alias(&call, alias),
        ("PUT", ["aliases", alias]) => schema::move_alias(&call, alias),
        ("DELETE", ["aliases", alias]) => schema::delete_alias(&call, alias),
        ("POST", ["graphql"]) => graphql::run(&call),
        ("GET", ["objects"]) => objects::list(&call),
        ("POST", ["objects"]) => objects::create(&call),
        ("POST", ["batch", "objects"]) => objects::batch(&call),
        ("GET" | "HEAD", ["objects", class, id]) => objects::get(&call, class, id),
        ("PUT", ["objects", class, id]) => objects::replace(&call, class, id),
        ("DELETE", ["objects", class, id]) => objects::delete(&call, class, id),
        ("GET", ["backups", backend]) => backups::list(&call, backend).await,
        ("POST", ["backups", backend]) => backups::create(&call, backend).await,
        ("GET", ["backups", backend, id]) => backups::status(&call, backend, id).await,
        ("DELETE", ["backups", backend, id]) => backups::cancel(&call, backend, id).await,
        ("POST", ["backups", backend, id, "restore"]) => backups::restore(&call, backend, id).await,
        ("GET", ["backups", backend, id, "restore"]) => backups::restore_status(&call, backend, id).await,
        ("DELETE", ["backups", backend, id, "restore"]) => backups::cancel_restore(&call, backend, id).await,
        _ => Err(Answer::invalid(404, 404, format!("path {} was not found", request.path))),
    }
}

/// What every handler gets.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub app: &'a App,
    pub request: &'a Request,
    pub user: &'a User,
}

impl Call<'_> {
    /// The 403 of the admin list (recordings 01 and 13).
    pub fn allow(&self, verb: Verb, resource: &str) -> Result<(), Answer> {
        self.allow_as("adminlist: ", verb, resource)
    }

    pub fn allow_as(&self, prefix: &str, verb: Verb, resource: &str) -> Result<(), Answer> {
        if self.app.settings.auth.may(self.user, verb) {
            return Ok(());
        }
        let (name, letter) = (self.user.name(), verb.letter());
        Err(Answer::error(
            403,
            format!(
                "{prefix}authorization, forbidden action: user '{name}' has insufficient permissions to {letter} [{resource}]"
            ),
        ))
    }
}

/// One line per answered request on standard output: what the world's judge reads.
pub fn log_line(request: &Request, answer: &Answer, user: Option<&User>) -> Value {
    let mut path = request.path.clone();
    path.truncate(path.floor_char_boundary(500));
    json!({
        "stand_in": "request",
        "at": jiff::Timestamp::now().to_string(),
        "method": request.method,
        "path": path,
        "query": request.query,
        "status": answer.status,
        "user": user.and_then(|user| user.0.clone()),
        "details": answer.details,
    })
}
