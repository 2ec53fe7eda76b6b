//! Ports, delays and the end: from settings to a running server.
//!
//! ```text
//! settings ─► data path, inner ports ─► (2.2 s) ─► 8080, 50051 open ─► (Raft) ─► ready ─► SIGTERM ─► flush ─► 0.2 s ─► 0
//! ```

use std::io::Write;
use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::App;
use crate::rest::answer::Answer;
use crate::rest::{self, Request};
use crate::settings::{InnerPorts, Settings, StartError};

/// A server whose ports are open. Dropping it ends it as a power cut would.
#[derive(Debug)]
pub struct Server {
    pub app: App,
    pub rest: SocketAddr,
    pub grpc: SocketAddr,
    tasks: JoinSet<()>,
}

impl Server {
    /// Comes back when the REST port is open; readiness follows later.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let started = tokio::time::Instant::now();
        let timing = settings.timing;
        let path = settings.data.display().to_string();
        let app =
            App::new(settings).await.map_err(|error| StartError::Data { path, reason: error.to_string() })?;
        let mut tasks = JoinSet::new();
        for listener in inner(&app.settings).await? {
            tasks.spawn(accept(listener));
        }
        tokio::time::sleep_until(started + timing.live).await;
        let host = app.settings.host.clone();
        // Before it does: whoever connects does so later.
        let at = jiff::Timestamp::now().to_string();
        let rest = listen(&host, app.settings.port).await?;
        // Whatever `--host` says.
        let grpc = listen(EVERYWHERE, app.settings.grpc_port).await?;
        let addresses = (address(&rest)?, address(&grpc)?);
        let router = axum::Router::new().fallback(handle).with_state(app.clone());
        tasks.spawn(async move {
            if let Err(error) = axum::serve(rest, router).await {
                crate::log::line("error", "restapi_management", &error.to_string());
            }
        });
        tasks.spawn(health(grpc));
        let waiting = app.clone();
        tasks.spawn(async move {
            tokio::time::sleep_until(started + timing.ready).await;
            waiting.set_ready();
            crate::log::line("info", "startup", "node reporting ready, node has probably recovered cluster");
        });
        if app.settings.overrides.is_some() {
            tasks.spawn(watch_overrides(app.clone()));
        }
        tasks.spawn(watch_disk(app.clone()));
        let (rest, grpc) = addresses;
        crate::log::line("info", "restapi_management", &format!("Serving weaviate at http://{rest}"));
        print_line(
            &json!({"stand_in": "listening", "at": at, "rest": rest.to_string(), "grpc": grpc.to_string()}),
        );
        Ok(Self { app, rest, grpc, tasks })
    }

    /// What SIGTERM does: everything to disk, then gone after 0.2 s.
    pub async fn stop(mut self) {
        self.tasks.abort_all();
        if let Err(error) = self.app.store.flush() {
            crate::log::line("error", "shutdown", &error.to_string());
        }
        tokio::time::sleep(self.app.settings.timing.stop).await;
    }
}

const EVERYWHERE: &str = "0.0.0.0";

/// What a node opens for other nodes and for Prometheus, without a key.
async fn inner(settings: &Settings) -> Result<Vec<TcpListener>, StartError> {
    let InnerPorts { gossip, data, raft, metrics } = settings.inner_ports;
    let everywhere = [Some(gossip), Some(data), metrics].into_iter().flatten().map(|port| (EVERYWHERE, port));
    let mut listeners = Vec::new();
    for (host, port) in everywhere.chain([(settings.host.as_str(), raft)]) {
        listeners.push(listen(host, port).await?);
    }
    Ok(listeners)
}

/// Whoever gets here is let in, and told nothing.
async fn accept(listener: TcpListener) {
    while let Ok((guest, _)) = listener.accept().await {
        drop(guest);
    }
}

async fn listen(host: &str, port: u16) -> Result<TcpListener, StartError> {
    let fail = |error: std::io::Error| StartError::Listen {
        address: format!("{host}:{port}"),
        reason: error.to_string(),
    };
    TcpListener::bind((host, port)).await.map_err(fail)
}

fn address(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    let fail =
        |error: std::io::Error| StartError::Listen { address: String::new(), reason: error.to_string() };
    listener.local_addr().map_err(fail)
}

/// The standard health service: SERVING from the first moment, whatever happens (health.go).
async fn health(listener: TcpListener) {
    let (reporter, service) = tonic_health::server::health_reporter();
    for name in ["", "weaviate.v1.Weaviate"] {
        reporter.set_service_status(name, tonic_health::ServingStatus::Serving).await;
    }
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let served = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await;
    if let Err(error) = served {
        crate::log::line("error", "grpc", &error.to_string());
    }
}

/// The server looks at its disk twice a second, and recovers by itself.
async fn watch_disk(app: App) {
    let mut ticks = tokio::time::interval(app.settings.timing.disk_look);
    loop {
        ticks.tick().await;
        app.look_at_disk();
    }
}

/// Reads the overrides file at every interval; what cannot be read changes nothing.
async fn watch_overrides(app: App) {
    let Some(overrides) = app.settings.overrides.clone() else { return };
    let mut ticks = tokio::time::interval(overrides.interval);
    loop {
        ticks.tick().await;
        let Ok(text) = std::fs::read_to_string(&overrides.path) else { continue };
        match serde_yaml_ng::from_str::<serde_json::Value>(&text) {
            Ok(value) => app.set_mode(value["operational_mode"].as_str().unwrap_or("ReadWrite")),
            Err(error) => crate::log::line("error", "runtime_overrides", &error.to_string()),
        }
    }
}

async fn handle(
    axum::extract::State(app): axum::extract::State<App>,
    request: axum::extract::Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 256 << 20).await.unwrap_or_default();
    let bearer = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let request = Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: rest::query::parse(parts.uri.query().unwrap_or("")),
        bearer: bearer.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned),
        body,
    };
    // In a task of its own: a client that hangs up must not leave an operation half begun.
    let work = tokio::spawn(async move {
        let (answer, user) = rest::answer(&app, &request).await;
        print_line(&rest::log_line(&request, &answer, user.as_ref()));
        answer
    });
    respond(work.await.unwrap_or_else(|error| Answer::error(500, error)))
}

fn respond(answer: Answer) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(body) = answer.body {
        let kind = if answer.plain { "text/plain; charset=utf-8" } else { "application/json" };
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        *response.body_mut() = Body::from(format!("{body}\n"));
    }
    response
}

fn print_line(line: &serde_json::Value) {
    // For tests of who must not rely on these lines: a real server has none of them.
    if std::env::var_os("STAND_IN_SILENT").is_some() {
        return;
    }
    // A reader that has gone is no reason to stop serving.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
