//! Secrets in each place where they must not be.

use std::time::Duration;

use world::machine::Process;

use crate::rogue::{Rogue, condemned};

const IMAGE: &str = "10.0.8.10:5000/weaviate:1.39.0";
const STATE: &str = "/var/lib/weaviate-provisioner";
/// Longer than the watchers look away.
const A_WHILE: Duration = Duration::from_secs(1);

async fn end(mut process: Process) {
    tokio::time::sleep(A_WHILE).await;
    process.kill().await.expect("an end");
}

/// Writes without a program of the machine, whose arguments would tell.
fn write(rogue: &Rogue, path: &str, text: &str) {
    let path = rogue.stage.machine.path(path);
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("make the directory");
    std::fs::write(path, text).expect("write the file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_each_place_is_found() {
    let rogue = Rogue::awake().await;
    let plant = |place: &str| rogue.stage.planted.plant(&format!("the secret for {place}"));
    let inside = |program: &str| rogue.stage.machine.command(program).expect("the machine runs");

    end(inside("sh").args(["-c", "sleep 60", "sh", &plant("argv")]).spawn().expect("a process")).await;
    end(inside("sleep").args(["60"]).env("WEAVIATE_KEY", plant("env")).spawn().expect("a process")).await;

    write(
        &rogue,
        "/opt/rogue/container.env",
        &format!("AUTHENTICATION_APIKEY_ALLOWED_KEYS={}", plant("inspect")),
    );
    rogue.sh(&format!("docker create --env-file /opt/rogue/container.env {IMAGE}")).await;
    write(&rogue, "/opt/rogue/labels", &format!("key={}", plant("label")));
    rogue.sh(&format!("docker create --label-file /opt/rogue/labels {IMAGE}")).await;
    rogue.sh(&format!("docker run --detach --network host {IMAGE}")).await;
    let ask = format!("url = \"http://127.0.0.1:8080/v1/schema/{}\"", plant("the server's log"));
    write(&rogue, "/opt/rogue/ask", &ask);
    rogue
        .sh("for i in $(seq 100); do curl -s -m 2 -K /opt/rogue/ask && exit 0; sleep 0.1; done; exit 1")
        .await;

    write(&rogue, "/var/log/weaviate-provisioner.log", &format!("DEBUG key={}\n", plant("the log")));
    write(&rogue, &format!("{STATE}/state.json"), &format!("{{\"note\":\"{}\"}}", plant("the journal")));
    write(&rogue, &format!("{STATE}/report.json"), &format!("{{\"reason\":\"{}\"}}", plant("the report")));
    write(&rogue, "/run/weaviate-provisioner/env", &format!("KEY={}\n", plant("the environment file")));
    write(
        &rogue,
        "/etc/weaviate-provisioner/config.toml",
        &format!("key = \"{}\"\n", plant("the configuration")),
    );
    let report = plant("the report in S3");
    rogue.stage.store.put("acme-weaviate", "prod/reports/i-1.json", report.as_bytes()).expect("a report");
    // Where it belongs: the server's own files.
    write(&rogue, "/run/weaviate-provisioner/weaviate/config.json", &plant("the server's file"));

    let verdict = rogue.verdict().await;
    for (secret, place) in [
        ("the secret for argv", "argv of sh"),
        ("the secret for env", "the environment of sleep"),
        ("the secret for inspect", "docker inspect"),
        ("the secret for label", "docker inspect"),
        ("the secret for the server's log", "the container's log"),
        ("the secret for the log", "the agent's log"),
        ("the secret for the journal", "state.json"),
        ("the secret for the report", "report.json"),
        ("the secret for the environment file", "/run/weaviate-provisioner/env"),
        ("the secret for the configuration", "/etc/weaviate-provisioner/config.toml"),
        ("the secret for the report in S3", "prod/reports/i-1.json"),
    ] {
        condemned(&verdict, &["secret:", secret, place]);
    }
    assert!(!verdict.iter().any(|sentence| sentence.contains("the server's file")), "{verdict:#?}");
    assert!(verdict.iter().all(|sentence| sentence.starts_with("secret:")), "{verdict:#?}");
}

/// The role's own credentials are secrets as well, although the world did not plant them.
#[tokio::test(flavor = "multi_thread")]
async fn the_roles_credentials_are_secrets_too() {
    let rogue = Rogue::awake().await;
    rogue
        .sh("imds=http://169.254.169.254/latest
             token=$(curl -sSf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $imds/api/token)
             at=$imds/meta-data/iam/security-credentials
             role=$(curl -sSf -H \"X-aws-ec2-metadata-token: $token\" $at/)
             answer=$(curl -sSf -H \"X-aws-ec2-metadata-token: $token\" $at/$role)
             key=$(printf '%s' \"$answer\" | sed -n 's/.*\"SecretAccessKey\" *: *\"\\([^\"]*\\)\".*/\\1/p')
             test -n \"$key\"
             printf 'key=%s\\n' \"$key\" >>/var/log/weaviate-provisioner.log
             AWS_SECRET_ACCESS_KEY=$key sleep 1")
        .await;
    let verdict = rogue.verdict().await;
    condemned(&verdict, &["secret:", "the agent's log"]);
    condemned(&verdict, &["secret:", "the environment of sleep"]);
    assert_eq!(verdict.len(), 2, "{verdict:#?}");
}
