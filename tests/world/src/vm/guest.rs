//! Commands inside the machine, by the guest's agent: how a case does what an administrator would do, and how the
//! journal is read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::qmp::Talk;

const LOOK: Duration = Duration::from_millis(400);
/// Whether anybody is there is asked again and again while a machine boots.
const KNOCK: Duration = Duration::from_secs(3);

/// What a command wrote, and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    pub code: i64,
    pub out: String,
    pub err: String,
}

/// The agent in a machine; one command at a time.
#[derive(Debug)]
pub struct Guest {
    socket: PathBuf,
    turn: Mutex<()>,
}

impl Guest {
    pub fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), turn: Mutex::default() }
    }

    /// Waits until the machine's agent answers.
    pub async fn ready(&self, patience: Duration) -> Result<()> {
        let end = Instant::now() + patience;
        let _turn = self.turn.lock().await;
        loop {
            match self.ask(KNOCK, "guest-ping", json!({})).await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > end => {
                    return Err(error.context("the machine does not come up"));
                }
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    async fn ask(&self, patience: Duration, command: &str, arguments: Value) -> Result<Value> {
        let mut talk = Talk::open(&self.socket).await?;
        talk.sync_within(patience).await?;
        talk.execute_within(patience, command, arguments).await
    }

    /// Runs a shell script inside.
    pub async fn run(&self, script: &str, patience: Duration) -> Result<Said> {
        let end = Instant::now() + patience;
        let _turn = self.turn.lock().await;
        let arguments = json!({ "path": "/bin/bash", "arg": ["-c", script], "capture-output": true });
        let started = self.ask(patience, "guest-exec", arguments).await?;
        let pid = started["pid"].as_i64().context("the guest's agent names no process")?;
        loop {
            let status = self.ask(patience, "guest-exec-status", json!({ "pid": pid })).await?;
            if status["exited"] == true {
                let text = |name: &str| {
                    let bytes = STANDARD.decode(status[name].as_str().unwrap_or_default());
                    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
                };
                let code = status["exitcode"].as_i64().unwrap_or(-1);
                return Ok(Said { code, out: text("out-data"), err: text("err-data") });
            }
            ensure!(Instant::now() < end, "a script in the machine has no end within {patience:?}: {script}");
            sleep(LOOK).await;
        }
    }

    /// Runs a script of which each line must succeed; what it printed.
    pub async fn succeed(&self, script: &str, patience: Duration) -> Result<String> {
        let Said { code, out, err } = self.run(&format!("set -euo pipefail\n{script}"), patience).await?;
        ensure!(code == 0, "a script in the machine ended with {code}: {script}\n{out}{err}");
        Ok(out)
    }
}
