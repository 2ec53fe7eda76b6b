//! QEMU's monitor and the guest's agent: both speak JSON, one line for each command and one for its answer.
//!
//! ```text
//!  {"execute": …, "arguments": …} ─▶ unix socket ─▶ {"return": …} | {"error": …}
//!                                               └─▶ {"event": …}, passed over
//! ```

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

/// An emulated machine is slow, and its monitor waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// A connection to one of the two.
#[derive(Debug)]
pub struct Talk {
    stream: BufReader<UnixStream>,
}

impl Talk {
    /// Connects as soon as somebody listens.
    pub async fn open(socket: &Path) -> Result<Self> {
        let end = Instant::now() + PATIENCE;
        loop {
            match UnixStream::connect(socket).await {
                Ok(stream) => return Ok(Self { stream: BufReader::new(stream) }),
                Err(error) if Instant::now() > end => {
                    return Err(error).with_context(|| format!("nobody listens at {}", socket.display()));
                }
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    /// One command and its answer, within `patience`. After an error the connection is of no more use.
    pub async fn execute_within(
        &mut self,
        patience: Duration,
        command: &str,
        arguments: Value,
    ) -> Result<Value> {
        let talk = async {
            self.say(command, &arguments).await?;
            self.answer().await
        };
        within(patience, talk).await.with_context(|| format!("asking the machine to {command}"))
    }

    /// Passes over the answers that an earlier connection did not wait for: the guest's agent knows of no connections.
    pub async fn sync_within(&mut self, patience: Duration) -> Result<()> {
        let id: u32 = rand::random();
        let talk = async {
            self.say("guest-sync", &json!({ "id": id })).await?;
            // An error among them is somebody else's too; who hangs up says nothing any more.
            while self.line().await?.get("return") != Some(&json!(id)) {}
            Ok(())
        };
        within(patience, talk).await.context("finding the machine's own answers")
    }

    async fn say(&mut self, command: &str, arguments: &Value) -> Result<()> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.stream.write_all(line.as_bytes()).await.context("it hung up")
    }

    async fn answer(&mut self) -> Result<Value> {
        loop {
            let answer = self.line().await?;
            if let Some(returned) = answer.get("return") {
                return Ok(returned.clone());
            }
            if let Some(error) = answer.get("error") {
                bail!("{error}");
            }
        }
    }

    async fn line(&mut self) -> Result<Value> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line).await? == 0 {
            bail!("it hung up");
        }
        serde_json::from_slice(&line).context("an answer that is no JSON")
    }

    pub async fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.execute_within(PATIENCE, command, arguments).await
    }
}

async fn within<T>(patience: Duration, talk: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(patience, talk).await.unwrap_or_else(|_| bail!("no answer within {patience:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn a_late_answer_to_somebody_else_is_passed_over() {
        let folder = tempfile::tempdir().expect("a directory");
        let socket = folder.path().join("guest.sock");
        let listener = UnixListener::bind(&socket).expect("listens");
        let agent = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("somebody comes");
            let mut stream = BufReader::new(stream);
            // What the connection before did not wait for, and an event of the monitor.
            stream.write_all(b"{\"return\": {}}\n{\"event\": \"RESUME\"}\n").await.expect("writes");
            for _ in 0..2 {
                let mut line = String::new();
                stream.read_line(&mut line).await.expect("reads");
                let asked: Value = serde_json::from_str(&line).expect("a command");
                let answer = asked["arguments"].get("id").cloned().unwrap_or(json!({ "pid": 7 }));
                stream
                    .write_all(format!("{}\n", json!({ "return": answer })).as_bytes())
                    .await
                    .expect("writes");
            }
        });
        let mut talk = Talk::open(&socket).await.expect("connects");
        talk.sync_within(PATIENCE).await.expect("finds its own");
        let answer = talk.execute_within(PATIENCE, "guest-exec", json!({})).await.expect("an answer");
        assert_eq!(answer["pid"], 7);
        agent.await.expect("the agent ends");
    }
}
