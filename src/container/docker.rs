//! The way to the Docker Engine.

use std::future::Future;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;

use super::ContainerError;
use crate::host::Host;
use crate::report::Work;
use crate::retry::{Limits, retry};

/// Docker is started side by side with us; on a fresh machine its first start takes a while.
pub(super) const READY: Limits =
    Limits::new(Duration::from_mins(2), Duration::from_millis(200), Duration::from_secs(3));
/// One call that is neither a pull nor a wait. A stop takes its own time.
pub(super) const CALL: Duration = Duration::from_mins(1);
/// The client's own limit, for streams.
const STREAM_SECONDS: u64 = 3600;

/// The engine, with the API version that both sides speak: 1.41 (Docker 20.10) and up.
pub async fn connect(host: &Host) -> Result<Docker, ContainerError> {
    let _working = host.status.begin(Work::Docker);
    let note = |error: &ContainerError| host.status.say(Work::Docker, format!("waits: {error}"));
    retry(READY, note, || reach(host)).await
}

/// As [`connect`], once: for who looks again by itself.
pub async fn reach(host: &Host) -> Result<Docker, ContainerError> {
    let socket = &host.roots.docker_socket;
    let failed = |source| ContainerError::Engine { socket: socket.clone(), source };
    let path = socket.to_string_lossy();
    let docker =
        Docker::connect_with_unix(&path, STREAM_SECONDS, bollard::API_DEFAULT_VERSION).map_err(failed)?;
    let answer = tokio::time::timeout(Duration::from_secs(5), docker.negotiate_version()).await;
    answer.unwrap_or(Err(Error::RequestTimeoutError)).map_err(failed)
}

/// Bounds a call and names it.
pub async fn call<T>(
    operation: &'static str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, ContainerError> {
    call_within(operation, CALL, work).await
}

pub async fn call_within<T>(
    operation: &'static str,
    deadline: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, ContainerError> {
    match tokio::time::timeout(deadline, work).await {
        Ok(done) => done.map_err(|source| ContainerError::Call { operation, source }),
        Err(_) => Err(ContainerError::Slow { operation, deadline }),
    }
}

/// The answer's status code, where there was an answer.
pub fn status(error: &ContainerError) -> Option<(u16, &str)> {
    match error {
        ContainerError::Call {
            source: Error::DockerResponseServerError { status_code, message }, ..
        } => Some((*status_code, message)),
        _ => None,
    }
}

/// 404 is an answer, not an error.
pub fn absent<T>(result: Result<T, ContainerError>) -> Result<Option<T>, ContainerError> {
    match result {
        Ok(there) => Ok(Some(there)),
        Err(error) if matches!(status(&error), Some((404, _))) => Ok(None),
        Err(error) => Err(error),
    }
}
