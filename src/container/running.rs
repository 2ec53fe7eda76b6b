//! Evidence: the server runs, sees the data volume, and is ready. Nobody outside can reach it yet.

use std::net::Ipv4Addr;

use bollard::Docker;
use bollard::query_parameters::{
    InspectContainerOptions, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};

use super::{ContainerError, Image, REST_PORT, ServerPlan, docker, logs, start};
use crate::disk::{DataVolume, DiskError, Record, ServerProcess};
use crate::host::Host;
use crate::report::Work;
use crate::secrets::Secrets;

/// The server's own worst case is 115 s: drains, flushes, closes (weaviate's shutdown, read in its source).
pub const STOP_SECONDS: i32 = 120;

/// Evidence: the server runs on our volume, proved by the file that its own root shows, and is ready.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::container::Running;
/// fn forge(evidence: Running) -> Running { Running { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::container::Running;
/// fn hand_on(evidence: Running) -> Running { evidence }
/// ```
#[derive(Clone, Debug)]
pub struct Running {
    process: ServerProcess,
    pid: i64,
    /// It ran already, as it would have been made.
    adopted: bool,
    /// Where the server is spoken to from this instance before it is exposed.
    inside: Ipv4Addr,
    parts: Parts,
}

/// What the container was made from: enough to make it again.
#[derive(Clone, Debug)]
pub struct Parts {
    pub address: Ipv4Addr,
    pub volume: DataVolume,
    pub secrets: Secrets,
    pub image: Image,
    pub plan: ServerPlan,
}

impl Running {
    pub(super) const fn new(
        process: ServerProcess,
        pid: i64,
        adopted: bool,
        inside: Ipv4Addr,
        parts: Parts,
    ) -> Self {
        Self { process, pid, adopted, inside, parts }
    }
    pub fn container_id(&self) -> &str {
        &self.process.container
    }
    /// This life of the server.
    pub const fn process(&self) -> &ServerProcess {
        &self.process
    }
    pub const fn pid(&self) -> i64 {
        self.pid
    }
    /// The container of an earlier run goes on: nothing was started.
    pub const fn adopted(&self) -> bool {
        self.adopted
    }
    pub const fn address(&self) -> Ipv4Addr {
        self.parts.address
    }
    /// The container's own address on the bridge; the published one on the host's network.
    pub const fn inside(&self) -> Ipv4Addr {
        self.inside
    }
    /// For this program itself; clients come by [`Self::address`].
    pub fn base_url(&self) -> String {
        format!("http://{}:{REST_PORT}", self.inside)
    }
    pub const fn image(&self) -> &Image {
        &self.parts.image
    }
    pub const fn secrets(&self) -> &Secrets {
        &self.parts.secrets
    }
    pub const fn volume(&self) -> &DataVolume {
        &self.parts.volume
    }
}

/// Stops the server and lets it flush. Already stopped or gone is done.
pub async fn stop(host: &Host, running: &Running) -> Result<(), ContainerError> {
    let engine = docker::connect(host).await?;
    let _working = host.status.begin(Work::Stop);
    host.status.say(Work::Stop, "waits until the server has stopped");
    stop_container(&engine, running.container_id()).await
}

/// What a server leaves behind.
#[derive(Clone, Debug)]
pub struct LastWords {
    /// `None` while it runs.
    pub code: Option<i64>,
    pub oom: bool,
    /// Its last lines, redacted.
    pub log: Vec<String>,
}

/// How the server ended, if it did, and what it said last.
pub async fn last_words(host: &Host, running: &Running) -> Result<LastWords, ContainerError> {
    let engine = docker::connect(host).await?;
    let looked = engine.inspect_container(running.container_id(), None::<InspectContainerOptions>);
    let state = docker::call("look at the container", looked).await?.state.unwrap_or_default();
    let code = if state.running == Some(true) { None } else { Some(state.exit_code.unwrap_or(-1)) };
    let log = logs::last(host, &engine, running.container_id(), running.secrets()).await;
    Ok(LastWords { code, oom: state.oom_killed.unwrap_or(false), log })
}

/// Ends the container and makes a new one of the same parts: for a restore into an emptied data directory.
pub async fn restart(host: &Host, running: &Running) -> Result<Running, ContainerError> {
    let engine = docker::connect(host).await?;
    remove(&engine, running.container_id()).await?;
    start::start_parts(host, running.parts.clone()).await
}

pub(super) async fn stop_container(engine: &Docker, id: &str) -> Result<(), ContainerError> {
    let options = StopContainerOptionsBuilder::new().t(STOP_SECONDS).build();
    let deadline = std::time::Duration::from_secs(u64::from(STOP_SECONDS.unsigned_abs()) + 30);
    let stopped =
        docker::call_within("stop the container", deadline, engine.stop_container(id, Some(options))).await;
    match stopped {
        // 304: it does not run.
        Err(error) if matches!(docker::status(&error), Some((304, _))) => Ok(()),
        other => docker::absent(other).map(drop),
    }
}

/// Ends a container of ours that another one is to follow, and notes on the volume when the server that was shown
/// to clients ended in order: its data is as it left it.
pub(super) async fn retire(engine: &Docker, id: &str, volume: &DataVolume) -> Result<(), ContainerError> {
    stop_container(engine, id).await?;
    let looked =
        docker::call("look at the container", engine.inspect_container(id, None::<InspectContainerOptions>));
    if let Some(found) = docker::absent(looked.await)? {
        let state = found.state.unwrap_or_default();
        let process =
            ServerProcess { container: id.to_owned(), started: state.started_at.unwrap_or_default() };
        if state.exit_code == Some(0)
            && let Err(error) = note_end(volume, &process)
        {
            // Then the data is compared as after any other stop, and what differs is said.
            tracing::warn!(%error, "the server's end is not noted: {error}");
        }
    }
    remove(engine, id).await
}

fn note_end(volume: &DataVolume, ended: &ServerProcess) -> Result<(), DiskError> {
    let record = volume.reread()?;
    if record.served.as_ref() != Some(ended) {
        return Ok(());
    }
    let synced = volume.sync()?;
    volume.write_of_data(&Record { served: None, ended_in_order: true, ..record }, &synced)
}

/// Stops and removes it. Its data lies in mounts of ours; a volume that the image declares goes with it.
pub(super) async fn remove(engine: &Docker, id: &str) -> Result<(), ContainerError> {
    stop_container(engine, id).await?;
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker::call("remove the container", engine.remove_container(id, Some(options))).await {
        // 409: its removal is in progress already.
        Err(error) if matches!(docker::status(&error), Some((409, _))) => Ok(()),
        other => docker::absent(other).map(drop),
    }
}
