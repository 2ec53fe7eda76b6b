//! A machine in a world, and somebody in it who does what the agent never must.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use world::case::Scene;
use world::judge::Rule;
use world::kill::shim;
use world::ledger::Event;
use world::stage::{Programs, Stage};

const PATIENCE: Duration = Duration::from_secs(30);
/// What the rogue sends: on a file system that nobody searches for what lies there.
const BODY: &str = "/dev/shm/body";

/// Signs with the credentials of the instance's role, which it asks the metadata service for. They pass through
/// pipes and never stand in an argument list: only who means to be caught by that is.
const SIGNED: &str = r#"set -eu
imds=http://169.254.169.254/latest
token=$(curl -sSf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $imds/api/token)
role=$(curl -sSf -m 5 -H "X-aws-ec2-metadata-token: $token" $imds/meta-data/iam/security-credentials/)
answer=$(curl -sSf -m 5 -H "X-aws-ec2-metadata-token: $token" $imds/meta-data/iam/security-credentials/$role)
field() { printf '%s' "$answer" | sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"; }
signed() {
  service=$1; shift
  { printf 'user = "%s:%s"\n' "$(field AccessKeyId)" "$(field SecretAccessKey)"
    printf 'header = "x-amz-security-token: %s"\n' "$(field Token)"
  } | curl -sS -m 10 -K - --aws-sigv4 "aws:amz:${region:-eu-central-1}:$service" "$@"
}
"#;

pub struct Rogue {
    pub stage: Stage,
}

pub fn programs() -> Programs {
    let world = Path::new(env!("CARGO_BIN_EXE_world"));
    let debug = world.parent().expect("the programs lie in a directory");
    let named = |variable: &str, built: PathBuf| {
        let path = std::env::var_os(variable).map_or(built, PathBuf::from);
        assert!(
            path.is_file(),
            "{} is missing: build it as scripts/test does, or name it in {variable}",
            path.display()
        );
        path
    };
    let target = format!("../{}-unknown-linux-gnu/release/weaviate-stand-in", std::env::consts::ARCH);
    Programs {
        repository: Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
        agent: named("WORLD_AGENT", debug.join("weaviate-provisioner")),
        server: named("WORLD_SERVER", debug.join(target)),
        archive: None,
    }
}

impl Rogue {
    /// In a world where nobody has the ENI.
    pub async fn awake() -> Self {
        Self::in_scene("").await
    }

    /// In a world as a case's `[scene]` has it.
    pub async fn in_scene(scene: &str) -> Self {
        Self::with(&programs(), scene).await
    }

    pub async fn with(programs: &Programs, scene: &str) -> Self {
        let scene: Scene = toml::from_str(scene).expect("a scene");
        Self { stage: Stage::set(programs, &scene).await.expect("a stage") }
    }

    /// Runs a script in the machine; what it prints. One that fails fails the test.
    pub async fn sh(&self, script: &str) -> String {
        let shell = self.stage.machine.command("sh").expect("the machine runs");
        // Its programs are looked at as those of the agent are.
        let shell = shell.args(["-euc", script]).env("PATH", shim::path());
        shell.succeed(PATIENCE).await.expect("the rogue's script")
    }

    /// Says what a failpoint of the agent says before it asks the kernel itself, and waits until it may go on.
    pub fn asks_the_kernel(&self, call: &str) {
        let socket = self.stage.machine.path(shim::SOCKET);
        let mut gate = UnixStream::connect(socket).expect("the gate listens");
        writeln!(gate, "kernel:{call}\tbefore").expect("a question");
        let mut answer = [0; 3];
        gate.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"go\n");
    }

    /// Writes without a program of the machine, whose arguments would tell.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.stage.machine.path(path);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("make the directory");
        std::fs::write(path, text).expect("write the file");
    }

    /// Waits until the world has seen this.
    pub async fn seen(&self, what: &str, wanted: impl Fn(&Event) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !self.stage.ledger.events().iter().any(|seen| wanted(&seen.event)) {
            assert!(Instant::now() < end, "the world has not seen {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the world has found this secret.
    pub async fn found(&self, secret: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.stage.planted.found().iter().any(|found| found.contains(secret)) {
            assert!(Instant::now() < end, "the world has not found the secret {secret}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A call of the query protocol; the answer's body, whatever its status.
    pub async fn query(&self, service: &str, action: &str, parameters: &[(&str, &str)]) -> String {
        let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("&{name}={value}")).collect();
        let pairs = pairs.concat();
        self.sh(&format!(
            "{SIGNED}signed {service} --data-binary 'Action={action}&Version=2016-11-15{pairs}' http://10.0.8.8/"
        ))
        .await
    }

    /// A call of a service that speaks JSON.
    pub async fn json(&self, service: &str, target: &str, body: &str) -> String {
        self.sh(&format!(
            "{SIGNED}signed {service} -H 'content-type: application/x-amz-json-1.1' -H 'x-amz-target: {target}' \
             --data-binary '{body}' http://10.0.8.8/"
        ))
        .await
    }

    /// The same of the query protocol, signed for another region.
    pub async fn query_in(&self, region: &str, service: &str, action: &str) -> String {
        self.sh(&format!(
            "{SIGNED}region={region}\n\
             signed {service} --data-binary 'Action={action}&Version=2016-11-15' http://10.0.8.8/"
        ))
        .await
    }

    /// Any request to S3; the status.
    pub async fn s3(&self, method: &str, path: &str, body: &str) -> String {
        self.s3_with("", method, path, body).await
    }

    /// The same with more arguments of curl, or with other settings before it.
    pub async fn s3_with(&self, more: &str, method: &str, path: &str, body: &str) -> String {
        self.write(BODY, body);
        let (settings, headers) = if more.starts_with('-') { ("", more) } else { (more, "") };
        self.sh(&format!(
            "{SIGNED}{settings}\nhash=$(sha256sum {BODY} | cut -d ' ' -f 1)\n\
             signed s3 -X {method} -H \"x-amz-content-sha256: $hash\" -H 'content-type: application/json' {headers} \
             --data-binary @{BODY} -o /run/answer -w '%{{http_code}}' http://10.0.8.9/{path}; cat /run/answer >&2"
        ))
        .await
    }

    /// The verdict; the world is taken down.
    pub async fn verdict(mut self) -> Vec<String> {
        let verdict = self.stage.verdict().await;
        self.stage.strike().await.expect("an end without remains");
        verdict
    }
}

/// Whether the sentence is of this rule and holds these words.
fn says(sentence: &str, rule: Rule, words: &[&str]) -> bool {
    sentence.starts_with(&format!("{rule}: ")) && words.iter().all(|word| sentence.contains(word))
}

/// The verdict holds this sentence.
pub fn condemned(verdict: &[String], rule: Rule, words: &[&str]) {
    assert!(
        verdict.iter().any(|sentence| says(sentence, rule, words)),
        "the judge did not see {rule} {words:?}; its verdict: {verdict:#?}"
    );
}

/// Nothing else than sentences with these words.
pub fn only(verdict: &[String], rule: Rule, words: &[&str]) {
    condemned(verdict, rule, words);
    let others: Vec<_> = verdict.iter().filter(|sentence| !says(sentence, rule, words)).collect();
    assert!(others.is_empty(), "beside {rule} {words:?} the judge saw {others:#?}");
}
