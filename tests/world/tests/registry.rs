//! The registry over raw HTTP, and with a real Docker engine in namespaces of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use world::faults::{Effect, Fault, Faults};
use world::ledger::{Event, Ledger};
use world::registry::{Image, ImageOptions, Registry};
use world::s3::Serving;

const REPOSITORY: &str = "semitechnologies/weaviate";
const TAG: &str = "1.39.0";

struct Bed {
    image: Image,
    ledger: Arc<Ledger>,
    serving: Serving,
}

fn start_on(address: &str, image: Image, faults: Vec<Fault>) -> Bed {
    let ledger = Arc::new(Ledger::default());
    let faults = Arc::new(Faults::new(faults));
    let registry = Registry::from_image(image.clone(), REPOSITORY, TAG, Arc::clone(&ledger), faults);
    let listener = std::net::TcpListener::bind(address).expect("a port");
    let serving = registry.serve(listener).expect("a server");
    Bed { image, ledger, serving }
}

fn start(faults: Vec<Fault>) -> Bed {
    let image = Image::of_binary(b"a static binary", &ImageOptions::default()).expect("an image");
    start_on("127.0.0.1:0", image, faults)
}

impl Bed {
    async fn send(&self, method: reqwest::Method, path: &str) -> reqwest::Result<reqwest::Response> {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        client.request(method, format!("http://{}{path}", self.serving.address)).send().await
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.send(reqwest::Method::GET, path).await.expect("an answer")
    }
}

