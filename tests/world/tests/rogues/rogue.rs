//! A machine in a world, and somebody in it who does what the agent never must.

use std::path::{Path, PathBuf};
use std::time::Duration;

use world::case::Scene;
use world::stage::{Programs, Stage};

const PATIENCE: Duration = Duration::from_secs(30);

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
  } | curl -sS -m 10 -K - --aws-sigv4 "aws:amz:eu-central-1:$service" "$@"
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
        let scene: Scene = toml::from_str(scene).expect("a scene");
        Self { stage: Stage::set(&programs(), &scene).await.expect("a stage") }
    }

    /// Runs a script in the machine; what it prints. One that fails fails the test.
    pub async fn sh(&self, script: &str) -> String {
        let shell = self.stage.machine.command("sh").expect("the machine runs");
        shell.args(["-euc", script]).succeed(PATIENCE).await.expect("the rogue's script")
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

    /// Any request to S3; the status.
    pub async fn s3(&self, method: &str, path: &str, body: &str) -> String {
        self.sh(&format!(
            "{SIGNED}hash=$(printf '%s' '{body}' | sha256sum | cut -d ' ' -f 1)\n\
             signed s3 -X {method} -H \"x-amz-content-sha256: $hash\" -H 'content-type: application/json' \
             --data-binary '{body}' -o /tmp/answer -w '%{{http_code}}' http://10.0.8.9/{path}; cat /tmp/answer >&2"
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

/// The verdict holds this sentence.
pub fn condemned(verdict: &[String], words: &[&str]) {
    assert!(
        verdict.iter().any(|sentence| words.iter().all(|word| sentence.contains(word))),
        "the judge did not see {words:?}; its verdict: {verdict:#?}"
    );
}

/// Nothing else than sentences with these words.
pub fn only(verdict: &[String], words: &[&str]) {
    condemned(verdict, words);
    let others: Vec<_> =
        verdict.iter().filter(|sentence| !words.iter().all(|word| sentence.contains(word))).collect();
    assert!(others.is_empty(), "beside {words:?} the judge saw {others:#?}");
}
