//! In place of the programs that the agent runs, and the socket at which they ask whether to go on.
//!
//! ```text
//!  agent ─▶ /run/world-shims/nft (this program by another name) ─▶ gate: before ─▶ nft ─▶ gate: after ─▶ status
//!  agent's failpoints (network, mount) ────────────────────────────▲
//! ```
//! Who is not answered belongs to an agent that was killed: a shim then starts nothing.
//!
//! While a shim waits, its arguments and environment, which are those of the program, are searched for secrets, and
//! the journal is asked about the disks among them: a program may live for less time than the watchers look away.
//! So the shims stand in every case, and the gate is open where nobody is killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::{Gate, When};
use crate::machine::Machine;
use crate::stage::{Disks, Planted};

/// Where shims and failpoints ask.
pub const SOCKET: &str = "/run/world-gate.sock";
/// A failpoint's name of a mount, before the disk's node.
const MOUNT: &str = "kernel:mount ";
const SHIMS: &str = "/run/world-shims";
/// The machine's own programs.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What the agent may run. Those that the machine lacks get no shim: absence stays absence.
const PROGRAMS: [&str; 11] = [
    "nft",
    "blkid",
    "mkfs.xfs",
    "mount",
    "umount",
    "mdadm",
    "systemctl",
    "systemd-escape",
    "networkctl",
    "udevadm",
    "wipefs",
];

/// Listens no longer than its machine runs, or until others take its place.
#[derive(Debug)]
pub struct Shims(JoinHandle<()>);

impl Drop for Shims {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The agent's `PATH`.
pub fn path() -> String {
    format!("{SHIMS}:{PATH}")
}

/// What the agent's environment needs to be seen, and stopped, at what it asks of the kernel itself.
pub fn failpoints() -> (&'static str, String) {
    ("WEAVIATE_PROVISIONER_FAILPOINTS", SOCKET.to_owned())
}

/// Places the shims in a machine that has just started, and listens.
pub fn place(
    machine: &Machine,
    gate: &Arc<Gate>,
    planted: &Arc<Planted>,
    disks: &Arc<Disks>,
) -> Result<Shims> {
    let folder = machine.path(SHIMS);
    std::fs::create_dir_all(&folder).context("making the folder of the shims")?;
    let world = own_program()?;
    for program in PROGRAMS {
        let is_there = |folder: &str| machine.path(folder).join(program).exists();
        if PATH.split(':').any(is_there) {
            symlink(&world, folder.join(program))
                .with_context(|| format!("placing the shim of {program}"))?;
        }
    }
    let listener = UnixListener::bind(machine.path(SOCKET)).context("listening for the shims")?;
    let (gate, planted, disks) = (Arc::clone(gate), Arc::clone(planted), Arc::clone(disks));
    Ok(Shims(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            look(&stream, &planted, &disks);
            tokio::spawn(converse(stream, Arc::clone(&gate), Arc::clone(&disks)));
        }
    })))
}

/// `world`; a test of it lies one folder deeper.
fn own_program() -> Result<PathBuf> {
    let this = std::env::current_exe().context("finding the world's own program")?;
    let mut beside = this.ancestors().skip(1).map(|folder| folder.join("world"));
    beside
        .find(|path| path.is_file())
        .with_context(|| format!("there is no `world` beside {}", this.display()))
}

/// The shim waits for its answer meanwhile: nothing has happened yet.
fn look(stream: &tokio::net::UnixStream, planted: &Planted, disks: &Disks) {
    let Some(process) = stream.peer_cred().ok().and_then(|peer| peer.pid()) else { return };
    let read = |file: &str| std::fs::read(format!("/proc/{process}/{file}"));
    // One that is gone belongs to an agent that was killed.
    for (file, what) in [("cmdline", "argv"), ("environ", "the environment")] {
        if let Ok(bytes) = read(file) {
            planted.search(&format!("{what} of a program that the agent ran"), &bytes);
        }
    }
    let line = String::from_utf8_lossy(&read("cmdline").unwrap_or_default()).into_owned();
    disks.announce(&line.split('\0').collect::<Vec<_>>());
}

async fn converse(stream: tokio::net::UnixStream, gate: Arc<Gate>, disks: Arc<Disks>) {
    let (read, mut write) = stream.into_split();
    let mut lines = tokio::io::BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Some((call, when)) = line.rsplit_once('\t') else { return };
        let when = if when == "before" { When::Before } else { When::After };
        if let (When::Before, Some(node)) = (when, call.strip_prefix(MOUNT)) {
            disks.announce(&["mount", node]);
        }
        if gate.pass(call, when) || write.write_all(b"go\n").await.is_err() {
            return;
        }
    }
}

/// The program whose shim this process is.
pub fn called_as() -> Option<String> {
    let name = std::env::args_os().next()?;
    let name = Path::new(&name).file_name()?.to_str()?;
    PROGRAMS.contains(&name).then(|| name.to_owned())
}

/// Asks, runs the real program, asks again, and ends as that did.
pub fn run(program: &str) -> ExitCode {
    match ask_and_run(program) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("the shim of {program}: {error:#}");
            ExitCode::from(70)
        }
    }
}

fn ask_and_run(program: &str) -> Result<u8> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let first = arguments.first().map(|argument| argument.to_string_lossy().into_owned());
    let call = format!("process:{program} {}", first.unwrap_or_default());
    let mut socket = UnixStream::connect(SOCKET).context("reaching the gate")?;
    let mut answers = BufReader::new(socket.try_clone()?);
    let mut ask = |when: &str| -> Result<()> {
        socket.write_all(format!("{call}\t{when}\n").as_bytes())?;
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        anyhow::ensure!(answer == "go\n", "the agent was killed {when} it");
        Ok(())
    };
    ask("before")?;
    let real = PATH.split(':').map(|folder| Path::new(folder).join(program)).find(|path| path.exists());
    let status = Command::new(real.context("the program is not there")?)
        .args(arguments)
        .env("PATH", PATH)
        .status()
        .context("running it")?;
    ask("after")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(70))
}
