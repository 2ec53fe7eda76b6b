//! The decision table, and a real disk: a loop device behind a tree like sysfs, in mounts that end with the test.

use std::future::Future;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use nix::mount::{MsFlags, mount};

use super::record::{Found, SCHEMA};
use super::*;
use crate::config::{Settings as Configuration, merge};
use crate::host::{Host, Roots};
use crate::report::Status;
use crate::tests::make::reopened;
use crate::tests::rows::every_variant;

const MODEL: &str = "Amazon EC2 NVMe Instance Storage";

/// A host whose directories all lie in `root`; `over` is laid over the smallest configuration.
pub(crate) fn host(root: &Path, over: &str) -> Host {
    let mut table: toml::Table = r#"
        [node]
        deployment = "acme"
        name = "weaviate-0"
        [network]
        eni = { private_ip = "127.0.0.1" }
        [weaviate]
        image = "server:1"
        keys = { admin = "sm:weaviate/admin" }
        [backup]
        bucket = "acme-weaviate"
    "#
    .parse()
    .expect("TOML");
    let mount = format!("[storage]\nmount = {:?}", root.join("mount").display().to_string());
    for text in [mount.as_str(), over] {
        merge(&mut table, text.parse().expect("TOML"));
    }
    let roots = Roots {
        sysfs: root.join("sys"),
        dev: root.join("dev"),
        state: root.join("state"),
        run: root.join("run"),
        docker_socket: root.join("docker.sock"),
        ..Roots::default()
    };
    // Of a test with several configurations, the one before was closed just now.
    let journal = Arc::new(reopened(&roots.state).expect("the journal opens"));
    Host::new(Configuration::check(table).expect("checks"), roots, journal, Status::default())
}

pub(crate) fn record(uuid: &str, serial: &str) -> Record {
    Record {
        schema: SCHEMA,
        deployment: "acme".into(),
        node: "weaviate-0".into(),
        instance_id: "i-1".into(),
        uuid: uuid.into(),
        serials: vec![serial.into()],
        nonce: "0123".into(),
        restored: None,
        clean_stop: None,
        served: None,
        ended_in_order: false,
    }
}

fn disk(serial: &str) -> Disk {
    Disk { serial: serial.into(), node: "/dev/nvme1n1".into(), number: (259, 1), bytes: 1 << 30 }
}

