//! One look at the container of a server that is shown to clients: short, and without a word to STATUS.

use std::time::Duration;

use bollard::models::{ContainerState, ContainerStateStatusEnum as Status};
use bollard::query_parameters::InspectContainerOptions;

use super::{ContainerError, Running, docker, logs};
use crate::host::Host;

/// An engine that has nothing else to do answers in a millisecond; one that takes this long is as good as silent.
const LOOK: Duration = Duration::from_secs(5);

/// What Docker has of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nothing: somebody removed it.
    Gone,
    /// `started`: `State.StartedAt`, by which one life of a container is told from the next.
    Here { started: String, life: Now },
}

/// What its process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    Runs,
    /// Frozen where it was, and goes on from there.
    Paused,
    Ended {
        code: i64,
        oom: bool,
    },
}

/// By the container's id: another container of its name is not the one that was verified.
pub async fn look(host: &Host, running: &Running) -> Result<Sight, ContainerError> {
    let engine = docker::reach(host).await?;
    let asked = engine.inspect_container(running.container_id(), None::<InspectContainerOptions>);
    let found = docker::absent(docker::call_within("look at the container", LOOK, asked).await)?;
    Ok(found.map_or(Sight::Gone, |found| read(found.state.unwrap_or_default())))
}

fn read(state: ContainerState) -> Sight {
    let life = match (state.status, state.running) {
        (Some(Status::PAUSED), _) => Now::Paused,
        (Some(Status::RUNNING), _) | (None, Some(true)) => Now::Runs,
        _ => Now::Ended { code: state.exit_code.unwrap_or(-1), oom: state.oom_killed.unwrap_or(false) },
    };
    Sight::Here { started: state.started_at.unwrap_or_default(), life }
}

/// What the server said last, or that it cannot be read.
pub async fn last_lines(host: &Host, running: &Running) -> Vec<String> {
    match docker::reach(host).await {
        Ok(engine) => logs::last(host, &engine, running.container_id(), running.secrets()).await,
        Err(error) => vec![format!("(the log cannot be read: {error})")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_docker_is_read() {
        let ended = Now::Ended { code: 137, oom: true };
        let rows = [
            (Some(Status::RUNNING), Now::Runs),
            (Some(Status::PAUSED), Now::Paused),
            (Some(Status::EXITED), ended),
            (Some(Status::DEAD), ended),
            (Some(Status::REMOVING), ended),
            // Docker's own restart: what ran has ended.
            (Some(Status::RESTARTING), ended),
            (Some(Status::CREATED), ended),
            (None, ended),
        ];
        for (status, life) in rows {
            // Docker calls a paused container, and one that it restarts, running as well.
            let running = Some(matches!(status, Some(Status::RUNNING | Status::PAUSED | Status::RESTARTING)));
            let state = ContainerState {
                status,
                running,
                exit_code: Some(137),
                oom_killed: Some(true),
                started_at: Some("then".to_owned()),
                ..ContainerState::default()
            };
            assert_eq!(read(state), Sight::Here { started: "then".to_owned(), life }, "{status:?}");
        }
    }
}
