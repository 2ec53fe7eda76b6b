//! The machine's disks. Each is a file behind a server that keeps what the guest has not flushed, and loses it in a
//! power cut: nbdkit's cache filter writes through to the file only when it is told to flush.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::vpc::Vpc;

const PATIENCE: Duration = Duration::from_secs(10);

/// One disk: what is on it outlives machine and server.
#[derive(Clone, Debug)]
pub struct Image {
    pub name: String,
    pub file: PathBuf,
}

impl Image {
    /// A blank one.
    pub fn blank(folder: &Path, name: &str, bytes: u64) -> Result<Self> {
        let file = folder.join(format!("{name}.img"));
        let made = std::fs::File::create(&file).with_context(|| format!("make {}", file.display()))?;
        made.set_len(bytes)?;
        Ok(Self { name: name.to_owned(), file })
    }

    /// A copy, with its holes.
    pub fn copy(folder: &Path, name: &str, from: &Path) -> Result<Self> {
        let file = folder.join(format!("{name}.img"));
        let copied = std::process::Command::new("cp")
            .args(["--sparse=always", "--reflink=auto"])
            .arg(from)
            .arg(&file)
            .status();
        ensure!(copied.context("run cp")?.success(), "{} cannot be copied", from.display());
        Ok(Self { name: name.to_owned(), file })
    }
}

/// A disk that a machine can use now.
#[derive(Debug)]
pub struct Served {
    server: Child,
    socket: PathBuf,
}

impl Served {
    pub async fn start(vpc: &Vpc, image: &Image) -> Result<Self> {
        let socket = image.file.with_extension("sock");
        // A server that was killed leaves it.
        let _ = std::fs::remove_file(&socket);
        let mut command = Command::new("nbdkit");
        command
            .args(["--foreground", "--exit-with-parent", "--filter=cache"])
            .arg("--unix")
            .arg(&socket)
            .arg("file")
            .arg(format!("file={}", image.file.display()))
            .arg("cache=writeback")
            // Its cache goes where the disk lies, not into a small /tmp.
            .env("TMPDIR", image.file.parent().unwrap_or(Path::new("/tmp")));
        let nbdkit = vpc.spawn(command).await.with_context(|| format!("serve the disk {}", image.name))?;
        let served = Self { server: nbdkit, socket };
        let end = Instant::now() + PATIENCE;
        while !served.socket.exists() {
            ensure!(Instant::now() < end, "nbdkit does not serve {}", image.name);
            sleep(Duration::from_millis(10)).await;
        }
        Ok(served)
    }

    pub fn url(&self) -> String {
        format!("nbd+unix:///?socket={}", self.socket.display())
    }

    /// The power is cut: what was not flushed is lost.
    pub async fn cut(mut self) -> Result<()> {
        self.server.kill().await.context("kill nbdkit")
    }
}
