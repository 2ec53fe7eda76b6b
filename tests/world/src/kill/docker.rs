//! Between the agent and the Docker Engine: a proxy on the engine's socket that lets each request pass the gate.
//!
//! ```text
//!  agent ─▶ /run/docker.sock (here) ─▶ gate: before ─▶ engine's own socket ─▶ gate: after ─▶ agent
//! ```

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::{Gate, When};
use crate::machine::Machine;

/// Moves the engine's socket aside, by which it goes on to listen, and listens in its place.
pub fn stand_between(machine: &Machine, gate: &Arc<Gate>) -> Result<JoinHandle<()>> {
    let (own, engine) = (machine.path("/run/docker.sock"), machine.path("/run/docker-engine.sock"));
    std::fs::rename(&own, &engine).context("moving the engine's socket aside")?;
    let listener = UnixListener::bind(&own).context("listening in the engine's place")?;
    let gate = Arc::clone(gate);
    Ok(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, engine.clone(), Arc::clone(&gate)));
        }
    }))
}

async fn converse(stream: UnixStream, engine: PathBuf, gate: Arc<Gate>) {
    let service = service_fn(|request| forward(request, &engine, &gate));
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the engine ended");
    }
}

/// An error closes the connection: the agent is dead.
async fn forward(
    request: Request<Incoming>,
    engine: &PathBuf,
    gate: &Gate,
) -> Result<Response<Incoming>, io::Error> {
    let call = format!("docker:{} {}", request.method(), operation(request.uri().path()));
    if gate.pass(&call, When::Before) {
        return Err(io::Error::other("killed before the request"));
    }
    let stream = UnixStream::connect(engine).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    if gate.pass(&call, When::After) {
        return Err(io::Error::other("killed before the answer"));
    }
    Ok(answer)
}

/// The path without the API's version and without the object's name, which may hold slashes.
fn operation(path: &str) -> String {
    let path = path.trim_start_matches('/');
    let path = match path.split_once('/') {
        Some((version, rest)) if version.starts_with("v1.") => rest,
        _ => path,
    };
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [] | [_] | [_, "json" | "create" | "load" | "prune"] => path.to_owned(),
        [group, _] => format!("{group}/{{}}"),
        [group, .., last] => format!("{group}/{{}}/{last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::operation;

    #[test]
    fn operations_are_named_without_their_objects() {
        let rows = [
            ("/_ping", "_ping"),
            ("/v1.41/info", "info"),
            ("/v1.41/containers/json", "containers/json"),
            ("/v1.41/containers/0a1b", "containers/{}"),
            ("/v1.41/containers/0a1b/start", "containers/{}/start"),
            ("/v1.41/images/10.0.8.10:5000/weaviate:1.39.0/json", "images/{}/json"),
        ];
        for (path, expected) in rows {
            assert_eq!(operation(path), expected, "{path}");
        }
    }
}
