//! A Docker Engine of the test's own: in its network and process namespaces, killed with the test's thread.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::mount::{MsFlags, mount};

use crate::host::Host;

/// On `lo`, as the fixed address is before the interface is attached.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

pub struct Engine {
    pub root: tempfile::TempDir,
    daemon: Child,
    proc: PathBuf,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Its first process ends the whole process namespace: containerd, shims and containers.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        crate::disk::tests::detach(self.root.path(), &["mount", "run", "docker"]);
    }
}

pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Engine {
    pub async fn start() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        for name in ["mount", "run", "docker"] {
            let at = root.path().join(name);
            std::fs::create_dir(&at).expect("makes");
            mount(Some("tmpfs"), &at, Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("a tmpfs");
        }
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("root may unshare");
        run("ip", &["link", "set", "lo", "up"]);
        run("ip", &["address", "add", &format!("{ADDRESS}/32"), "dev", "lo"]);
        let path = |name: &str| root.path().join(name).display().to_string();
        let log = std::fs::File::create(root.path().join("dockerd.log")).expect("makes");
        // The thread's end kills `unshare`, and that its child, the first process of the namespace.
        let daemon = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["dockerd", "--storage-driver", "vfs", "--bip", "172.29.0.1/24"])
            .args(["--data-root", &path("docker/data"), "--exec-root", &path("docker/exec")])
            .args(["--pidfile", &path("docker/pid"), "--host", &format!("unix://{}", path("docker.sock"))])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("clones"))
            .stderr(log)
            .spawn()
            .expect("starts");
        let mut engine = Self { proc: PathBuf::new(), root, daemon };
        let end = std::time::Instant::now() + Duration::from_mins(1);
        while !engine.answers() {
            let said = std::fs::read_to_string(engine.root.path().join("dockerd.log")).unwrap_or_default();
            assert!(std::time::Instant::now() < end, "dockerd does not answer: {said}");
            assert!(engine.daemon.try_wait().expect("waits").is_none(), "dockerd ended: {said}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let children = format!("/proc/{0}/task/{0}/children", engine.daemon.id());
        let child = std::fs::read_to_string(children).expect("reads");
        engine.proc = PathBuf::from(format!("/proc/{}/root/proc", child.trim()));
        engine
    }

    fn answers(&self) -> bool {
        let socket = format!("unix://{}", self.root.path().join("docker.sock").display());
        let asked = Command::new("docker").args(["--host", &socket, "version"]).output();
        asked.is_ok_and(|output| output.status.success())
    }

    pub fn docker(&self, arguments: &[&str]) -> String {
        let socket = format!("unix://{}", self.root.path().join("docker.sock").display());
        run("docker", &[["--host", &socket].as_slice(), arguments].concat())
    }

    /// An archive as `docker save` makes it, of an image that the engine does not have.
    pub fn image(&self) -> PathBuf {
        let tree = self.root.path().join("tree");
        std::fs::create_dir_all(tree.join("bin")).expect("makes");
        let program = tree.join("bin/weaviate").display().to_string();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/container/tests/server.rs");
        run("rustc", &["--edition", "2024", "-C", "target-feature=+crt-static", "-o", &program, source]);
        let path = |name: &str| self.root.path().join(name).display().to_string();
        // As first process of its namespace the program does not end by SIGTERM, and needs no time to end.
        let recipe = "FROM scratch\nCOPY bin /bin\nENTRYPOINT [\"/bin/weaviate\"]\nSTOPSIGNAL SIGKILL\n";
        std::fs::write(tree.join("Dockerfile"), recipe).expect("writes");
        self.docker(&["build", "--quiet", "--tag", "server:1", &path("tree")]);
        self.docker(&["save", "--output", &path("image.tar"), "server:1"]);
        self.docker(&["image", "rm", "server:1"]);
        self.root.path().join("image.tar")
    }

    pub fn host(&self, over: &str) -> Host {
        let mut host = crate::disk::tests::host(self.root.path(), over);
        host.roots.proc.clone_from(&self.proc);
        host
    }
}