#[test]
#[allow(clippy::too_many_lines)] // A table: one row per case.
fn every_plan_has_its_facts() {
    let (one, at) = (disk("AWS1"), PathBuf::from("/mnt"));
    let device = one.device();
    let ours = |peek: Peek| Content::Ours { uuid: "u".into(), peek };
    let inside = |record: Found, data_empty: bool| ours(Peek::Inside { record, data_empty });
    let here = |change: fn(&mut Record)| {
        let mut record = record("u", "AWS1");
        change(&mut record);
        inside(Found::Here(Box::new(record)), false)
    };
    let base = || Facts {
        deployment: "acme".into(),
        node: "weaviate-0".into(),
        instance_id: "i-1".into(),
        model: MODEL.into(),
        mount: at.clone(),
        mountpoint: Mountpoint::Free,
        disks: vec![one.clone()],
        content: Content::Blank,
        held: None,
        named: false,
    };
    let named = |facts: Facts| Facts { named: true, ..facts };
    let free = |content: Content| Facts { content, ..base() };
    let mounted = |content: Content| Facts { content, mountpoint: Mountpoint::Mounted { device }, ..base() };
    let refused = |what: &str| Plan::RefuseRecord { disk: one.clone(), what: what.into() };
    let format = |again| Plan::Format { disk: one.clone(), again };
    let mounts = || Plan::Mount { disk: one.clone(), mount: at.clone(), record: None };
    let known =
        Plan::Mount { disk: one.clone(), mount: at.clone(), record: Some(Box::new(record("u", "AWS1"))) };
    let occupied = |what: &str| Plan::RefuseMountpoint { mount: at.clone(), what: what.into() };
    let uses = Plan::Use { disk: one.clone(), uuid: "u".into(), record: Box::new(record("u", "AWS1")) };
    let rows = [
        (Facts { disks: vec![], ..base() }, Plan::RefuseNone { model: MODEL.into() }),
        (
            Facts { disks: vec![disk("AWS1"), disk("AWS2")], ..base() },
            Plan::RefuseSeveral { serials: vec!["AWS1".into(), "AWS2".into()] },
        ),
        (free(Content::Blank), format(false)),
        (free(Content::Unfinished), format(true)),
        (
            free(Content::Foreign { what: "ext4".into() }),
            Plan::RefuseForeign { disk: one.clone(), what: "ext4".into() },
        ),
        (
            mounted(Content::Foreign { what: "ext4".into() }),
            Plan::RefuseForeign { disk: one.clone(), what: "ext4".into() },
        ),
        (
            Facts { held: Some("swap".into()), ..base() },
            Plan::RefuseBusy { disk: one.clone(), holder: "swap".into() },
        ),
        (
            Facts { mountpoint: Mountpoint::Mounted { device: 7 }, ..base() },
            occupied("has the device 0:7 mounted on it"),
        ),
        (
            Facts { mountpoint: Mountpoint::Files { first: "data".into() }, ..base() },
            occupied("holds files already (data)"),
        ),
        (free(here(|_| {})), known.clone()),
        // The log was not replayed for the look: the record may only be in it.
        (free(inside(Found::Absent, true)), mounts()),
        (free(inside(Found::Absent, false)), mounts()),
        (mounted(here(|_| {})), uses),
        (mounted(inside(Found::Absent, true)), Plan::Complete { disk: one.clone(), uuid: "u".into() }),
        (mounted(inside(Found::Absent, false)), refused("holds data but no identity.json")),
        (
            mounted(inside(Found::Corrupt("x".into()), false)),
            refused("has an identity.json that nobody of us wrote (x)"),
        ),
        (
            free(inside(Found::Corrupt("x".into()), false)),
            refused("has an identity.json that nobody of us wrote (x)"),
        ),
        (
            free(inside(Found::Unreadable("x".into()), false)),
            refused("has an identity.json that cannot be read (x)"),
        ),
        (
            free(ours(Peek::Unmountable { why: "x".into() })),
            refused("carries our file system, which cannot be mounted (x)"),
        ),
        // After a power cut: what this instance has written is looked at again once its log is replayed.
        (named(free(ours(Peek::Unmountable { why: "x".into() }))), mounts()),
        (named(free(inside(Found::Corrupt("x".into()), false))), mounts()),
        (named(free(inside(Found::Unreadable("x".into()), false))), mounts()),
        (
            named(mounted(inside(Found::Corrupt("x".into()), false))),
            refused("has an identity.json that nobody of us wrote (x)"),
        ),
        (
            named(mounted(inside(Found::Unreadable("x".into()), false))),
            refused("has an identity.json that cannot be read (x)"),
        ),
        (
            named(free(here(|r| r.node = "weaviate-1".into()))),
            refused("says that it belongs to the node weaviate-1, not weaviate-0"),
        ),
        (mounted(Content::Blank), refused("is mounted, but its superblock is not ours any more")),
        (
            free(here(|r| r.deployment = "other".into())),
            refused("says that it belongs to the deployment other, not acme"),
        ),
        (
            mounted(here(|r| r.node = "weaviate-1".into())),
            refused("says that it belongs to the node weaviate-1, not weaviate-0"),
        ),
        (
            free(here(|r| r.instance_id = "i-2".into())),
            refused("says that it belongs to the instance i-2, not i-1"),
        ),
        (free(here(|r| r.uuid = "v".into())), refused("says that it belongs to the file system v, not u")),
        (
            free(here(|r| r.serials = vec!["AWS9".into()])),
            refused("says that it was made on the disk AWS9, not AWS1"),
        ),
    ];
    for (facts, expected) in &rows {
        assert_eq!(decide(facts), *expected, "{facts:?}");
        assert!(!expected.to_string().is_empty());
    }
    every_variant!(
        rows.map(|(_, expected)| expected),
        crate::disk::Plan {
            Format,
            Mount,
            Complete,
            Use,
            RefuseNone,
            RefuseSeveral,
            RefuseForeign,
            RefuseMountpoint,
            RefuseBusy,
            RefuseRecord,
        }
    );
}

