//! The stage of a session: directories, a bucket, a server, and the recorded steps played on it.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bucket::{Bucket, SECRET};
use crate::normal::normal;
use crate::polls::operation;
use crate::server::{Server, Started, Stopped};
use crate::variation::Variation;

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../recordings/weaviate-1.39.0");
pub const PATIENCE: Duration = Duration::from_secs(30);

/// `STAND_IN_TIME_SCALE` of every server here.
pub const SCALE: f64 = 0.1;
pub struct Stage {
    pub variation: Variation,
    pub root: tempfile::TempDir,
    pub bucket: Bucket,
    endpoint: String,
    pub server: Option<Server>,
    pub http: reqwest::Client,
    pub recording: String,
    /// Whether the next start keeps the data of the one before.
    pub keep_data: bool,
    /// What this server was told to do to backups, as its log tells of the end.
    pub told: Mutex<Vec<String>>,
}

impl Stage {
    pub async fn new(variation: Variation) -> Self {
        let (bucket, address) = Bucket::serve().await;
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("backups")).unwrap();
        Self {
            variation,
            root,
            bucket,
            endpoint: address.to_string(),
            server: None,
            http: reqwest::Client::new(),
            recording: String::new(),
            keep_data: false,
            told: Mutex::default(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn real_backup(id: &str) -> PathBuf {
        PathBuf::from(RECORDINGS).join("backups").join(id)
    }

    pub async fn replay(&mut self, name: &str) {
        name[..2].clone_into(&mut self.recording);
        let text = std::fs::read_to_string(format!("{RECORDINGS}/{name}.json")).unwrap();
        let steps: Vec<Value> = serde_json::from_str(&self.variation.of(&text)).unwrap();
        // The first recordings stand on one server that 01 starts.
        for (index, step) in steps.iter().enumerate() {
            let at = format!("{name} step {index}");
            self.before(&self.recording.clone(), index).await;
            if step.get("request").is_some() {
                self.request(step, &at).await;
            } else {
                self.event(step, &at).await;
            }
        }
    }

    /// The stage's own directory and endpoint under the names that the recorder had.
    fn renamed(&self, text: &str) -> String {
        text.replace(&self.path("backups").display().to_string(), "/var/lib/weaviate-backups")
            .replace(&self.endpoint, "127.0.0.1:8014")
    }

    /// Only a backup that the real server made has the bytes that the real server counted.
    fn sizes_count(&self) -> bool {
        self.variation.real_backups && matches!(self.recording.as_str(), "08" | "09" | "11" | "12")
    }

    pub fn compare(&self, recorded: &Value, got: &Value, at: &str) {
        let got: Value = serde_json::from_str(&self.renamed(&got.to_string())).unwrap();
        let (recorded, got) = (normal(recorded, self.sizes_count()), normal(&got, self.sizes_count()));
        assert!(recorded == got, "{at}\nrecorded: {recorded}\n     got: {got}");
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<String>,
    ) -> (u16, Option<String>, Value) {
        let url = format!("{}{path}", self.server.as_ref().expect("a server").url);
        let operation = (method == "POST").then(|| operation(path, body.as_deref())).flatten();
        let mut request = self.http.request(method.parse().unwrap(), url);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.unwrap();
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        self.told.lock().unwrap().extend(operation.filter(|_| status == 200));
        (status, kind, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn request(&mut self, step: &Value, at: &str) {
        let (request, response) = (&step["request"], &step["response"]);
        let (method, path) = (request["method"].as_str().unwrap(), request["path"].as_str().unwrap());
        if self.skipped(path) {
            return;
        }
        let body = match &request["body"] {
            Value::Null => None,
            Value::String(raw) => Some(raw.clone()),
            json => Some(json.to_string()),
        };
        let (status, kind, got) = self.send(method, path, request["key"].as_str(), body).await;
        let at = format!("{at}: {method} {path}");
        assert_eq!(u64::from(status), response["status"].as_u64().unwrap(), "{at}: {got}");
        if let Some(recorded) = response.get("content_type") {
            assert_eq!(kind.as_deref(), recorded.as_str(), "{at}: content type");
        }
        self.compare(&self.expected(path, &response["body"], &got), &got, &at);
    }

    /// Some answers hold what the recording does not tell; these parts are taken from what came.
    fn expected(&self, path: &str, recorded: &Value, got: &Value) -> Value {
        let mut recorded = recorded.clone();
        if self.recording == "27" && path == "/v1/graphql" {
            // Which objects are nearest depends on the forty vectors that were loaded off the record.
            if recorded["data"]["Get"]
                .as_object()
                .is_some_and(|get| get.values().any(|rows| rows[0].get("_additional").is_some()))
            {
                let class = self.variation.name("Article");
                assert_eq!(got["data"]["Get"][&class].as_array().map(Vec::len), Some(2));
                recorded = got.clone();
            }
        }
        if path == "/v1/batch/objects" {
            // An id that the server drew.
            for (recorded, got) in
                recorded.as_array_mut().into_iter().flatten().zip(got.as_array().into_iter().flatten())
            {
                recorded["id"] = got["id"].clone();
            }
        }
        recorded
    }

    /// Answers about backups that the recorder made elsewhere.
    fn skipped(&self, path: &str) -> bool {
        self.recording == "21" && path == "/v1/backups/s3"
    }

    async fn event(&mut self, step: &Value, at: &str) {
        match step["event"].as_str().unwrap() {
            "server" => self.start(step, at).await,
            "poll" => self.poll(step, at).await,
            "stopped" => {
                let signal = i32::try_from(step["signal"].as_i64().unwrap()).unwrap();
                let server = self.server.take().expect("a server to stop");
                let Stopped { code, lines } = server.stop(signal).await;
                self.check_log(&lines);
                assert_eq!(i64::from(code), step["exit"].as_i64().unwrap(), "{at}: exit code");
            }
            "files" => self.files(step, at),
            "s3" => self.keys(step, at),
            "s3-object" => self.object(step, at),
            _ => self.special(step, at).await,
        }
    }

    /// One line per request, and no key in any of them.
    fn check_log(&self, lines: &str) {
        for key in ["admin-key", "reader-key", "file-admin", "file-reader", SECRET] {
            assert!(!lines.contains(key), "{}: a key in the log", self.recording);
        }
        assert!(lines.contains("\"stand_in\":\"request\""), "{}: no request in the log", self.recording);
    }

    pub async fn start(&mut self, step: &Value, at: &str) {
        if let Some(old) = self.server.take() {
            assert_eq!(old.stop(15).await.code, 0);
        }
        self.told.lock().unwrap().clear();
        if !std::mem::take(&mut self.keep_data) && self.path("data").exists() {
            std::fs::remove_dir_all(self.path("data")).unwrap();
        }
        let mut environment = self.environment(step["node"].as_str().unwrap());
        environment
            .retain(|(name, _)| !step["dropped"].as_array().unwrap().iter().any(|dropped| dropped == name));
        for (name, value) in step["env"].as_object().unwrap() {
            environment.retain(|(known, _)| known != name);
            environment.push((name.clone(), self.own_path(value.as_str().unwrap())));
        }
        let arguments: Vec<_> = step["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| self.own_path(word.as_str().unwrap()))
            .collect();
        match (Server::start(&environment, &arguments).await, step["exited"].as_i64()) {
            (Started::Serving(server), None) => self.server = Some(*server),
            (Started::Exited { code, log }, Some(recorded)) => {
                assert_eq!(code.map(i64::from), Some(recorded), "{at}: {log:?}");
                // The recorded log follows as an event of its own.
                std::fs::write(self.path("last.log"), log.join("\n")).unwrap();
            }
            (other, recorded) => panic!("{at}: {other:?}, recorded exit {recorded:?}"),
        }
    }

    fn own_path(&self, recorded: &str) -> String {
        recorded.replace("/etc/weaviate", &self.path("etc").display().to_string())
    }

    /// The recorder's environment, with the stage's directories and shortened delays.
    fn environment(&self, node: &str) -> Vec<(String, String)> {
        let (data, backups) =
            (self.path("data").display().to_string(), self.path("backups").display().to_string());
        let scale = SCALE.to_string();
        [
            ("CLUSTER_HOSTNAME", node),
            ("PERSISTENCE_DATA_PATH", &data),
            ("ENABLE_MODULES", "backup-s3,backup-filesystem"),
            ("BACKUP_FILESYSTEM_PATH", &backups),
            ("BACKUP_S3_BUCKET", "backups"),
            ("BACKUP_S3_PATH", "weaviate"),
            ("BACKUP_S3_ENDPOINT", &self.endpoint),
            ("BACKUP_S3_USE_SSL", "false"),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "false"),
            ("AUTHENTICATION_APIKEY_ENABLED", "true"),
            ("AUTHENTICATION_APIKEY_ALLOWED_KEYS", "admin-key,reader-key"),
            ("AUTHENTICATION_APIKEY_USERS", "admin,reader"),
            ("AUTHORIZATION_ADMINLIST_ENABLED", "true"),
            ("AUTHORIZATION_ADMINLIST_USERS", "admin"),
            ("AUTHORIZATION_ADMINLIST_READONLY_USERS", "reader"),
            ("GRPC_PORT", "0"),
            ("CLUSTER_GOSSIP_BIND_PORT", "0"),
            ("CLUSTER_DATA_BIND_PORT", "0"),
            ("RAFT_PORT", "0"),
            ("STAND_IN_START_MS", "10"),
            ("STAND_IN_READY_MS", "10"),
            ("STAND_IN_TIME_SCALE", &scale),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    pub async fn create_backup(&mut self, id: &str, base: &str) {
        let body = json!({"id": id, "incremental_base_backup_id": base, "config": {"CompressionLevel": "ZstdBestSpeed"}});
        let (status, _, answer) =
            self.send("POST", "/v1/backups/filesystem", Some("admin-key"), Some(body.to_string())).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Starts an operation on a backup and waits for its SUCCESS.
    pub async fn operate(&self, post: &str, body: &str, poll: &str) {
        let (code, _, answer) = self.send("POST", post, Some("admin-key"), Some(body.into())).await;
        assert_eq!(code, 200, "{answer}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, _, answer) = self.send("GET", poll, Some("admin-key"), None).await;
            match answer["status"].as_str() {
                Some("SUCCESS") => break,
                Some("STARTED" | "TRANSFERRING" | "FINALIZING") if Instant::now() < deadline => {}
                _ => panic!("{poll}: {answer}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.until_free(&operation(poll, None).unwrap_or_default(), poll).await;
    }
}
