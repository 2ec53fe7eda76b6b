//! Where a machine's volumes lie: a tmpfs in a mount namespace that nobody else sees.
//!
//! ```text
//!  thread ── unshare(NEWNS) ── tmpfs on /run ──▶ descriptors of the namespace and of the tmpfs
//! ```
//! Both are held by descriptors only. When the world dies the kernel frees namespace, tmpfs and all in it;
//! there is nothing on the host to clean up, and the host's own mount table is never touched.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

/// The store as seen by who entered its mount namespace.
pub const MOUNTED: &str = "/run";

/// A tmpfs and the mount namespace that knows it.
#[derive(Debug)]
pub struct Store {
    namespace: File,
    directory: File,
}

impl Store {
    pub fn new() -> Result<Self> {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNS).context("make a mount namespace (root is needed)")?;
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).context("make mounts private")?;
            mount(Some("world"), MOUNTED, Some("tmpfs"), MsFlags::empty(), Some("mode=0755,size=75%"))
                .context("mount the store's tmpfs")?;
            let directory = OpenOptions::new()
                .read(true)
                .custom_flags(nix::libc::O_DIRECTORY)
                .open(MOUNTED)
                .context("open the store")?;
            let namespace = File::open("/proc/thread-self/ns/mnt").context("open the mount namespace")?;
            Ok(Self { namespace, directory })
        };
        std::thread::spawn(make).join().map_err(|_| anyhow!("the store's thread panicked"))?
    }

    /// The store as seen by every process of the host while the world lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.directory.as_raw_fd()))
    }

    /// Runs `act` on a thread that sees the store at [`MOUNTED`] and the host everywhere else.
    pub fn enter<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                // A thread may change its mounts only when it shares its root directory with no other.
                unshare(CloneFlags::CLONE_FS).context("leave the shared root directory")?;
                setns(&self.namespace, CloneFlags::CLONE_NEWNS).context("enter the store's namespace")?;
                act()
            });
            inside.join().map_err(|_| anyhow!("a thread in the store's namespace panicked"))?
        })
    }
}

/// Writes a file and the directories above it.
pub(super) fn put(path: &Path, contents: impl AsRef<[u8]>) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    }
    std::fs::write(path, contents).with_context(|| format!("write {}", path.display()))
}
