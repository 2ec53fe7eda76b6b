//! Random backups through a server in this process: what was generated is what is served, after a restart
//! too, and nothing is served from an emptied directory.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};
use stand_in::generate::{Request, generate};
use stand_in::server::Server;
use stand_in::settings::{Arguments, Environment, Settings};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

struct Running {
    server: Server,
    url: String,
    http: reqwest::Client,
}

async fn start(root: &Path, more: &[(&str, &str)]) -> Running {
    let cli =
        Cli::parse_from(["stand-in", "--host", "127.0.0.1", "--port", "0", "--config-file", "/absent.json"]);
    let (data, backups) = (root.join("data"), root.join("backups"));
    let mut pairs = vec![
        ("PERSISTENCE_DATA_PATH", data.to_str().unwrap()),
        ("CLUSTER_HOSTNAME", "weaviate-0"),
        ("ENABLE_MODULES", "backup-filesystem"),
        ("BACKUP_FILESYSTEM_PATH", backups.to_str().unwrap()),
        ("GRPC_PORT", "0"),
        ("CLUSTER_GOSSIP_BIND_PORT", "0"),
        ("CLUSTER_DATA_BIND_PORT", "0"),
        ("RAFT_PORT", "0"),
        ("STAND_IN_START_MS", "1"),
        ("STAND_IN_TIME_SCALE", "0.02"),
    ];
    pairs.extend_from_slice(more);
    let settings = Settings::read(&cli.arguments, Environment::from_pairs(pairs)).unwrap();
    let server = Server::start(settings).await.unwrap();
    let url = format!("http://{}", server.rest);
    Running { server, url, http: reqwest::Client::new() }
}

impl Running {
    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null))
    }

    async fn finished(&self, path: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (_, body) = self.send("GET", path, None).await;
            let status = body["status"].as_str().unwrap_or_default().to_owned();
            if !matches!(status.as_str(), "STARTED" | "TRANSFERRING" | "FINALIZING") {
                tokio::time::sleep(Duration::from_millis(20)).await;
                return status;
            }
            assert!(Instant::now() < deadline, "{path}: {body}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn restore(&self, id: &str) -> String {
        let path = format!("/v1/backups/filesystem/{id}/restore");
        assert_eq!(self.send("POST", &path, Some(json!({}))).await.0, 200);
        self.finished(&path).await
    }

    async fn count(&self, class: &str, tenant: &str) -> Value {
        let tenant = if tenant.is_empty() { String::new() } else { format!("(tenant:\"{tenant}\")") };
        let query = format!("{{ Aggregate {{ {class}{tenant} {{ meta {{ count }} }} }} }}");
        self.send("POST", "/v1/graphql", Some(json!({"query": query}))).await.1
    }

    /// Every count of the summary, asked for one by one.
    async fn check(&self, summary: &Value) {
        for (class, tenants) in summary["collections"].as_object().unwrap() {
            for (tenant, count) in tenants.as_object().unwrap() {
                let answer = self.count(class, tenant).await;
                assert_eq!(
                    answer["data"]["Aggregate"][class][0]["meta"]["count"], *count,
                    "{class}/{tenant}: {answer}"
                );
            }
        }
        for (class, tenants) in summary["inactive"].as_object().unwrap() {
            for tenant in tenants.as_object().unwrap().keys() {
                let answer = self.count(class, tenant).await;
                assert_eq!(answer["errors"][0]["message"], format!("tenant not active: '{tenant}'"));
            }
        }
    }
}

fn request(root: &Path, id: &str, compression: &str, size: u64) -> Request {
    Request {
        out: root.join("backups"),
        id: id.into(),
        seed: rand::random(),
        size,
        compression: compression.into(),
        classes: Vec::new(),
        node: "weaviate-0".into(),
        base: None,
    }
}

#[tokio::test]
async fn what_was_generated_is_served_until_the_directory_is_emptied() {
    for compression in ["zstd", "gzip", "none"] {
        let root = tempfile::tempdir().unwrap();
        let mut request = request(root.path(), "gen-1", compression, 3 << 20);
        request.classes = vec!["Plain".into(), "Shared/".into()];
        let summary = generate(&request).unwrap();
        assert!(summary["pre_compression_bytes"].as_u64().unwrap() >= 3 << 20, "{summary}");
        let server = start(root.path(), &[]).await;
        assert_eq!(server.restore("gen-1").await, "SUCCESS");
        server.check(&summary).await;
        // A sleeping tenant was in the backup with its data.
        let (tenant, count) = summary["inactive"]["Shared"].as_object().unwrap().iter().next().unwrap();
        let wake = json!([{"name": tenant, "activityStatus": "ACTIVE"}]);
        assert_eq!(server.send("PUT", "/v1/schema/Shared/tenants", Some(wake)).await.0, 200);
        assert_eq!(
            server.count("Shared", tenant).await["data"]["Aggregate"]["Shared"][0]["meta"]["count"],
            *count
        );
        server.server.stop().await;

        let again = start(root.path(), &[]).await;
        assert_eq!(
            again.count("Plain", "").await["data"]["Aggregate"]["Plain"][0]["meta"]["count"],
            summary["collections"]["Plain"][""]
        );
        again.server.stop().await;
        std::fs::remove_dir_all(root.path().join("data")).unwrap();
        let emptied = start(root.path(), &[]).await;
        assert_eq!(emptied.send("GET", "/v1/schema", None).await.1, json!({"classes": []}));
    }
}

