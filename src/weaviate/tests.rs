//! The client against answers that a real 1.39.0 server gave.

use std::sync::{Arc, Mutex};

use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::*;
use crate::explain::{Class as Kind, Explain as _};

/// One file of the recordings, as a list of events.
pub(crate) fn recording(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/recordings/weaviate-1.39.0/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_slice(&text).expect("a list of events")
}

/// Plays the answers of recordings: the first unused one with this method, path, key and body.
#[derive(Clone)]
pub(crate) struct Replay {
    events: Arc<Mutex<Vec<Value>>>,
}

impl Replay {
    pub(crate) async fn start(names: &[&str]) -> (Self, String) {
        let events = names.iter().flat_map(|n| recording(n)).filter(|e| e["request"].is_object()).collect();
        let replay = Self { events: Arc::new(Mutex::new(events)) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let app = axum::Router::new().fallback(play).with_state(replay.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (replay, base)
    }
}

async fn play(Shared(replay): Shared<Replay>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let key = head.headers.get("authorization").and_then(|k| k.to_str().ok()).unwrap_or_default();
    let key = key.trim_start_matches("Bearer ").to_owned();
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let mut events = replay.events.lock().expect("nobody panicked");
    let found = events.iter().position(|e| {
        let asked = &e["request"];
        asked["method"] == head.method.as_str()
            && asked["path"] == path.as_str()
            && asked["key"].as_str().unwrap_or_default() == key
            && (asked["body"] == body || body["class"].is_string() && asked["body"]["class"].is_string())
    });
    let Some(found) = found else {
        return (StatusCode::NOT_IMPLEMENTED, format!("not recorded: {} {path} {body}", head.method))
            .into_response();
    };
    let answer = events.remove(found)["response"].clone();
    let status = u16::try_from(answer["status"].as_u64().expect("a status")).expect("a status");
    let body = if answer["body"].is_null() { String::new() } else { answer["body"].to_string() };
    (StatusCode::from_u16(status).expect("a status"), body).into_response()
}

pub(crate) async fn client(names: &[&str], key: &str) -> Client {
    let (_, base) = Replay::start(names).await;
    Client::new(&base, (!key.is_empty()).then(|| key.into()))
}

#[tokio::test]
async fn meta_schema_tenants_and_aliases_are_read() {
    let restored = client(&["10-restore-variants"], "admin-key").await;
    let client =
        client(&["01-boot-and-auth", "28-restore-with-alias-and-inactive-tenants"], "admin-key").await;
    assert_eq!(client.classes().await.expect("schema"), []);
    let meta = client.meta().await.expect("meta");
    assert_eq!(meta.version, "1.39.0");
    assert!(meta.modules.contains_key("backup-filesystem"));
    let tenants = client.tenants("Chunk").await.expect("tenants");
    let of = |name: &str| tenants.iter().find(|t| t.name == name).map(|t| t.status.clone());
    assert_eq!((of("alpha"), of("cold")), (Some("HOT".into()), Some("COLD".into())));
    let aliases = client.aliases().await.expect("aliases");
    assert_eq!(aliases, [Alias { alias: "Current".into(), class: "Article".into() }]);
    let classes = restored.classes().await.expect("schema");
    assert_eq!(classes, [Class { name: "Article".into(), multi_tenant: false }]);
}

#[tokio::test]
async fn counts_come_from_the_body_and_not_from_the_status() {
    let client =
        client(&["28-restore-with-alias-and-inactive-tenants", "16-damaged-backups"], "admin-key").await;
    let alpha = client.count("Chunk", Some("alpha")).await.expect("counted");
    assert_eq!(alpha, Count::Objects(100));
    let beta = client.count("Chunk", Some("beta")).await.expect("an answer");
    assert_eq!(beta, Count::Uncounted("tenant not active: 'beta'".into()));
    // An empty server: 422, and a 200 with errors inside would be the same.
    let missing = client.count("Chunk", Some("alpha")).await.expect_err("no schema");
    assert!(
        matches!(&missing, WeaviateError::Refused { status: 422, message, .. } if message.contains("no graphql provider")),
        "{missing:?}"
    );
}

#[tokio::test]
async fn a_tenant_is_made_active_as_it_was_recorded() {
    let client = client(&["28-restore-with-alias-and-inactive-tenants"], "admin-key").await;
    let active = [Tenant { name: "beta".into(), status: "ACTIVE".into() }];
    client.set_tenants("Chunk", &active).await.expect("recorded");
    // The recording has it once: the control that this was the call.
    client.set_tenants("Chunk", &active).await.expect_err("recorded once");
    for (status, active, away) in [
        ("HOT", true, false),
        ("ACTIVE", true, false),
        ("COLD", false, false),
        ("INACTIVE", false, false),
        ("FROZEN", false, true),
        ("UNFREEZING", false, true),
    ] {
        assert_eq!((is_active(status), is_offloaded(status)), (active, away), "{status}");
    }
}

fn share(cpu_percentage: u32) -> RestoreOrder {
    let config = RestoreConfig { cpu_percentage, ..RestoreConfig::default() };
    RestoreOrder { config, ..RestoreOrder::default() }
}

#[tokio::test]
async fn both_shapes_of_an_error_are_read() {
    let client =
        client(&["08-restore-on-fresh-server", "09-stale-status-and-node-mismatch"], "admin-key").await;
    let answer = client.start_restore(Backend::S3, "full-1", &share(81)).await.expect_err("81 is too much");
    assert!(answer.to_string().ends_with("should be less than or equal to 80"), "{answer}");
    let started = client.start_restore(Backend::S3, "full-1", &share(80)).await.expect("accepted");
    assert_eq!((started.state, started.classes.len()), (State::Started, 3));
    let again = client.start_restore(Backend::S3, "full-1", &share(80)).await.expect_err("one runs");
    assert!(again.to_string().contains("already in progress"), "{again}");
    // The previous machine's result, on a server that did nothing.
    let stale = client.restore_status(Backend::S3, "full-1", None).await.expect("an answer");
    assert_eq!(stale.state, State::Failed);
    assert!(stale.error.contains("already exists"));
}

#[tokio::test]
async fn a_status_that_nobody_has_is_404_and_an_end_of_the_matter() {
    let client = client(&["11-filesystem-restore-of-an-s3-backup"], "admin-key").await;
    let error = client.restore_status(Backend::Filesystem, "full-1", None).await.expect_err("none");
    assert_eq!((error.status(), error.class()), (Some(404), Kind::Final));
    client.start_restore(Backend::Filesystem, "full-1", &share(80)).await.expect("accepted");
}

#[tokio::test]
async fn who_may_is_told_by_the_status() {
    let client = client(&["13-config-file-secrets"], "file-reader").await;
    assert_eq!(client.with_key(None).meta_status().await.expect("an answer"), 401);
    assert_eq!(client.meta_status().await.expect("an answer"), 200);
    assert_eq!(client.harmless_write().await.expect("an answer"), 403);
    assert_eq!(client.with_key(Some("admin-key".into())).meta_status().await.expect("an answer"), 401);
}

#[test]
fn states_of_every_recording_are_known() {
    let mut seen = 0;
    for name in [
        "05-create-success",
        "08-restore-on-fresh-server",
        "16-damaged-backups",
        "12-filesystem-only-server-without-s3-module",
    ] {
        for poll in recording(name).iter().filter(|e| e["event"] == "poll") {
            for answer in poll["seen"].as_array().expect("a list") {
                if let Some(text) = answer["body"]["status"].as_str() {
                    let state = State::from(text.to_owned());
                    assert!(!matches!(state, State::Unknown(_)), "{text}");
                    assert_eq!(state.to_string(), text);
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 10, "{seen}");
    assert_eq!(State::from("NEW".to_owned()), State::Unknown("NEW".to_owned()));
}

#[tokio::test]
async fn no_server_is_no_answer() {
    let client = Client::new("http://127.0.0.1:1", None);
    let error = client.meta().await.expect_err("nobody listens");
    assert!(matches!(&error, WeaviateError::Unreachable { .. }), "{error:?}");
    assert_eq!(error.class(), Kind::Retry);
    let answer = Answer { status: 500, body: json!({}) };
    assert_eq!(answer.message(), "no words");
}

#[tokio::test]
async fn only_an_inactive_tenant_is_uncounted() {
    let app = axum::Router::new().fallback(|| async {
        r#"{"data":null,"errors":[{"message":"shard Article: store is read-only or not ready"}]}"#
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let client = Client::new(&base, Some("admin-key".into()));
    let error = client.count("Article", None).await.expect_err("no number");
    assert!(matches!(&error, WeaviateError::Uncounted { of, .. } if of == "Article"), "{error:?}");
    assert_eq!(error.class(), Kind::Retry);
}

#[tokio::test]
async fn an_answer_that_is_none_is_malformed() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let app = axum::Router::new().fallback(|| async { "<html>a proxy's page</html>" });
    tokio::spawn(async move { axum::serve(listener, app).await });
    let error = Client::new(&base, None).meta().await.expect_err("no JSON");
    assert!(matches!(error, WeaviateError::Malformed { .. }), "{error:?}");
}

#[test]
fn an_order_says_what_it_is_told_and_nothing_else() {
    let text = |value: Value| value.to_string();
    let config = BackupConfig { cpu_percentage: 50, compression_level: None };
    let bare = BackupOrder { id: "b".into(), config, ..BackupOrder::default() };
    assert_eq!(text(json!(bare)), text(json!({ "id": "b", "config": { "CPUPercentage": 50 } })));
    let all = ["*".to_owned()].to_vec();
    let full = BackupOrder {
        include: vec!["Art*".into()],
        exclude: vec!["B?".into()],
        base: Some("a".into()),
        users: all.clone(),
        roles: all,
        config: BackupConfig { compression_level: Some("BestSpeed".into()), ..bare.config.clone() },
        ..bare
    };
    let expected = json!({
        "id": "b", "include": ["Art*"], "exclude": ["B?"], "incremental_base_backup_id": "a",
        "includeUsers": ["*"], "includeRoles": ["*"],
        "config": { "CPUPercentage": 50, "CompressionLevel": "BestSpeed" },
    });
    assert_eq!(json!(full), expected);
    assert_eq!(json!(share(80)), json!({ "config": { "CPUPercentage": 80 } }));
    let some = RestoreOrder {
        include: vec!["Chunk".into()],
        node_mapping: [("old".to_owned(), "new".to_owned())].into(),
        overwrite_alias: true,
        ..share(50)
    };
    let expected = json!({
        "config": { "CPUPercentage": 50 }, "include": ["Chunk"], "node_mapping": { "old": "new" },
        "overwriteAlias": true,
    });
    assert_eq!(json!(some), expected);
    let restore = RestoreConfig {
        cpu_percentage: 80,
        path: Some("prod".into()),
        users_options: Some("all"),
        roles_options: Some("all"),
    };
    let expected =
        json!({ "CPUPercentage": 80, "Path": "prod", "usersOptions": "all", "rolesOptions": "all" });
    assert_eq!(json!(restore), expected);
}
