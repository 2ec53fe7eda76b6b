//! The stand-in as a process of its own, so that exit codes, logs and power cuts are real.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(20);

type Lines = Arc<Mutex<Vec<String>>>;

#[derive(Debug)]
pub struct Server {
    child: Child,
    pub url: String,
    out: Lines,
    pub log: Lines,
    /// They end with what they read.
    readers: [JoinHandle<()>; 2],
}

/// How it ended, and everything that it said.
#[derive(Debug)]
pub struct Stopped {
    /// Or the negative signal.
    pub code: i32,
    pub lines: String,
}

/// What became of a start.
#[derive(Debug)]
pub enum Started {
    Serving(Box<Server>),
    Exited { code: Option<i32>, log: Vec<String> },
}

/// The lines so far, and what ends with the stream.
fn collect(stream: impl tokio::io::AsyncRead + Unpin + Send + 'static) -> (Lines, JoinHandle<()>) {
    let lines = Lines::default();
    let into = Arc::clone(&lines);
    let reader = tokio::spawn(async move {
        let mut stream = BufReader::new(stream).lines();
        while let Ok(Some(line)) = stream.next_line().await {
            into.lock().unwrap().push(line);
        }
    });
    (lines, reader)
}

impl Server {
    pub async fn start(environment: &[(String, String)], arguments: &[String]) -> Started {
        let mut child = Command::new(env!("CARGO_BIN_EXE_weaviate-stand-in"))
            .args(["--host", "127.0.0.1", "--port", "0", "--scheme", "http"])
            .args(arguments)
            .env_clear()
            .envs(environment.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (out, told) = collect(child.stdout.take().unwrap());
        let (log, logged) = collect(child.stderr.take().unwrap());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let announced = out.lock().unwrap().first().cloned();
            if let Some(line) = announced {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap();
                let url = format!("http://{}", line["rest"].as_str().unwrap());
                let readers = [told, logged];
                return Started::Serving(Box::new(Self { child, url, out, log, readers }));
            }
            if let Some(status) = child.try_wait().unwrap() {
                logged.await.unwrap();
                let log = log.lock().unwrap().clone();
                return Started::Exited { code: status.code(), log };
            }
            assert!(Instant::now() < deadline, "neither serving nor gone");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends the signal. Its last lines may still be in the pipe when it has ended, and are waited for.
    pub async fn stop(mut self, signal: i32) -> Stopped {
        use std::os::unix::process::ExitStatusExt;
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::try_from(signal).unwrap()).unwrap();
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        for reader in self.readers {
            tokio::time::timeout(PATIENCE, reader).await.unwrap().unwrap();
        }
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap());
        let lines = self.out.lock().unwrap().join("\n") + &self.log.lock().unwrap().join("\n");
        Stopped { code, lines }
    }
}
