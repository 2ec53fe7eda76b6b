//! A server by itself, with a backup beside its data: what it answers to the order to restore it.

use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// For its start, and for the restore.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(20);

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The order was refused.
    Refused { status: u16, message: String },
    /// The state in which the restore ended.
    Ended(String),
}

impl Answer {
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Ended(state) if state == "SUCCESS")
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status, message } => {
                let short: String = message.chars().take(60).collect();
                write!(f, "{status}: {short}")
            }
            Self::Ended(state) => f.write_str(state),
        }
    }
}

/// Restores the backup `id` below `folder/backups`, which was made by `node`.
pub async fn restore(server: &Path, folder: &Path, node: &str, id: &str) -> Result<Answer> {
    tokio::time::timeout(PATIENCE, answer(server, folder, node, id)).await.context("the server alone")?
}

async fn answer(server: &Path, folder: &Path, node: &str, id: &str) -> Result<Answer> {
    // On ports of its own choice: several stand beside each other.
    let mut child = Command::new(server)
        .args(["--host", "127.0.0.1", "--port", "0", "--scheme", "http", "--config-file", "/absent.json"])
        .env_clear()
        .env("PERSISTENCE_DATA_PATH", folder.join("data"))
        .env("BACKUP_FILESYSTEM_PATH", folder.join("backups"))
        .env("CLUSTER_HOSTNAME", node)
        .env("ENABLE_MODULES", "backup-filesystem")
        .envs(
            ["GRPC_PORT", "CLUSTER_GOSSIP_BIND_PORT", "CLUSTER_DATA_BIND_PORT", "RAFT_PORT"]
                .map(|p| (p, "0")),
        )
        .envs([("STAND_IN_START_MS", "1"), ("STAND_IN_READY_MS", "1"), ("STAND_IN_TIME_SCALE", "0.02")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", server.display()))?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let first = lines.next_line().await?.context("it ended before it listened")?;
    let first: Value = serde_json::from_str(&first).context("its first line")?;
    let address = first["rest"].as_str().context("where it listens")?.to_owned();
    // Whoever does not read what it prints would stop it.
    let read = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let answered = asked(&format!("http://{address}"), id).await;
    child.kill().await.context("ending it")?;
    read.abort();
    answered
}

async fn asked(base: &str, id: &str) -> Result<Answer> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    while !http.get(format!("{base}/v1/.well-known/ready")).send().await.is_ok_and(|a| a.status() == 200) {
        tokio::time::sleep(LOOK).await;
    }
    let url = format!("{base}/v1/backups/filesystem/{id}/restore");
    let ordered = http.post(&url).header("content-type", "application/json").body("{}").send().await?;
    let (status, body) = (ordered.status().as_u16(), ordered.text().await?);
    if status != 200 {
        let said: Value = serde_json::from_str(&body).unwrap_or_default();
        let message = said["error"][0]["message"].as_str().map_or(body, str::to_owned);
        return Ok(Answer::Refused { status, message });
    }
    loop {
        let told: Value = serde_json::from_str(&http.get(&url).send().await?.text().await?)?;
        match told["status"].as_str() {
            Some(state @ ("SUCCESS" | "FAILED" | "CANCELED")) => return Ok(Answer::Ended(state.to_owned())),
            Some(_) => tokio::time::sleep(LOOK).await,
            None => bail!("the server alone says {told}"),
        }
    }
}
