//! A real Docker Engine inside a machine.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

use super::{Machine, process::Process};

const UP: Duration = Duration::from_mins(1);
const DOWN: Duration = Duration::from_secs(30);

impl Machine {
    /// The engine's socket as every process of the host can reach it while the machine runs.
    pub fn docker_socket(&self) -> Result<PathBuf> {
        Ok(self.running_root()?.join("run/docker.sock"))
    }

    /// Starts dockerd and waits until it answers. Containers and images lie on the root volume.
    pub async fn start_docker(&self, extra: &[&str]) -> Result<()> {
        let running = |docker: &Process| docker.ended().is_none();
        if self.state.lock().await.docker.as_ref().is_some_and(running) {
            return Ok(());
        }
        let log = self.store.path().join("dockerd.log");
        let out = std::fs::File::create(&log).context("make dockerd's log")?;
        let err = out.try_clone().context("share dockerd's log")?;
        // The host's own daemon.json is none of the machine's business.
        let config = self.running_root()?.join("run/docker-daemon.json");
        std::fs::write(config, "{}").context("write an empty daemon.json")?;
        let cgroup = format!("--cgroup-parent=/{}", self.cgroup);
        let mut args = vec![
            "--data-root=/var/lib/docker",
            "--exec-root=/run/docker",
            "--pidfile=/run/docker.pid",
            "--config-file=/run/docker-daemon.json",
            "--host=unix:///run/docker.sock",
            // Docker's own default; without the option it looks for one that collides with no route.
            "--bip=172.17.0.1/16",
            "--storage-driver=overlay2",
            // Without systemd in the machine there is nobody else to make them.
            "--exec-opt=native.cgroupdriver=cgroupfs",
            cgroup.as_str(),
            "--log-level=warn",
            "--insecure-registry=10.0.8.10:5000",
        ];
        args.extend(extra);
        let docker =
            self.command("dockerd")?.args(args).stdout(Stdio::from(out)).stderr(Stdio::from(err)).spawn()?;
        let deadline = Instant::now() + UP;
        loop {
            if matches!(timeout(Duration::from_secs(2), self.ping()).await, Ok(Ok(()))) {
                // The lock is not held while it starts: a power cut waits for nobody.
                self.state.lock().await.docker = Some(docker);
                return Ok(());
            }
            if docker.ended().is_some() || Instant::now() > deadline {
                // Only its own words help here, and it is nobody's secret.
                let words = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("dockerd does not answer ({:?}):\n{words}", docker.ended());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ping(&self) -> Result<()> {
        let mut socket = UnixStream::connect(self.docker_socket()?).await?;
        socket.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n").await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        if !answer.contains(" 200 ") {
            bail!("{answer}");
        }
        Ok(())
    }

    /// Stops dockerd as systemd would: containers get their stop signal first.
    pub async fn stop_docker(&self) -> Result<()> {
        let docker = self.state.lock().await.docker.take();
        let Some(mut docker) = docker else { return Ok(()) };
        end(&mut docker).await
    }
}

async fn end(docker: &mut Process) -> Result<()> {
    docker.signal(Signal::SIGTERM)?;
    if timeout(DOWN, docker.wait()).await.is_err() {
        docker.kill().await?;
        bail!("dockerd did not stop within {DOWN:?} and was killed");
    }
    Ok(())
}
