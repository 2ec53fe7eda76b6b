//! From an empty process to an instance: its mounts, its devices, its first process.
//!
//! ```text
//!  store ─▶ unshare(mnt net uts ipc pid) ─▶ overlay (host below, root volume above) ─▶ /dev /run /sys
//!        ─▶ pivot_root ─▶ bash as pid 1: /proc, boot_id, "ready", then it reaps until its stdin closes
//! ```
//! The world holds that stdin: when the world dies, pid 1 reads its end, exits, and the kernel kills
//! everything in the pid namespace. No process, mount or interface outlives it.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, fchmodat, makedev, mknod};
use nix::unistd::{pivot_root, sethostname};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::process::Process;
use super::store::{MOUNTED, Store};

/// Bash, because it reaps the orphans it inherits; /proc can be mounted only by a process of the namespace.
const INIT: &str = "\
mount -t proc proc /proc && mount --bind /run/world-boot-id /proc/sys/kernel/random/boot_id && echo ready
while read -r _; do :; done";

const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that a boot needs, read off the machine before a thread is sent into its namespaces.
pub(super) struct Boot {
    pub hostname: String,
    /// The root volume's directory, relative to the store.
    pub volume: String,
    /// What is made anew at each boot (boot id, sysfs), relative to the store.
    pub fresh: String,
    /// Device nodes of the disks: name under /dev, number.
    pub nodes: Vec<(String, u64)>,
    /// Directories of the host that must be seen, whichever file system holds them.
    pub share: Vec<PathBuf>,
}

/// Starts the machine's first process and waits until its /proc is there.
pub(super) async fn launch(store: &Store, boot: &Boot) -> Result<Process> {
    let runtime = tokio::runtime::Handle::current();
    let child = store.enter(|| {
        use CloneFlags as C;
        unshare(C::CLONE_NEWNS | C::CLONE_NEWNET | C::CLONE_NEWUTS | C::CLONE_NEWIPC | C::CLONE_NEWPID)
            .context("make the machine's namespaces")?;
        sethostname(&boot.hostname).context("name the host")?;
        assemble(boot)?;
        let _runtime = runtime.enter();
        Command::new("/bin/bash")
            .args(["-c", INIT])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("start the machine's first process")
    })?;
    let mut init = Process::watch(child)?;
    let mut lines = BufReader::new(init.stdout.take().context("a piped stdout")?).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.context("the machine's first process is silent")?;
    match line.context("wait for the machine's first process")? {
        Some(line) if line == "ready" => Ok(init),
        other => bail!("the machine's first process did not come up: {other:?}"),
    }
}

fn assemble(boot: &Boot) -> Result<()> {
    let Boot { hostname: _, volume, fresh, nodes, share } = boot;
    let (volume, fresh) = (Path::new(MOUNTED).join(volume), Path::new(MOUNTED).join(fresh));
    let root = Path::new(MOUNTED).join("root");
    std::fs::create_dir_all(&root).context("make the mount point of the root")?;
    let layers = format!(
        "lowerdir=/,upperdir={},workdir={}",
        volume.join("upper").display(),
        volume.join("work").display()
    );
    mount(Some("root"), &root, Some("overlay"), MsFlags::empty(), Some(layers.as_str()))
        .context("mount the root volume over the host's root")?;
    bind(Path::new("/sys"), &root.join("sys"), MsFlags::MS_REC)?;
    devices(&root.join("dev"), nodes)?;
    let run = root.join("run");
    tmpfs(&run, "mode=0755")?;
    std::fs::create_dir(run.join("lock")).context("make /run/lock")?;
    std::fs::copy(fresh.join("boot_id"), run.join("world-boot-id")).context("place the boot id")?;
    let sysfs = run.join("world-sysfs");
    std::fs::create_dir(&sysfs).context("make the mount point of the sysfs tree")?;
    bind(&fresh.join("sysfs"), &sysfs, MsFlags::empty())?;
    // Docker's own overlays cannot lie on an overlay.
    let docker = root.join("var/lib/docker");
    std::fs::create_dir_all(&docker).context("make /var/lib/docker")?;
    bind(&volume.join("docker"), &docker, MsFlags::empty())?;
    for host in share {
        show(host, &root)?;
    }
    std::env::set_current_dir(&root).context("go to the new root")?;
    pivot_root(".", ".").context("make it the root")?;
    umount2(".", MntFlags::MNT_DETACH).context("let the old root go")?;
    std::env::set_current_dir("/").context("go to the root")
}

/// Shows a directory of the host, read-only. On the root file system it is seen through the overlay already.
fn show(host: &Path, root: &Path) -> Result<()> {
    let device = |path: &Path| Ok::<_, anyhow::Error>(path.metadata()?.dev());
    if device(host).with_context(|| format!("look at {}", host.display()))? == device(Path::new("/"))? {
        return Ok(());
    }
    let inside = root.join(host.strip_prefix("/").unwrap_or(host));
    std::fs::create_dir_all(&inside).with_context(|| format!("make {}", inside.display()))?;
    bind(host, &inside, MsFlags::empty())?;
    let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, &inside, None::<&str>, again, None::<&str>)
        .with_context(|| format!("make {} read-only", host.display()))
}

fn devices(dev: &Path, disks: &[(String, u64)]) -> Result<()> {
    tmpfs(dev, "mode=0755")?;
    let node = |name: &str, kind, mode, number| {
        let path = dev.join(name);
        let mode = Mode::from_bits_truncate(mode);
        mknod(&path, kind, mode, number).with_context(|| format!("make /dev/{name}"))?;
        // mknod obeys the umask.
        let follow = nix::sys::stat::FchmodatFlags::FollowSymlink;
        fchmodat(nix::fcntl::AT_FDCWD, &path, mode, follow)
            .with_context(|| format!("open /dev/{name} to all"))
    };
    for (name, major, minor) in [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
        ("console", 5, 1),
    ] {
        node(name, SFlag::S_IFCHR, 0o666, makedev(major, minor))?;
    }
    for (name, number) in disks {
        node(name, SFlag::S_IFBLK, 0o660, *number)?;
    }
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(name)).with_context(|| format!("link /dev/{name}"))?;
    }
    let (pts, shm) = (dev.join("pts"), dev.join("shm"));
    std::fs::create_dir(&pts).context("make /dev/pts")?;
    let options = Some("newinstance,ptmxmode=0666,mode=0620");
    mount(Some("devpts"), &pts, Some("devpts"), MsFlags::empty(), options).context("mount /dev/pts")?;
    std::fs::create_dir(&shm).context("make /dev/shm")?;
    tmpfs(&shm, "mode=1777")
}

fn tmpfs(at: &Path, options: &str) -> Result<()> {
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(options))
        .with_context(|| format!("mount a tmpfs on {}", at.display()))
}

fn bind(from: &Path, to: &Path, flags: MsFlags) -> Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND | flags, None::<&str>)
        .with_context(|| format!("bind {} to {}", from.display(), to.display()))
}
