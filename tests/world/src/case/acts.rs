//! Acts that look at the node, from outside and from the machine. Each complaint is one sentence.
//!
//! To add a look: a variant of [`Act`], and its arm in [`act`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use bytes::Bytes;
use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::time::Instant;

use super::{Act, sights};
use crate::fixtures;
use crate::ledger::Client;
use crate::stage::{Agent, BUCKET, Counts, Stage};

/// A single request, script or connection.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks of a script: it is a process each time.
const LOOK: Duration = Duration::from_millis(100);
/// A door that is shut answers nothing: a connection that came about would in a moment.
const KNOCK: Duration = Duration::from_millis(1500);

/// As the vectors of the recorded collections have.
const DIMENSIONS: u64 = 64;

pub(crate) async fn act(stage: &Stage, act: &Act) -> Result<Vec<String>> {
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
        Act::Command { arguments, exit, says, at_most } => {
            stage.command(arguments, *exit, says, at_most).await
        }
        Act::Write { client, class, tenant, first, objects, noise } => {
            let one = |number| object(class, tenant.as_deref(), number, *noise);
            // Noise takes its time, while everything else has to be answered.
            let objects = tokio::task::block_in_place(|| (*first..*first + *objects).map(one).collect());
            write(stage, *client, objects).await
        }
        Act::Delete { client, path, status } => delete(stage, *client, path, *status).await,
        Act::WholeBackups => whole_backups(stage),
        Act::SameLayout => Ok(same_layout(stage)),
        Act::Count { class, tenant, objects } => count(stage, class, tenant, *objects).await,
        Act::Shell { script, says } => shell(stage, script, says).await,
        Act::Until { script } => until(stage, script).await,
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

/// An object that can be told from every other by its number alone, wherever it is read again.
fn object(class: &str, tenant: Option<&str>, number: u64, noise: usize) -> Value {
    // Exact as f32 up to 2^24.
    let vector: Vec<u64> = (0..DIMENSIONS).map(|at| (number + at) % (1 << 20)).collect();
    let mut object = serde_json::json!({
        "class": class,
        "id": format!("00000000-0000-4000-8000-{number:012x}"),
        "properties": { "title": format!("object {number} {}", random(number, noise)).trim_end() },
        "vector": vector,
    });
    if let Some(tenant) = tenant {
        object["tenant"] = tenant.into();
    }
    object
}

/// About so many letters, the same for the same number: six bits of each are random.
fn random(number: u64, length: usize) -> String {
    use rand::{Rng as _, SeedableRng as _};
    let mut bytes = vec![0; length / 4 * 3];
    rand::rngs::StdRng::seed_from_u64(number).fill_bytes(&mut bytes);
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

async fn delete(stage: &Stage, client: Client, path: &str, status: u16) -> Result<Vec<String>> {
    let bearer = format!("Bearer {}", stage.writer_key);
    let headers = [("authorization", bearer.as_str())];
    let url = format!("http://{}:8080{path}", stage.address);
    let (got, body) = stage.vpc.request(client, "DELETE", &url, &headers, Bytes::new(), PATIENCE).await?;
    let wrong = got != status;
    let body = String::from_utf8_lossy(&body);
    Ok(wrong
        .then(|| format!("{client:?} deleted {path} and got {got}, not {status}: {body}"))
        .into_iter()
        .collect())
}

async fn write(stage: &Stage, client: Client, objects: Vec<Value>) -> Result<Vec<String>> {
    let wanted = objects.len();
    let body = serde_json::json!({ "objects": objects }).to_string();
    let bearer = format!("Bearer {}", stage.writer_key);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let url = format!("http://{}:8080/v1/batch/objects", stage.address);
    let (status, answer) = stage.vpc.request(client, "POST", &url, &headers, body.into(), PATIENCE).await?;
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let items = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    let stored = items.iter().filter(|item| item["result"]["status"] == "SUCCESS").count();
    let wrong = status != 200 || stored != wanted;
    Ok(wrong
        .then(|| format!("{client:?} wrote {stored} of {wanted}: {status} {answer}"))
        .into_iter()
        .collect())
}

/// Ids of backups that the agent makes begin so.
const MADE: &str = "weaviate_backup_";

fn whole_backups(stage: &Stage) -> Result<Vec<String>> {
    let there: BTreeMap<String, u64> =
        stage.store.keys(BUCKET, "").into_iter().map(|object| (object.key, object.size)).collect();
    let read = |key: &str| -> Result<Value> {
        let bytes = stage.store.read(BUCKET, key).with_context(|| format!("reading {key}"))?;
        serde_json::from_slice(&bytes).with_context(|| format!("reading {key}"))
    };
    let copies = there.keys().filter(|key| key.contains(&format!("{}/{MADE}", fixtures::COPIES)));
    let copies: Vec<Value> = copies.map(|key| read(key)).collect::<Result<_>>()?;
    let mut named = BTreeMap::new();
    for object in copies.iter().filter_map(|copy| copy["objects"].as_array()).flatten() {
        named.insert(object["key"].as_str().unwrap_or_default(), object["size"].as_u64());
    }
    let mut complaints = Vec::new();
    for (key, size) in &named {
        if there.get(*key).copied() != *size {
            complaints.push(format!("{key} has {:?} bytes in the bucket, not {size:?}", there.get(*key)));
        }
    }
    let of_backups =
        there.keys().filter(|key| key.contains(&format!("/{MADE}")) && !key.contains(fixtures::COPIES));
    let left = of_backups.filter(|key| !named.contains_key(key.as_str()));
    complaints.extend(left.map(|key| format!("{key} is left of a backup that nobody names")));
    let pointer = there.keys().find(|key| key.ends_with(fixtures::POINTER)).context("there is no pointer")?;
    let pointer = read(pointer)?;
    let named = format!("{}/{}.json", fixtures::COPIES, pointer["backup_id"].as_str().unwrap_or_default());
    if !there.keys().any(|key| key.ends_with(&named)) {
        complaints.push(format!("the pointer names {}, which has no copy", pointer["backup_id"]));
    }
    Ok(complaints)
}

fn same_layout(stage: &Stage) -> Vec<String> {
    let mut layouts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for object in stage.store.keys(BUCKET, "") {
        let mut folders = object.key.splitn(3, '/').skip(1);
        // A result of a restore is no file of the backup's.
        if let (Some(id), Some(file)) = (folders.next(), folders.next())
            && id.starts_with(MADE)
            && !file.ends_with("restore_config.json")
        {
            layouts.entry(id.to_owned()).or_default().insert(file.to_owned());
        }
    }
    let mut made = layouts.iter();
    let Some((first, files)) = made.next().filter(|_| layouts.len() > 1) else {
        return vec![format!("the agent has made {} backups, which is nothing to compare", layouts.len())];
    };
    made.filter(|(_, other)| *other != files)
        .map(|(id, other)| format!("{id} consists of {other:?}, {first} of {files:?}"))
        .collect()
}

async fn count(stage: &Stage, class: &str, tenant: &str, objects: u64) -> Result<Vec<String>> {
    let wanted: Counts = [(class.to_owned(), [(tenant.to_owned(), objects)].into())].into();
    let mut complaints = Vec::new();
    for client in [Client::Near, Client::Far] {
        let found = stage.count(client, &wanted).await?;
        if found != wanted {
            complaints.push(format!("{client:?} counts {found:?}, not {wanted:?}"));
        }
    }
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

/// Looks again until it is so, for as long as a script may take; else what the agent said is what helps.
async fn until(stage: &Stage, script: &str) -> Result<Vec<String>> {
    let end = Instant::now() + PATIENCE;
    loop {
        let wrong = shell(stage, script, &[]).await?;
        if wrong.is_empty() {
            return Ok(wrong);
        }
        if Instant::now() + LOOK >= end {
            return Ok(vec![format!("{}, after {PATIENCE:?}:\n{}", wrong.join("; "), stage.agent_log())]);
        }
        tokio::time::sleep(LOOK).await;
    }
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