fn digest_of(bytes: &[u8]) -> String {
    let hex: Vec<_> = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

#[tokio::test]
async fn everything_is_found_by_the_digest_of_what_names_it() {
    let bed = start(Vec::new());
    assert_eq!(bed.get("/v2/").await.status(), 200);
    let by_tag = bed.get(&format!("/v2/{REPOSITORY}/manifests/{TAG}")).await;
    assert_eq!(by_tag.headers()["content-type"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(by_tag.headers()["docker-content-digest"], bed.image.digest());
    let bytes = by_tag.bytes().await.expect("a manifest");
    assert_eq!(digest_of(&bytes), bed.image.digest());
    let by_digest = format!("/v2/{REPOSITORY}/manifests/{}", bed.image.digest());
    assert_eq!(bed.get(&by_digest).await.bytes().await.expect("a manifest"), bytes);
    let head = bed.send(reqwest::Method::HEAD, &by_digest).await.expect("an answer");
    assert_eq!(head.headers()["content-length"], bytes.len().to_string().as_str());

    let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
    for about in [&manifest["config"], &manifest["layers"][0]] {
        let digest = about["digest"].as_str().expect("a digest");
        let blob = bed.get(&format!("/v2/{REPOSITORY}/blobs/{digest}")).await.bytes().await.expect("a blob");
        assert_eq!((digest_of(&blob).as_str(), &about["size"]), (digest, &blob.len().into()));
    }
    for (path, code) in [
        (format!("/v2/{REPOSITORY}/manifests/9.9.9"), "MANIFEST_UNKNOWN"),
        (format!("/v2/{REPOSITORY}/blobs/sha256:00"), "BLOB_UNKNOWN"),
        (format!("/v2/nobody/nothing/manifests/{TAG}"), "NAME_UNKNOWN"),
    ] {
        let refused = bed.get(&path).await;
        assert_eq!(refused.status(), 404);
        assert_eq!(refused.json::<Value>().await.expect("JSON")["errors"][0]["code"], code);
    }
}

#[tokio::test]
async fn the_same_binary_gives_the_same_digest() {
    let of = |bytes: &[u8]| Image::of_binary(bytes, &ImageOptions::default()).expect("an image");
    assert_eq!(of(b"one").digest(), of(b"one").digest());
    assert_ne!(of(b"one").digest(), of(b"two").digest());
}

#[tokio::test]
async fn faults_hit_and_are_recorded() {
    let fault = |call: &str, effect| Fault { times: Some(1), ..Fault::on(call, effect) };
    let bed = start(vec![
        fault("registry:Ping", Effect::Throttled),
        fault("registry:GetManifest", Effect::Absent),
        fault("registry:GetBlob", Effect::Truncated { bytes: 10 }),
        fault("registry:ListTags", Effect::Reset { acted: false }),
    ]);
    assert_eq!(bed.get("/v2/").await.status(), 429);
    assert_eq!(bed.get("/v2/").await.status(), 200);
    let manifest = format!("/v2/{REPOSITORY}/manifests/{TAG}");
    assert_eq!(bed.get(&manifest).await.status(), 404);
    let text = bed.get(&manifest).await.json::<Value>().await.expect("JSON");
    let blob = format!("/v2/{REPOSITORY}/blobs/{}", text["config"]["digest"].as_str().expect("a digest"));
    assert!(bed.get(&blob).await.bytes().await.is_err());
    assert!(bed.get(&blob).await.bytes().await.is_ok());
    let tags = format!("/v2/{REPOSITORY}/tags/list");
    assert!(bed.send(reqwest::Method::GET, &tags).await.is_err());
    let calls: Vec<_> = bed
        .ledger
        .events()
        .into_iter()
        .map(|seen| match seen.event {
            Event::Call { service, operation, status, .. } => (service, operation, status),
            other => panic!("{other:?}"),
        })
        .collect();
    let wanted = [
        ("Ping", 429),
        ("Ping", 200),
        ("GetManifest", 404),
        ("GetManifest", 200),
        ("GetBlob", 200),
        ("GetBlob", 200),
        ("ListTags", 0),
    ];
    assert_eq!(calls, wanted.map(|(name, status)| ("registry".to_owned(), name.to_owned(), status)));
}

/// Starts the test below where it can do no harm: network, mounts and processes of its own, all of which
/// go with it.
#[test]
fn a_real_docker_engine_pulls_and_loads_the_image() {
    let this = std::env::current_exe().expect("our own path");
    let output = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--propagation=private",
        ])
        .arg(this)
        .args(["--exact", "with_docker_inside", "--ignored", "--nocapture"])
        .env("WORLD_IN_NAMESPACES", "1")
        .output()
        .expect("unshare runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a_real_docker_engine_pulls_and_loads_the_image in namespaces of its own"]
async fn with_docker_inside() {
    assert!(std::env::var_os("WORLD_IN_NAMESPACES").is_some(), "this needs namespaces of its own");
    let root = tempfile::tempdir().expect("a directory");
    let binary = static_binary(root.path());
    let image = Image::of_binary(&binary, &ImageOptions::default()).expect("an image");
    run("ip", &["link", "set", "lo", "up"]);
    run("ip", &["address", "add", "10.0.8.10/32", "dev", "lo"]);
    let bed = start_on("10.0.8.10:5000", image, Vec::new());
    let socket = format!("unix://{}", root.path().join("docker.sock").display());
    let _engine = engine(root.path(), &socket);
    let docker = |arguments: &[&str]| run("docker", &[&["--host", &socket], arguments].concat());

    let name = format!("10.0.8.10:5000/{REPOSITORY}");
    docker(&["pull", &format!("{name}:{TAG}")]);
    docker(&["pull", &format!("{name}@{}", bed.image.digest())]);
    let id = docker(&["inspect", "--format", "{{.Id}}", &format!("{name}:{TAG}")]);
    assert_eq!(id.trim(), bed.image.id());
    let digests = docker(&["inspect", "--format", "{{.RepoDigests}}", &format!("{name}:{TAG}")]);
    assert!(digests.contains(bed.image.digest()), "{digests}");
    let said = docker(&["run", "--rm", "--network", "none", &format!("{name}:{TAG}")]);
    assert_eq!(said.trim(), "--host 0.0.0.0 --port 8080 --scheme http");

    docker(&["rmi", "--force", id.trim()]);
    let file = root.path().join("image.tar");
    bed.image.archive(&file, "loaded:1.39.0").expect("an archive");
    docker(&["load", "--input", &file.display().to_string()]);
    assert_eq!(docker(&["inspect", "--format", "{{.Id}}", "loaded:1.39.0"]).trim(), bed.image.id());
    let said = docker(&["run", "--rm", "--network", "none", "loaded:1.39.0", "other"]);
    assert_eq!(said.trim(), "other");
}

/// Prints its arguments.
fn static_binary(root: &Path) -> Vec<u8> {
    let source = root.join("print.rs");
    let program = r#"fn main() { println!("{}", std::env::args().skip(1).collect::<Vec<_>>().join(" ")) }"#;
    std::fs::write(&source, program).expect("written");
    let binary = root.join("print");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let (source, output) = (source.display().to_string(), binary.display().to_string());
    run(&rustc, &["-Ctarget-feature=+crt-static", "-Copt-level=1", "-o", &output, &source]);
    std::fs::read(binary).expect("a binary")
}

/// An engine that dies with us: we are the parent of all processes of this namespace.
struct Engine(std::process::Child);

impl Drop for Engine {
    fn drop(&mut self) {
        let id = nix::unistd::Pid::from_raw(self.0.id().try_into().expect("a process id"));
        // It may have gone already.
        let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

fn engine(root: &Path, socket: &str) -> Engine {
    let path = |name: &str| root.join(name).display().to_string();
    run("mount", &["-t", "tmpfs", "run", "/run"]);
    let log = std::fs::File::create(path("dockerd.log")).expect("a log");
    let child = Command::new("dockerd")
        .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
        .args(["--host", socket, "--bip", "172.31.254.1/24", "--insecure-registry", "10.0.8.10:5000"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("dockerd starts");
    let engine = Engine(child);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let ready = Command::new("docker").args(["--host", socket, "version"]).output().expect("docker runs");
        if ready.status.success() {
            return engine;
        }
        let log = std::fs::read_to_string(path("dockerd.log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "no engine after 30 s: {log}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}{error}");
    text
}