#[tokio::test]
async fn a_backup_of_its_own_carries_objects_ids_and_vectors() {
    let root = tempfile::tempdir().unwrap();
    let server = start(root.path(), &[]).await;
    let class = json!({"class": "Note", "vectorizer": "none", "properties": [{"name": "text", "dataType": ["text"]}]});
    assert_eq!(server.send("POST", "/v1/schema", Some(class)).await.0, 200);
    let id = "11111111-2222-4333-8444-555555555555";
    let object = json!({"class": "Note", "id": id, "properties": {"text": "kept"}, "vector": [0.1, 0.25]});
    assert_eq!(server.send("POST", "/v1/objects", Some(object)).await.0, 200);
    let create = json!({"id": "own-1", "config": {"CompressionLevel": "NoCompression"}});
    assert_eq!(server.send("POST", "/v1/backups/filesystem", Some(create)).await.0, 200);
    assert_eq!(server.finished("/v1/backups/filesystem/own-1").await, "SUCCESS");
    server.server.stop().await;
    std::fs::remove_dir_all(root.path().join("data")).unwrap();

    let fresh = start(root.path(), &[]).await;
    assert_eq!(fresh.restore("own-1").await, "SUCCESS");
    let (status, object) = fresh.send("GET", &format!("/v1/objects/Note/{id}?include=vector"), None).await;
    assert_eq!(
        (status, &object["properties"]["text"], &object["vector"]),
        (200, &json!("kept"), &json!([0.1, 0.25]))
    );
}

#[tokio::test]
async fn a_class_directory_in_the_way_gives_success_without_the_data() {
    let root = tempfile::tempdir().unwrap();
    let mut request = request(root.path(), "gen-2", "zstd", 1 << 20);
    request.classes = vec!["Plain".into()];
    generate(&request).unwrap();
    let server = start(root.path(), &[]).await;
    std::fs::create_dir_all(root.path().join("data/plain/other")).unwrap();
    std::fs::write(root.path().join("data/plain/other/file"), "in the way").unwrap();
    assert_eq!(server.restore("gen-2").await, "SUCCESS");
    assert_eq!(server.count("Plain", "").await["data"]["Aggregate"]["Plain"][0]["meta"]["count"], 0);
}

#[tokio::test]
async fn above_the_disk_threshold_writes_are_refused_and_below_they_are_not() {
    for (percent, expected) in [("0", 500), ("101", 200)] {
        let root = tempfile::tempdir().unwrap();
        let server = start(root.path(), &[("DISK_USE_READONLY_PERCENTAGE", percent)]).await;
        server.send("POST", "/v1/schema", Some(json!({"class": "Note", "vectorizer": "none"}))).await;
        let shards = if expected == 200 { "READY" } else { "READONLY" };
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (status, body) = server.send("GET", "/v1/schema/Note/shards", None).await;
            if status == 200 && body[0]["status"] == shards {
                break;
            }
            assert!(Instant::now() < deadline, "{percent}: {status} {body}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (status, body) = server.send("POST", "/v1/objects", Some(json!({"class": "Note"}))).await;
        assert_eq!(status, expected, "{percent}: {body}");
    }
}

#[tokio::test]
async fn grpc_health_says_serving() {
    let root = tempfile::tempdir().unwrap();
    let server = start(root.path(), &[("STAND_IN_READY_MS", "60000")]).await;
    // Not ready, and SERVING all the same.
    assert_eq!(server.send("GET", "/v1/.well-known/ready", None).await.0, 503);
    let http = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = http
        .post(format!("http://{}/grpc.health.v1.Health/Check", server.server.grpc))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(vec![0, 0, 0, 0, 0])
        .send()
        .await
        .unwrap();
    // A frame of two bytes: field 1 (status) is 1 (SERVING).
    assert_eq!(answer.bytes().await.unwrap().as_ref(), [0, 0, 0, 0, 2, 8, 1]);
}

#[tokio::test]
async fn a_half_canceled_restore_blocks_the_next_in_silence() {
    let root = tempfile::tempdir().unwrap();
    generate(&request(root.path(), "gen-3", "zstd", 1 << 20)).unwrap();
    let home = root.path().join("backups/gen-3");
    let text = std::fs::read_to_string(home.join("backup_config.json")).unwrap();
    std::fs::write(home.join("restore_config.json"), text.replace("SUCCESS", "CANCELLING")).unwrap();
    let server = start(root.path(), &[]).await;
    assert_eq!(server.restore("gen-3").await, "CANCELLING");
    assert_eq!(server.send("GET", "/v1/schema", None).await.1, json!({"classes": []}));
    std::fs::remove_file(home.join("restore_config.json")).unwrap();
    assert_eq!(server.restore("gen-3").await, "SUCCESS");
}

#[tokio::test]
async fn an_incremental_chain_is_small_and_needs_its_bases() {
    let root = tempfile::tempdir().unwrap();
    generate(&request(root.path(), "full", "zstd", 6 << 20)).unwrap();
    let mut next = request(root.path(), "inc-1", "zstd", 0);
    next.base = Some("full".into());
    generate(&next).unwrap();
    next.id = "inc-2".into();
    next.base = Some("inc-1".into());
    let summary = generate(&next).unwrap();
    assert!(summary["bytes"].as_u64().unwrap() < 2 << 20, "{summary}");
    assert!(summary["pre_compression_bytes"].as_u64().unwrap() > 6 << 20, "{summary}");
    let server = start(root.path(), &[]).await;
    assert_eq!(server.restore("inc-2").await, "SUCCESS");
    server.check(&summary).await;
    server.server.stop().await;

    std::fs::remove_dir_all(root.path().join("data")).unwrap();
    std::fs::remove_dir_all(root.path().join("backups/full")).unwrap();
    let server = start(root.path(), &[]).await;
    let (status, body) = server.send("POST", "/v1/backups/filesystem/inc-2/restore", Some(json!({}))).await;
    assert_eq!(status, 422, "{body}");
}
