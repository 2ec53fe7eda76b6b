//! From the start of the container to `ready`, or to the reason why not.

use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::InspectContainerOptions;
use tokio::time::Instant;

use super::{ContainerError, docker, logs};
use crate::host::Host;
use crate::report::Step;
use crate::secrets::Secrets;

/// Ready is asked for on the address itself; whether the server still lives is asked of Docker.
const PAUSE: Duration = Duration::from_millis(200);

/// Waits until the server says that it is ready. `ready` needs no key, and says nothing about data.
pub async fn wait(
    host: &Host,
    engine: &Docker,
    id: &str,
    base_url: &str,
    secrets: &Secrets,
) -> Result<Alive, ContainerError> {
    let deadline = host.settings.weaviate.start_deadline;
    let end = Instant::now() + deadline;
    let web = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(2))
        .build()
        .map_err(|error| ContainerError::Refused { message: error.to_string() })?;
    let url = format!("{base_url}/v1/.well-known/ready");
    loop {
        let alive = check_alive(host, engine, id, secrets).await?;
        let answer = web.get(&url).send().await;
        let status = match &answer {
            Ok(answer) if answer.status().is_success() => return Ok(alive),
            Ok(answer) => format!("waits until the server is ready ({})", answer.status().as_u16()),
            Err(error) if error.is_timeout() => "waits until the server answers (timeout)".to_owned(),
            Err(_) => "waits until the server listens".to_owned(),
        };
        host.status.say(Step::Start, status);
        if Instant::now() >= end {
            return Err(ContainerError::NotReady {
                deadline,
                log: logs::last(host, engine, id, secrets).await,
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// How long Docker may take to notice that the process has ended: it hears of it from containerd.
const NOTICE: Duration = Duration::from_secs(3);

/// For a process that looks gone: the error of its end as soon as Docker knows of it, or that process if it lives on.
pub async fn await_end(
    host: &Host,
    engine: &Docker,
    id: &str,
    secrets: &Secrets,
) -> Result<Alive, ContainerError> {
    let end = Instant::now() + NOTICE;
    loop {
        let alive = check_alive(host, engine, id, secrets).await?;
        if Instant::now() >= end {
            return Ok(alive);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A process of the server, as Docker has it.
#[derive(Debug)]
pub struct Alive {
    pub pid: i64,
    /// `State.StartedAt`, as Docker writes it.
    pub started: String,
}

/// A server that has ended says why in its last lines.
pub async fn check_alive(
    host: &Host,
    engine: &Docker,
    id: &str,
    secrets: &Secrets,
) -> Result<Alive, ContainerError> {
    let found =
        docker::call("look at the container", engine.inspect_container(id, None::<InspectContainerOptions>))
            .await?;
    let state = found.state.unwrap_or_default();
    match (state.running, state.pid) {
        (Some(true), Some(pid)) if pid > 0 => {
            Ok(Alive { pid, started: state.started_at.unwrap_or_default() })
        }
        _ => Err(ContainerError::Exited {
            code: state.exit_code.unwrap_or(-1),
            oom: state.oom_killed.unwrap_or(false),
            log: logs::last(host, engine, id, secrets).await,
        }),
    }
}
