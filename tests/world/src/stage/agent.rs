//! Running the agent inside the machine, as systemd would: again after "try again", never after "final".

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;

use super::beside::Shop;
use super::{BUCKET, Stage, notify};
use crate::fixtures::POINTER;
use crate::kill::shim;
use crate::ledger::Event;
use crate::machine::Process;

/// `RestartSec` of the unit, shortened: nothing in the agent depends on it.
pub const RESTART: Duration = Duration::from_millis(300);
/// Exit code "try again" (EX_TEMPFAIL).
pub const TRY_AGAIN: i32 = 75;

/// The mark of each start of the agent, before its instance.
const AGENT_START: &str = "agent-start";

/// How a run of the service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub code: Option<i32>,
    pub runs: u32,
}

/// A run of the agent that goes on.
pub struct Agent {
    pub process: Process,
    pub started: jiff::Timestamp,
}

/// `close`, as the early unit runs it.
pub(super) async fn close(stage: &Stage) -> Result<()> {
    let output = command(stage, &["close"])?.output(Duration::from_secs(10)).await?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    stage.planted.search("the log of `close`", &output.stderr);
    ensure!(output.status.success(), "`close` ended with {}: {words}", output.status);
    Ok(())
}

pub(super) fn command(stage: &Stage, arguments: &[&str]) -> Result<crate::machine::Inside> {
    let agent = stage
        .machine
        .command(&stage.programs.agent)?
        .args(["--sysfs", "/run/world-sysfs"])
        .args(arguments)
        // Every program that it runs is looked at before it does anything.
        .env("PATH", shim::path())
        .env("AWS_ENDPOINT_URL", "http://10.0.8.8")
        .env("RUST_LOG", "warn,weaviate_provisioner=debug");
    Ok(match stage.shop {
        Shop::Amazon => agent.env("AWS_ENDPOINT_URL_S3", "http://s3.world"),
        // Where the store is the configuration alone says.
        Shop::Other => agent,
    })
}

impl Stage {
    fn agent_start(&self) -> String {
        format!("{AGENT_START} {}", self.machine.spec().instance_id)
    }

    /// Starts the agent with `run` and these arguments; its log is appended to the machine's agent log.
    pub fn start_agent(&self, arguments: &[&str]) -> Result<Agent> {
        self.start_agent_with(arguments, &[shim::failpoints()])
    }

    /// The same, with this in its environment and no failpoints.
    pub fn start_agent_with(&self, arguments: &[&str], environment: &[(&str, String)]) -> Result<Agent> {
        let log = self.machine.path("/var/log/weaviate-provisioner.log");
        let log = File::options().create(true).append(true).open(log).context("the agent's log")?;
        let mut all = vec!["run"];
        all.extend(arguments);
        self.ledger.record(Event::Mark { what: self.agent_start() });
        let started = jiff::Timestamp::now();
        let process = command(self, &all)?
            .env("NOTIFY_SOCKET", notify::SOCKET)
            .env("WATCHDOG_USEC", notify::WATCHDOG.as_micros().to_string())
            .envs(environment.iter().map(|(name, value)| (*name, value.clone())))
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()?;
        Ok(Agent { process, started })
    }

    /// Starts a script of a user as cloud-init would, with the AWS CLI of `venv`.
    pub fn start_script(&self, script: &std::path::Path, venv: &std::path::Path) -> Result<Agent> {
        let log = self.machine.path("/var/log/weaviate-provisioner.log");
        let log = File::options().create(true).append(true).open(log).context("the script's log")?;
        let started = jiff::Timestamp::now();
        let process = self
            .machine
            .command("/bin/bash")?
            .args([script])
            .env("PATH", format!("{}/bin:/usr/sbin:/usr/bin:/sbin:/bin", venv.display()))
            .env("AWS_ENDPOINT_URL", "http://10.0.8.8")
            .env("AWS_ENDPOINT_URL_S3", "http://10.0.8.9")
            .env("HOME", "/root")
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()?;
        Ok(Agent { process, started })
    }

    /// `run --once` until it serves or refuses, within `patience`.
    pub async fn run_agent(&self, patience: Duration) -> Result<Ended> {
        let end = Instant::now() + patience;
        let mut runs = 0;
        loop {
            runs += 1;
            let mut agent = self.start_agent(&["--once"])?;
            let status = tokio::time::timeout_at(end, agent.process.wait()).await;
            let Ok(status) = status else {
                agent.process.kill().await?;
                return Ok(Ended { code: None, runs });
            };
            let code = status?.code();
            self.ledger.record(Event::Mark { what: format!("agent-end {code:?}") });
            // A service manager ends with its machine.
            let off = self.machine.pid().is_err();
            if code != Some(TRY_AGAIN) || off || Instant::now() + RESTART >= end {
                return Ok(Ended { code, runs });
            }
            tokio::time::sleep(RESTART).await;
        }
    }

    /// The picture of the last boot, as the agent's own command draws it.
    pub async fn picture(&self) -> Result<String> {
        let file = "/var/lib/weaviate-provisioner/timeline.svg";
        command(self, &["timeline", "--svg", file])?.succeed(Duration::from_secs(10)).await?;
        Ok(std::fs::read_to_string(self.machine.path(file))?)
    }

    /// What the agent has written so far.
    pub fn agent_log(&self) -> String {
        let bytes = std::fs::read(self.machine.path("/var/log/weaviate-provisioner.log")).unwrap_or_default();
        self.planted.search("the agent's log", &bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The agent's own report of the last run.
    pub fn report(&self) -> Result<serde_json::Value> {
        let path = self.machine.path("/var/lib/weaviate-provisioner/report.json");
        let bytes = std::fs::read(&path).context("the agent has written no report")?;
        self.planted.search("report.json", &bytes);
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// The same, and the last run must have written it: an earlier one's says nothing of what came after.
    pub fn fresh_report(&self) -> Result<serde_json::Value> {
        let report = self.report()?;
        let started = self.ledger.events().into_iter().rev().find_map(|seen| match seen.event {
            Event::Mark { what } if what == self.agent_start() => Some(seen.at),
            _ => None,
        });
        let written: Option<jiff::Timestamp> =
            report["written"].as_str().and_then(|written| written.parse().ok());
        ensure!(
            written > started,
            "the agent's last run has written no report: there is one of {written:?}, the run began at {started:?}"
        );
        Ok(report)
    }

    /// Of the manifest's pointer in the bucket.
    pub fn generation(&self) -> Option<u64> {
        let pointer = self.store.keys(BUCKET, "").into_iter().find(|object| object.key.ends_with(POINTER))?;
        let manifest: serde_json::Value =
            serde_json::from_slice(&self.store.read(BUCKET, &pointer.key)?).ok()?;
        manifest["generation"].as_u64()
    }

    /// Whether exactly one report of this instance lies in the bucket, and is the last one on the machine.
    pub fn report_is_kept(&self) -> bool {
        let prefix = self.key(&format!("reports/{}-", self.machine.spec().instance_id));
        let kept = self.store.keys(BUCKET, &prefix);
        let kept: Vec<_> = kept.iter().filter_map(|o| self.store.read(BUCKET, &o.key)).collect();
        let [kept] = kept.as_slice() else { return false };
        match (serde_json::from_slice::<serde_json::Value>(kept), self.report()) {
            (Ok(kept), Ok(here)) => kept == here,
            _ => false,
        }
    }
}