/// Runs `work` in a mount namespace of a thread of its own: whatever it mounts ends with it.
pub(crate) fn in_private_mounts<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) {
    let thread = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("root may unshare");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .expect("mounts become private");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(work());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A machine with NVMe disks made of loop devices, which end when the last handle is closed.
pub(crate) struct Machine {
    pub root: tempfile::TempDir,
    /// Held open: the last close frees the device.
    loops: Vec<std::fs::File>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        detach(self.root.path(), &["mount", "dev", "run"]);
    }
}

/// So that the directory can be removed: what is mounted in it would stay until the thread's end.
pub(crate) fn detach(root: &Path, names: &[&str]) {
    for name in names {
        let _ = nix::mount::umount2(&root.join(name), nix::mount::MntFlags::MNT_DETACH);
    }
}

impl Machine {
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        for name in ["sys/class/nvme", "dev", "run"] {
            std::fs::create_dir_all(root.path().join(name)).expect("makes");
        }
        // Device nodes need a file system that allows them.
        for name in ["dev", "run"] {
            mount(Some("tmpfs"), &root.path().join(name), Some("tmpfs"), MsFlags::empty(), None::<&str>)
                .expect("a tmpfs");
        }
        Self { root, loops: Vec::new() }
    }

    /// Adds a disk of 320 MiB (mkfs.xfs refuses less than 300) and returns its node.
    pub fn disk(&mut self, index: usize, model: &str, serial: &str) -> PathBuf {
        let backing = self.root.path().join(format!("disk{index}"));
        std::fs::File::create(&backing).and_then(|f| f.set_len(320 << 20)).expect("a sparse file");
        let shown =
            Command::new("losetup").args(["--find", "--show"]).arg(&backing).output().expect("losetup");
        let device = String::from_utf8(shown.stdout).expect("text").trim().to_owned();
        assert!(device.starts_with("/dev/loop"), "{}", String::from_utf8_lossy(&shown.stderr));
        let handle = std::fs::File::open(&device).expect("opens");
        // While the handle is open this only marks it: the kernel frees it at the last close.
        let marked = Command::new("losetup").args(["-d", &device]).status().expect("losetup");
        assert!(marked.success());
        let number = handle.metadata().expect("is there").rdev();
        self.loops.push(handle);
        let node = self.root.path().join(format!("dev/nvme{index}n1"));
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        nix::sys::stat::mknod(&node, nix::sys::stat::SFlag::S_IFBLK, mode, number).expect("mknod");
        let controller = self.root.path().join(format!("sys/class/nvme/nvme{index}"));
        let block = controller.join(format!("nvme{index}n1"));
        std::fs::create_dir_all(&block).expect("makes");
        let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
        for (path, text) in [
            (controller.join("model"), format!("{model:<40}\n")),
            (controller.join("serial"), format!("{serial:<20}\n")),
            (block.join("dev"), format!("{major}:{minor}\n")),
            (block.join("size"), format!("{}\n", (320 << 20) / 512)),
        ] {
            std::fs::write(path, text).expect("writes");
        }
        node
    }

    fn bytes(&self, index: usize) -> String {
        let sum = Command::new("sha256sum").arg(self.root.path().join(format!("disk{index}"))).output();
        String::from_utf8(sum.expect("sha256sum").stdout).expect("text")
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("starts");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A child of another test, between fork and exec, may hold a file for a moment.
fn unmount(path: &Path) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while let Err(error) = nix::mount::umount(path) {
        assert!(std::time::Instant::now() < end, "{}: {error}", path.display());
        std::thread::yield_now();
    }
}

fn me() -> crate::instance::Identity {
    crate::instance::Identity::for_tests("i-1")
}

#[path = "real_tests.rs"]
mod real;
#[path = "trouble_tests.rs"]
mod trouble;
