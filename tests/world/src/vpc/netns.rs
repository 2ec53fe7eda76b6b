//! A network namespace without a name: an open descriptor keeps it, so the kernel frees it with the world.
//!
//! ```text
//!  resident thread ── unshare(NEWNET) ── descriptor ──▶ enter(): a thread that lives for one closure
//!        └── a runtime of its own: sockets of futures spawned on it belong to the namespace
//! ```
//! A worker of the program's own runtime never enters: every later connection of that worker would too.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns, unshare};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// For a few `ip` and `nft` calls on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A namespace and the thread that lives in it.
#[derive(Debug)]
pub struct Netns {
    descriptor: Arc<File>,
    resident: Handle,
    leave: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Netns {
    /// An empty namespace; `name` is seen in thread lists only.
    pub fn new(name: &str) -> Result<Self> {
        let (born, birth) = std::sync::mpsc::channel();
        let (leave, left) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name(format!("netns-{name}"))
            .spawn(move || {
                let made = (|| {
                    unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace (root is needed)")?;
                    let descriptor = File::open("/proc/thread-self/ns/net").context("open the namespace")?;
                    let runtime = Builder::new_current_thread().enable_all().build()?;
                    Ok::<_, anyhow::Error>((descriptor, runtime))
                })();
                match made {
                    Ok((descriptor, runtime)) => {
                        let _ = born.send(Ok((descriptor, runtime.handle().clone())));
                        // An error means that the owner is gone, which is the signal as well.
                        let _ = runtime.block_on(left);
                    }
                    Err(e) => {
                        let _ = born.send(Err(e));
                    }
                }
            })
            .context("start the namespace's thread")?;
        let (descriptor, resident) = birth.recv().map_err(|_| anyhow!("the namespace's thread died"))??;
        Ok(Self { descriptor: Arc::new(descriptor), resident, leave: Some(leave), thread: Some(thread) })
    }

    /// The runtime whose tasks make their sockets in this namespace.
    pub fn resident(&self) -> &Handle {
        &self.resident
    }

    /// Runs `act` on a thread of this namespace and waits for it.
    pub async fn enter<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        enter(Arc::clone(&self.descriptor), act).await
    }

    /// As [`Self::enter`], for callers that are not async.
    pub fn enter_blocking<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&*self.descriptor, CloneFlags::CLONE_NEWNET).context("enter a network namespace")?;
                act()
            });
            inside.join().map_err(|_| anyhow!("a thread in a network namespace panicked"))?
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        self.leave.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs `act` on a thread of the namespace behind `descriptor`.
pub async fn enter<T: Send + 'static>(
    descriptor: Arc<File>,
    act: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (done, result) = oneshot::channel();
    std::thread::Builder::new()
        .name("netns-visit".into())
        .spawn(move || {
            let outcome = setns(&*descriptor, CloneFlags::CLONE_NEWNET)
                .context("enter a network namespace")
                .and_then(|()| act());
            let _ = done.send(outcome);
        })
        .context("start a thread")?;
    let outcome = timeout(PATIENCE, result).await.context("a thread in a network namespace does not end")?;
    outcome.map_err(|_| anyhow!("a thread in a network namespace panicked"))?
}

/// One `ip -batch` in the namespace of the calling thread.
pub fn ip(lines: &[String]) -> Result<()> {
    feed(Command::new("ip").args(["-batch", "-"]), &lines.join("\n"))
}

/// One atomic `nft` transaction in the namespace of the calling thread.
pub fn nft(script: &str) -> Result<()> {
    feed(Command::new("nft").args(["-f", "-"]), script)
}

/// A kernel setting of the namespace of the calling thread, such as `net/ipv4/ip_forward`.
pub fn sysctl(name: &str, value: &str) -> Result<()> {
    std::fs::write(format!("/proc/sys/{name}"), value).with_context(|| format!("set {name} to {value}"))
}

fn feed(command: &mut Command, input: &str) -> Result<()> {
    let program = command.get_program().to_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let mut stdin = child.stdin.take().context("a piped stdin")?;
    stdin.write_all(input.as_bytes()).context("hand over the script")?;
    stdin.write_all(b"\n").context("hand over the script")?;
    drop(stdin);
    let output = child.wait_with_output().with_context(|| format!("wait for {}", program.display()))?;
    if !output.status.success() {
        bail!("{} failed: {}\n{input}", program.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// What `nft` answers in the namespace of the calling thread.
pub fn nft_list(arguments: [&str; 5]) -> Result<String> {
    let output = Command::new("nft").args(arguments).output().context("start nft")?;
    if !output.status.success() {
        bail!("nft {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
