//! Processes inside a machine.
//!
//! ```text
//!  Inside (program, args, env) ─ thread enters net, mnt, uts, ipc, pid ─▶ child of the world, pid known
//!        └─▶ a task waits for it at once: an unreaped child would keep the machine from dying
//! ```
//! The child is the program itself, not an `nsenter` in front of it: killing it kills it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

/// A program that will run inside a machine, with an environment of its own.
#[derive(Debug)]
#[must_use = "nothing runs before `spawn` or `output`"]
pub struct Inside {
    init: u32,
    command: Command,
}

impl Inside {
    pub(super) fn new(init: u32, program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        Self { init, command }
    }

    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn envs(
        mut self,
        vars: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    ) -> Self {
        self.command.envs(vars.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    pub fn stdin(mut self, stdio: impl Into<Stdio>) -> Self {
        self.command.stdin(stdio);
        self
    }

    pub fn stdout(mut self, stdio: impl Into<Stdio>) -> Self {
        self.command.stdout(stdio);
        self
    }

    pub fn stderr(mut self, stdio: impl Into<Stdio>) -> Self {
        self.command.stderr(stdio);
        self
    }

    /// Starts it. Needs a tokio runtime.
    pub fn spawn(mut self) -> Result<Process> {
        let program = self.command.as_std().get_program().to_owned();
        let init = self.init;
        let runtime = tokio::runtime::Handle::current();
        let child = std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                enter(init)?;
                let _runtime = runtime.enter();
                self.command.spawn().context("exec")
            });
            inside.join().map_err(|_| anyhow!("the thread that entered the machine panicked"))?
        });
        child.and_then(Process::watch).with_context(|| format!("start {} in the machine", program.display()))
    }

    /// Runs it to its end. It is killed when it takes longer.
    pub async fn output(self, patience: Duration) -> Result<Output> {
        let program = self.command.as_std().get_program().to_owned();
        let mut process = self.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
        let all = async { tokio::join!(drain(stdout), drain(stderr), process.wait()) };
        if let Ok((stdout, stderr, status)) = tokio::time::timeout(patience, all).await {
            return Ok(Output { status: status?, stdout: stdout?, stderr: stderr? });
        }
        process.signal(Signal::SIGKILL)?;
        bail!("{} did not end within {patience:?}", program.display())
    }

    /// As [`Self::output`], and anything but success is an error that holds what it printed.
    pub async fn succeed(self, patience: Duration) -> Result<String> {
        let what = format!("{:?}", self.command.as_std());
        let output = self.output(patience).await?;
        if !output.status.success() {
            bail!("{what}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Moves the calling thread into the machine; its children are born there.
fn enter(init: u32) -> Result<()> {
    let open = |name: &str| {
        File::open(format!("/proc/{init}/ns/{name}")).with_context(|| format!("open the machine's {name}"))
    };
    let (net, uts, ipc, pid, mnt) = (open("net")?, open("uts")?, open("ipc")?, open("pid")?, open("mnt")?);
    unshare(CloneFlags::CLONE_FS).context("leave the shared root directory")?;
    setns(net, CloneFlags::CLONE_NEWNET).context("enter the machine's net")?;
    setns(uts, CloneFlags::CLONE_NEWUTS).context("enter the machine's uts")?;
    setns(ipc, CloneFlags::CLONE_NEWIPC).context("enter the machine's ipc")?;
    setns(pid, CloneFlags::CLONE_NEWPID).context("enter the machine's pid")?;
    setns(mnt, CloneFlags::CLONE_NEWNS).context("enter the machine's mnt")
}

async fn drain(stream: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes).await.context("read what the program prints")?;
    }
    Ok(bytes)
}

/// A process inside a machine. Dropping it does not end it; the machine's end does.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    ended: watch::Receiver<Option<ExitStatus>>,
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<ChildStdout>,
    pub stderr: Option<ChildStderr>,
}

impl Process {
    pub(crate) fn watch(mut child: Child) -> Result<Self> {
        let pid = child.id().context("a child that was just started has an id")?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (tell, ended) = watch::channel(None);
        tokio::spawn(async move {
            match child.wait().await {
                Ok(status) => drop(tell.send(Some(status))),
                Err(error) => tracing::error!(%error, pid, "a process of a machine cannot be waited for"),
            }
        });
        Ok(Self { pid, ended, stdin, stdout, stderr })
    }

    /// Its id outside the machine.
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// How it ended, if it did.
    pub fn ended(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let status =
            self.ended.wait_for(Option::is_some).await.context("the process cannot be waited for")?;
        status.context("a status that was waited for")
    }

    /// Sends a signal to the process itself. One that has ended is left alone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if self.ended().is_some() {
            return Ok(());
        }
        let pid = Pid::from_raw(self.pid.cast_signed());
        kill(pid, signal).with_context(|| format!("send {signal} to process {pid}"))
    }

    /// What kills it from elsewhere, by its id and only while it lives.
    pub fn killer(&self) -> Killer {
        Killer { pid: self.pid, ended: self.ended.clone() }
    }

    /// `kill -9`, and waits for the end.
    pub async fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGKILL)?;
        self.wait().await
    }
}

/// `kill -9` of one process, at once.
#[derive(Clone, Debug)]
pub struct Killer {
    pid: u32,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Killer {
    /// Whether it was still there to be killed.
    pub fn kill(&self) -> bool {
        self.ended.borrow().is_none() && kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGKILL).is_ok()
    }
}

/// The processes whose pid namespace is that of `init` or below it.
pub(super) fn descendants(init: u32) -> Result<Vec<u32>> {
    let home = namespace(init).context("look at the machine's pid namespace")?;
    let parents = parents()?;
    // Most processes have ancestors in common, and each look at one is a system call.
    let mut at_home: BTreeMap<u32, bool> = BTreeMap::new();
    let mut belongs = |pid: &u32| {
        let line = std::iter::successors(Some(*pid), |pid| parents.get(pid).copied().filter(|p| *p != 0));
        line.take(64).any(|pid| *at_home.entry(pid).or_insert_with(|| namespace(pid).as_ref() == Some(&home)))
    };
    Ok(parents.keys().copied().filter(|pid| belongs(pid)).collect())
}

/// The processes that the world started in the machine, apart from the first one.
pub(super) fn entered(init: u32) -> Result<Vec<u32>> {
    let home = namespace(init).context("look at the machine's pid namespace")?;
    let ours = |(pid, parent): &(u32, u32)| {
        *parent == std::process::id() && *pid != init && namespace(*pid).as_ref() == Some(&home)
    };
    Ok(parents()?.into_iter().filter(ours).map(|(pid, _)| pid).collect())
}

fn namespace(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

/// All processes of the host with their parents.
fn parents() -> Result<BTreeMap<u32, u32>> {
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").context("list processes")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process may end while we look.
        let Ok(status) = std::fs::read_to_string(entry.path().join("status")) else { continue };
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<u32>().ok());
        parents.insert(pid, parent.unwrap_or(0));
    }
    Ok(parents)
}
