//! Acts that look at the node, from outside and from the machine. Each complaint is one sentence.
//!
//! To add a look: a variant of [`Act`], and its arm in [`act`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::time::Instant;

use super::{Act, sights};
use crate::ledger::Client;
use crate::stage::{Agent, Stage};

/// A single request, script or connection.
const PATIENCE: Duration = Duration::from_secs(30);
/// A door that is shut answers nothing: a connection that came about would in a moment.
const KNOCK: Duration = Duration::from_millis(1500);

pub(super) async fn act(stage: &Stage, act: &Act) -> Result<Vec<String>> {
    match act {
        Act::Ask { client, path, key, status, holds } => {
            ask(stage, *client, path, *key, *status, holds).await
        }
        Act::Knock { client, port, open } => {
            let accepted = stage.vpc.reaches(*client, SocketAddr::from((stage.address, *port)), KNOCK).await;
            let wrong = accepted != *open;
            Ok(wrong
                .then(|| format!("{client:?} at port {port}: accepted is {accepted}"))
                .into_iter()
                .collect())
        }
        Act::Inspect { is } => inspect(stage, is).await,
        Act::Commands => stage.commands().await,
        Act::Shell { script, says } => shell(stage, script, says).await,
        Act::StopDocker => stage.machine.stop_docker().await.map(|()| Vec::new()),
        Act::StartDocker => stage.start_docker().await.map(|()| Vec::new()),
        Act::Hear { line, times } => hear(stage, line, *times).await,
        other => bail!("{other:?} is no look"),
    }
}

async fn ask(
    stage: &Stage,
    client: Client,
    path: &str,
    key: bool,
    status: u16,
    holds: &[String],
) -> Result<Vec<String>> {
    let bearer = format!("Bearer {}", stage.reader_key);
    let headers: &[(&str, &str)] = if key { &[("authorization", &bearer)] } else { &[] };
    let url = format!("http://{}:8080{path}", stage.address);
    let answer = stage.vpc.request(client, "GET", &url, headers, Bytes::new(), PATIENCE).await;
    let (got, body) = answer.unwrap_or_default();
    let body = String::from_utf8_lossy(&body);
    let mut complaints = Vec::new();
    if got != status {
        complaints.push(format!("{client:?} got {got} from {path} (key: {key}), not {status}: {body}"));
    }
    let missing = holds.iter().filter(|text| !body.contains(text.as_str()));
    complaints.extend(missing.map(|text| format!("{path} does not tell {client:?} {text:?}: {body}")));
    Ok(complaints)
}

async fn container(stage: &Stage) -> Result<Value> {
    let docker = stage.machine.command("docker")?.args(["inspect", "weaviate"]);
    let shown: Value = serde_json::from_str(&docker.succeed(PATIENCE).await?)?;
    shown.get(0).cloned().context("docker inspect shows nothing")
}

async fn inspect(stage: &Stage, is: &BTreeMap<String, toml::Value>) -> Result<Vec<String>> {
    let shown = container(stage).await?;
    let mut complaints = Vec::new();
    for (pointer, wanted) in is {
        let (wanted, found) = (serde_json::to_value(wanted)?, shown.pointer(pointer));
        if found != Some(&wanted) {
            complaints.push(format!("the container's {pointer} is {found:?}, not {wanted}"));
        }
    }
    Ok(complaints)
}

async fn shell(stage: &Stage, script: &str, says: &[String]) -> Result<Vec<String>> {
    let shell = stage.machine.command("sh")?.args(["-euc", script]);
    let output = shell.output(PATIENCE).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut complaints = Vec::new();
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        complaints.push(format!("{script:?} ended with {}: {text}{words}", output.status));
    }
    let silent = says.iter().filter(|wanted| !text.contains(wanted.as_str()));
    complaints.extend(silent.map(|wanted| format!("{script:?} does not say {wanted:?}: {text}")));
    Ok(complaints)
}

/// `systemctl stop` of the service.
pub(super) async fn stop(stage: &Stage, agent: &mut Agent) -> Result<Vec<String>> {
    let since = Timestamp::now();
    // systemd runs, and does not end the machine: what sd_booted(3) and `systemctl is-system-running` tell of it.
    let booted = stage.machine.path("/run/systemd/system");
    std::fs::create_dir_all(&booted)?;
    agent.process.signal(Signal::SIGTERM)?;
    let Ok(status) = tokio::time::timeout(PATIENCE, agent.process.wait()).await else {
        agent.process.kill().await?;
        return Ok(vec![format!("SIGTERM did not end the agent within {PATIENCE:?}")]);
    };
    std::fs::remove_dir(&booted)?;
    let status = status?;
    let mut complaints = Vec::new();
    if !status.success() {
        complaints.push(format!("SIGTERM ended the agent with {status}"));
    }
    complaints.extend(heard(stage, since, "STOPPING=1", 1).await);
    Ok(complaints)
}

async fn hear(stage: &Stage, line: &str, times: usize) -> Result<Vec<String>> {
    Ok(heard(stage, Timestamp::now(), line, times).await.into_iter().collect())
}

/// Waits until systemd was told it so often since then.
async fn heard(stage: &Stage, since: Timestamp, line: &str, times: usize) -> Option<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let heard = sights::times_told(&stage.ledger.since(since), line);
        if heard >= times {
            return None;
        }
        if Instant::now() > end {
            return Some(format!("systemd was told {line:?} {heard} times, not {times}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the engine wrote down of the container. Its files, because the group may have ended the machine by now.
fn ended_container(stage: &Stage) -> Result<Value> {
    let containers = stage.machine.engine_files().join("containers");
    for entry in std::fs::read_dir(&containers).context("listing the engine's containers")? {
        let about = std::fs::read(entry?.path().join("config.v2.json"))
            .context("the engine's file of a container")?;
        let about: Value = serde_json::from_slice(&about)?;
        if about["Name"] == "/weaviate" {
            return Ok(about);
        }
    }
    bail!("the engine has no container weaviate")
}

/// Whether the end of the server's process was reported later than it may be.
pub(super) fn told_late(stage: &Stage, most: Duration) -> Result<Vec<String>> {
    let about = ended_container(stage)?;
    let ended = about["State"]["FinishedAt"].as_str().context("the container has no end")?;
    let ended: Timestamp = ended.parse().with_context(|| format!("reading {ended}"))?;
    let report = stage.report()?;
    let told: Timestamp = report["written"].as_str().context("the report has no time")?.parse()?;
    let took = told.duration_since(ended);
    let right = !took.is_negative() && took.unsigned_abs() <= most;
    Ok((!right).then(|| format!("the end of the server was told after {took:#}")).into_iter().collect())
}
