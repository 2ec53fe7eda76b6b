//! An image `FROM scratch` with a tiny static server, made at test time.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use world::machine::Machine;

pub const SHORT: Duration = Duration::from_secs(20);

const SERVER: &str = r#"
use std::io::{Read, Write};
fn main() {
    let ports = [8080, 50051];
    let serve = |port: u16| {
        let listener = std::net::TcpListener::bind(("0.0.0.0", port)).unwrap();
        println!("listening on {port}");
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).unwrap_or(0);
            if read == 0 { continue }
            let text = String::from_utf8_lossy(&buffer[..read]);
            // GET /metadata: what does a container see of 169.254.169.254?
            let body = if text.starts_with("GET /metadata") {
                let to = "169.254.169.254:80".parse().unwrap();
                match std::net::TcpStream::connect_timeout(&to, std::time::Duration::from_secs(1)) {
                    Ok(_) => "reached", Err(_) => "out of reach",
                }
            } else { "door" };
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        }
    };
    std::thread::spawn(move || serve(ports[1]));
    serve(ports[0]);
}
"#;

/// The server as a tar archive of a root file system, built once.
fn archive() -> &'static PathBuf {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let finished = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("door.tar");
        // Several test programs may build it at once; the rename is atomic.
        let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory to build in");
        let (source, binary, tar) =
            (work.path().join("door.rs"), work.path().join("door"), work.path().join("door.tar"));
        std::fs::write(&source, SERVER).expect("write the server");
        let built = Command::new("rustc")
            .args(["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-o"])
            .args([&binary, &source])
            .status();
        assert!(built.expect("start rustc").success(), "rustc");
        let packed = Command::new("tar").arg("-C").arg(work.path()).arg("-cf").arg(&tar).arg("door").status();
        assert!(packed.expect("start tar").success(), "tar");
        std::fs::rename(&tar, &finished).expect("put the archive in its place");
        finished
    })
}

/// The docker CLI of the host, on the machine's engine.
pub fn docker(machine: &Machine, args: &[&str]) -> String {
    let socket = format!("unix://{}", machine.docker_socket().expect("it runs").display());
    let output = Command::new("docker")
        .args(["-H", &socket])
        .args(args)
        .stdin(Stdio::null())
        .env_remove("DOCKER_HOST")
        .output()
        .expect("start docker");
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn import(machine: &Machine) {
    let tar = archive().display().to_string();
    docker(machine, &["import", "-c", "CMD [\"/door\"]", &tar, "door"]);
}

pub const BRIDGE: &str = "weaviate0";

/// A bridge of a fixed name and the door published on the ENI's address.
pub fn publish(machine: &Machine) {
    let name = format!("com.docker.network.bridge.name={BRIDGE}");
    docker(machine, &["network", "create", "--subnet", "172.31.254.0/24", "-o", &name, "weaviate"]);
    docker(
        machine,
        &[
            "run",
            "-d",
            "--name",
            "door",
            "--network",
            "weaviate",
            "-p",
            "10.0.2.15:8080:8080",
            "-p",
            "10.0.2.15:50051:50051",
            "door",
        ],
    );
}

/// Runs a program in the machine and expects success.
pub async fn sh(machine: &Machine, script: &str) -> String {
    let command = machine.command("/bin/sh").expect("it runs").args(["-ec", script]);
    command.succeed(SHORT).await.unwrap_or_else(|e| panic!("{script}: {e:#}"))
}
