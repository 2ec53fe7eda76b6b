//! The failure ladders of the metadata service, on loopback.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};

use super::*;
use crate::explain::{Class, Explain as _};

const SOON: Limits =
    Limits::new(Duration::from_secs(3), Duration::from_millis(10), Duration::from_millis(50));
const AT_ONCE: Limits =
    Limits::new(Duration::from_millis(200), Duration::from_millis(10), Duration::from_millis(50));

#[derive(Default)]
struct Service {
    tokens: AtomicU32,
    /// Statuses given before the service is well, one per request of its kind.
    token_ladder: Mutex<Vec<u16>>,
    leaf_ladder: Mutex<Vec<u16>>,
    without_token: AtomicU32,
    lifecycle: Option<&'static str>,
}

async fn token(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    let step = service.token_ladder.lock().expect("not poisoned").pop();
    if let Some(status) = step {
        return StatusCode::from_u16(status).expect("a status").into_response();
    }
    assert_eq!(headers["x-aws-ec2-metadata-token-ttl-seconds"], "21600");
    let number = service.tokens.fetch_add(1, Ordering::SeqCst) + 1;
    format!("token-{number}").into_response()
}

async fn leaf(State(service): State<Arc<Service>>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    let Some(token) = headers.get("x-aws-ec2-metadata-token") else {
        service.without_token.fetch_add(1, Ordering::SeqCst);
        return StatusCode::UNAUTHORIZED.into_response();
    };
    if *token != format!("token-{}", service.tokens.load(Ordering::SeqCst)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let step = service.leaf_ladder.lock().expect("not poisoned").pop();
    if let Some(status) = step {
        return StatusCode::from_u16(status).expect("a status").into_response();
    }
    match path.as_str() {
        "instance-id" => "i-0new".into_response(),
        "instance-type" => "c8gd.xlarge".into_response(),
        "placement/availability-zone" => "eu-central-1a".into_response(),
        "placement/region" => "eu-central-1".into_response(),
        "mac" => "02:AA:00:00:01:10".into_response(),
        "two-lines" => "one\ntwo\n".into_response(),
        "nothing" => "\n".into_response(),
        "autoscaling/target-lifecycle-state" => service
            .lifecycle
            .map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn serve(service: Arc<Service>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let app = Router::new()
        .route("/latest/api/token", put(token))
        .route("/latest/meta-data/{*path}", get(leaf))
        .with_state(service);
    tokio::spawn(async move { axum::serve(listener, app).await });
    base
}

async fn identity_of(service: &Arc<Service>, limits: Limits) -> Result<Identity, InstanceError> {
    let base = serve(Arc::clone(service)).await;
    ask(&Metadata::new(&base).expect("a client"), limits, "boot-1".to_owned()).await
}

#[tokio::test]
async fn every_leaf_becomes_part_of_the_identity() {
    let service = Arc::new(Service { lifecycle: Some("InService"), ..Service::default() });
    let identity = identity_of(&service, AT_ONCE).await.expect("an identity");
    assert_eq!(identity.instance_id(), "i-0new");
    assert_eq!(identity.region(), "eu-central-1");
    assert_eq!(identity.primary_mac(), "02:aa:00:00:01:10", "compared with netlink's lower case");
    assert_eq!(identity.lifecycle_target(), Some("InService"));
    assert_eq!(service.tokens.load(Ordering::SeqCst), 1, "one token serves all leaves");
    assert_eq!(service.without_token.load(Ordering::SeqCst), 0, "nothing is asked in the way of IMDSv1");
}

#[tokio::test]
async fn a_missing_lifecycle_target_is_an_answer() {
    let identity = identity_of(&Arc::new(Service::default()), AT_ONCE).await.expect("an identity");
    assert_eq!(identity.lifecycle_target(), None);
}

#[tokio::test]
async fn ladders_of_trouble_end_in_an_identity() {
    for (tokens, leaves) in [
        (vec![503, 500, 429], vec![]),
        (vec![], vec![401]),
        (vec![], vec![401, 401, 401]),
        (vec![], vec![404]),
        (vec![503], vec![429, 503, 404, 401]),
    ] {
        let service = Arc::new(Service {
            token_ladder: Mutex::new(tokens.clone()),
            leaf_ladder: Mutex::new(leaves.clone()),
            ..Service::default()
        });
        let identity = identity_of(&service, SOON).await;
        assert!(identity.is_ok(), "{tokens:?} {leaves:?}: {identity:?}");
        assert_eq!(service.without_token.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn an_expired_token_is_renewed_once_and_the_leaf_asked_again() {
    let service = Arc::new(Service::default());
    let base = serve(Arc::clone(&service)).await;
    let metadata = Metadata::new(&base).expect("a client");
    assert_eq!(metadata.required("instance-id").await.expect("a text"), "i-0new");
    service.tokens.fetch_add(1, Ordering::SeqCst);
    assert_eq!(metadata.required("instance-id").await.expect("a text"), "i-0new");
    assert_eq!(service.tokens.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_service_that_is_switched_off_is_final_and_asked_once() {
    let service = Arc::new(Service { token_ladder: Mutex::new(vec![403, 403]), ..Service::default() });
    let error = identity_of(&service, SOON).await.expect_err("403");
    assert!(matches!(error, InstanceError::SwitchedOff), "{error}");
    assert_eq!(error.class(), Class::Final);
    assert_eq!(service.token_ladder.lock().expect("not poisoned").len(), 1);
    assert_eq!(service.without_token.load(Ordering::SeqCst), 0, "no way back to IMDSv1");
}

#[tokio::test]
async fn each_answer_that_is_none_has_its_own_error() {
    type Is = fn(&InstanceError) -> bool;
    let rows: [(Vec<u16>, Vec<u16>, &str, Is); 6] = [
        (vec![500], vec![], "instance-id", |error| {
            matches!(error, InstanceError::TokenRefused { status: 500 })
        }),
        (vec![], vec![401, 401], "instance-id", |error| matches!(error, InstanceError::TokenNotTaken { .. })),
        (vec![], vec![500], "instance-id", |error| {
            matches!(error, InstanceError::Trouble { status: 500, .. })
        }),
        (vec![], vec![], "no-such-leaf", |error| matches!(error, InstanceError::Absent { .. })),
        (vec![], vec![], "two-lines", |error| matches!(error, InstanceError::NotText { .. })),
        (vec![], vec![], "nothing", |error| matches!(error, InstanceError::NotText { .. })),
    ];
    for (tokens, leaves, path, expected) in rows {
        let service = Arc::new(Service {
            token_ladder: Mutex::new(tokens),
            leaf_ladder: Mutex::new(leaves),
            ..Service::default()
        });
        let base = serve(Arc::clone(&service)).await;
        let metadata = Metadata::new(&base).expect("a client");
        let error = metadata.required(path).await.expect_err(path);
        assert!(expected(&error), "{path}: {error}");
        assert_eq!(error.class(), Class::Retry, "{path}");
        assert_eq!(metadata.required("instance-id").await.expect("the control"), "i-0new");
    }
}

#[tokio::test]
async fn a_machine_without_a_boot_id_is_named() {
    let root = tempfile::tempdir().expect("a directory");
    let mut host = crate::disk::tests::host(root.path(), "");
    assert!(boot_id(&host).is_ok(), "the control");
    host.roots.proc = root.path().to_owned();
    let error = boot_id(&host).expect_err("no such file");
    assert!(matches!(error, InstanceError::BootId { .. }), "{error}");
    assert_eq!(error.class(), Class::Final);
}

#[tokio::test]
async fn a_service_that_stays_away_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let metadata = Metadata::new(&base).expect("a client");
    let error = ask(&metadata, AT_ONCE, String::new()).await.expect_err("nobody listens");
    assert!(matches!(error, InstanceError::Unreachable { .. }), "{error}");
    assert_eq!(error.class(), Class::Retry);
}

#[tokio::test]
async fn a_late_service_is_waited_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let metadata = Metadata::new(&format!("http://{address}")).expect("a client");
    let late = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let listener = tokio::net::TcpListener::bind(address).await.expect("binds");
        let app = Router::new()
            .route("/latest/api/token", put(token))
            .route("/latest/meta-data/{*path}", get(leaf))
            .with_state(Arc::new(Service::default()));
        axum::serve(listener, app).await
    });
    let identity = ask(&metadata, SOON, String::new()).await;
    late.abort();
    assert!(identity.is_ok(), "{identity:?}");
}
