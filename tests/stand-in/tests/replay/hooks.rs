//! What the recorder did off the record, before a step: loading objects, moving backups, breaking chunks.

use serde_json::{Value, json};
use stand_in::backup::archive::{self, Compression};

use crate::stage::Stage;
use crate::traces::list;

impl Stage {
    pub async fn before(&mut self, recording: &str, step: usize) {
        match (recording, step) {
            ("03", 4) | ("20", 5) => {
                self.load_articles(0, self.variation.articles).await;
                self.load_tenants(&["alpha", "beta"], self.variation.chunks).await;
            }
            ("06", 0) => self.leave_old_backup(),
            ("08", 0) if self.variation.real_backups => self.put_real_into_bucket(),
            ("11", 0) => self.stage_from_bucket("full-1"),
            ("13" | "24", 0) => self.write_config(),
            ("16", 0) => self.break_chunk(&Damage::Missing),
            ("16", 7) => self.break_chunk(&Damage::FlippedBit),
            ("16", 13) => self.break_chunk(&Damage::Truncated),
            ("18", 0) => self.break_chunk(&Damage::None),
            ("18", 4) => self.keep_data = true,
            ("20", 8) => self.load_articles(100_000, 50).await,
            ("21", 0) => self.upload_all(),
            ("25", 0) => {
                std::fs::create_dir_all(self.path("etc")).unwrap();
                std::fs::write(self.path("etc/overrides.yaml"), "operational_mode: ReadWrite\n").unwrap();
            }
            ("25", 5) => self.load_articles(0, 303).await,
            ("25", 11) => self.switch_mode("ReadWrite").await,
            ("26", 0) => drop(self.generate("bench-zstd", 8 << 20)),
            ("26", 3) => self.create_backup("inc-a", "bench-zstd").await,
            ("26", 6) => self.create_backup("inc-b", "bench-zstd").await,
            ("27", 5) => self.load_seen().await,
            _ => {}
        }
    }

    async fn load(&self, objects: Vec<Value>) {
        for part in objects.chunks(500) {
            let body = json!({"objects": part}).to_string();
            let (status, _, answer) =
                self.send("POST", "/v1/batch/objects", Some("admin-key"), Some(body)).await;
            assert_eq!(status, 200, "{answer}");
            let failed = answer.as_array().unwrap().iter().find(|item| item["result"]["status"] != "SUCCESS");
            assert_eq!(failed, None);
        }
    }

    async fn load_articles(&self, first: u64, count: u64) {
        let class = self.variation.name("Article");
        let object = |n: u64| {
            let vector: Vec<f64> = (0..64_u64)
                .map(|d| f64::from(u32::try_from((n * 31 + d * 7) % 251).unwrap()) / 251.0)
                .collect();
            json!({"class": class, "id": format!("00000000-0000-4000-8000-{n:012}"),
                   "properties": {"title": format!("title {n}"), "source": "seed"}, "vector": vector})
        };
        self.load((first..first + count).map(object).collect()).await;
    }

    async fn load_tenants(&self, tenants: &[&str], count: u64) {
        let class = self.variation.name("Chunk");
        for tenant in tenants {
            let tenant = self.variation.name(tenant);
            let object = |n: u64| {
                json!({"class": class, "tenant": tenant, "properties": {"text": format!("{tenant} {n}")},
                                         "vector": [0.5, 0.25, 0.125]})
            };
            self.load((0..count).map(object).collect()).await;
        }
    }

    /// Recording 27: the objects that its answers show, and others behind them in the order of ids.
    async fn load_seen(&self) {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../recordings/weaviate-1.39.0/27-objects-queries-aliases-tenants.json"
        );
        let steps: Vec<Value> =
            serde_json::from_str(&self.variation.name(&std::fs::read_to_string(path).unwrap())).unwrap();
        let mut articles: Vec<Value> = Vec::new();
        let mut alphas: Vec<Value> = Vec::new();
        for index in [5, 8, 10] {
            let into = if index == 10 { &mut alphas } else { &mut articles };
            for object in steps[index]["response"]["body"]["objects"].as_array().unwrap() {
                if into.iter().all(|known| known["id"] != object["id"]) {
                    into.push(object.clone());
                }
            }
        }
        let titles: Vec<String> = articles
            .iter()
            .map(|object| object["properties"]["title"].as_str().unwrap().to_owned())
            .collect();
        let (class, chunk) = (self.variation.name("Article"), self.variation.name("Chunk"));
        let mut rest: Vec<Value> = Vec::new();
        for n in (1..).map(|n| format!("title {n}")).filter(|title| !titles.contains(title)).take(36) {
            let id = format!("f{:07}-0000-4000-8000-000000000000", rest.len());
            rest.push(json!({"class": class, "id": id, "properties": {"title": n, "source": "seed"}, "vector": vec![0.3; 64]}));
        }
        // Titles 1 and 2 came first, as the word search shows.
        rest.extend(articles.into_iter().map(|mut object| {
            if object.get("vector").is_none() {
                object["vector"] = vec![0.4; 64].into();
            }
            object
        }));
        self.load(rest).await;
        let (alpha, beta) = (self.variation.name("alpha"), self.variation.name("beta"));
        let seen = u64::try_from(alphas.len()).unwrap();
        for n in seen..self.variation.chunks {
            alphas.push(json!({"class": chunk, "id": format!("e{n:07}-0000-4000-8000-000000000000"),
                               "properties": {"text": format!("{alpha} {n}")}, "vector": [0.5, 0.25, 0.125]}));
        }
        for object in &mut alphas {
            object["tenant"] = alpha.clone().into();
        }
        self.load(alphas).await;
        self.load_tenants(&["beta"], self.variation.chunks).await;
        assert_ne!(alpha, beta);
    }

    fn put_real_into_bucket(&self) {
        for id in ["full-1", "incr-1"] {
            let keep = format!("backups/weaviate/{id}/restore_config.json");
            for key in self
                .bucket
                .keys()
                .iter()
                .filter(|key| key.starts_with(&format!("backups/weaviate/{id}/")) && **key != keep)
            {
                self.bucket.remove(key);
            }
            let home = Self::real_backup(id);
            for file in list(&home) {
                self.bucket
                    .put(&format!("backups/weaviate/{id}/{file}"), std::fs::read(home.join(&file)).unwrap());
            }
        }
    }

    /// A backup `fs-1` was there from an earlier try.
    fn leave_old_backup(&self) {
        let target = self.path("backups/fs-1");
        std::fs::create_dir_all(&target).unwrap();
        let text = std::fs::read_to_string(Self::real_backup("full-1").join("backup_config.json")).unwrap();
        std::fs::write(target.join("backup_config.json"), text.replace("full-1", "fs-1")).unwrap();
    }

    /// Copies a backup out of the bucket, file by file, without `restore_config.json`.
    fn stage_from_bucket(&self, id: &str) {
        let backups = self.path("backups");
        std::fs::remove_dir_all(&backups).unwrap();
        let id = self.variation.name(id);
        let prefix = format!("backups/weaviate/{id}/");
        for key in self
            .bucket
            .keys()
            .iter()
            .filter(|key| key.starts_with(&prefix) && !key.ends_with("restore_config.json"))
        {
            let target = backups.join(&id).join(&key[prefix.len()..]);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, self.bucket.get(key).unwrap()).unwrap();
        }
    }

    fn upload_all(&self) {
        let backups = self.path("backups");
        for file in list(&backups) {
            self.bucket.put(&format!("backups/weaviate/{file}"), std::fs::read(backups.join(&file)).unwrap());
        }
    }

    fn write_config(&self) {
        std::fs::create_dir_all(self.path("etc")).unwrap();
        let text = "authentication:\n  anonymous_access:\n    enabled: false\n  apikey:\n    enabled: true\n    \
                    allowed_keys: [file-admin, file-reader]\n    users: [admin, reader]\nauthorization:\n  \
                    admin_list:\n    enabled: true\n    users: [admin]\n    read_only_users: [reader]\n";
        std::fs::write(self.path("etc/config.yaml"), text).unwrap();
    }

    /// Damages the biggest chunk of Article in full-1, from a good copy; an old result goes with it.
    fn break_chunk(&self, damage: &Damage) {
        let id = self.variation.name("full-1");
        let prefix = format!("backups/weaviate/{id}/weaviate-0/{}/", self.variation.name("Article"));
        let good = self.path("good-chunks");
        if !good.exists() {
            std::fs::create_dir(&good).unwrap();
            for key in self.bucket.keys().iter().filter(|key| key.starts_with(&prefix)) {
                std::fs::write(good.join(&key[prefix.len()..]), self.bucket.get(key).unwrap()).unwrap();
            }
        }
        for name in list(&good) {
            self.bucket.put(&format!("{prefix}{name}"), std::fs::read(good.join(&name)).unwrap());
        }
        let key = format!("{prefix}chunk-2");
        let bytes = self.bucket.get(&key).unwrap().to_vec();
        match damage {
            Damage::None => {}
            Damage::Missing => self.bucket.remove(&key),
            Damage::Truncated => self.bucket.put(&key, bytes[..bytes.len() / 2].to_vec()),
            Damage::FlippedBit => self.bucket.put(&key, flipped(&bytes)),
        }
    }

    pub fn generate(&self, id: &str, size: u64) -> Value {
        let request = stand_in::generate::Request {
            out: self.path("backups"),
            id: id.into(),
            seed: rand::random(),
            size,
            compression: "zstd".into(),
            classes: vec!["Doc".into()],
            node: "weaviate-0".into(),
            base: None,
        };
        stand_in::generate::generate(&request).unwrap()
    }

    pub async fn switch_mode(&self, mode: &str) {
        std::fs::write(self.path("etc/overrides.yaml"), format!("operational_mode: {mode}\n")).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let (_, _, nodes) = self.send("GET", "/v1/nodes", Some("admin-key"), None).await;
            if nodes["nodes"][0]["operationalMode"] == mode {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{mode} never came: {nodes}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Events that stand in one recording only.
    pub async fn special(&self, step: &Value, at: &str) {
        match step["event"].as_str().unwrap() {
            "write under ReadOnly" => {
                self.switch_mode("ReadOnly").await;
                let body = json!({"class": self.variation.name("Article"), "properties": {}}).to_string();
                let (status, _, got) = self.send("POST", "/v1/objects", Some("admin-key"), Some(body)).await;
                assert_eq!(u64::from(status), step["status"].as_u64().unwrap(), "{at}");
                self.compare(&step["body"], &got, at);
            }
            "server-log" if self.path("last.log").exists() => {
                let own = std::fs::read_to_string(self.path("last.log")).unwrap();
                std::fs::remove_file(self.path("last.log")).unwrap();
                let fields = |line: &str| {
                    let line: Value = serde_json::from_str(line).unwrap();
                    ["action", "level", "msg", "build_wv_version"].map(|field| line[field].clone())
                };
                let recorded = step["tail"].as_array().unwrap().last().unwrap().as_str().unwrap();
                assert_eq!(fields(own.lines().last().unwrap()), fields(recorded), "{at}");
            }
            // Logs of a server that runs are not the same line by line; metrics are not served.
            "server-log" | "metrics" => {}
            "mtimes set from bigFilesChunk.modifiedAt" => self.put_times_back(),
            "size" => {
                let id = step["id"].as_str().unwrap();
                let home = self.path("backups").join(id);
                let bytes: u64 =
                    list(&home).iter().map(|file| std::fs::metadata(home.join(file)).unwrap().len()).sum();
                // As large as a full one before, next to nothing after.
                assert_eq!(bytes > 7 << 20, id == "inc-a", "{at}: {id} has {bytes} bytes");
                assert_eq!(bytes < 1 << 20, id == "inc-b", "{at}: {id} has {bytes} bytes");
            }
            other => panic!("{at}: unknown event {other}"),
        }
    }

    fn put_times_back(&self) {
        let text = std::fs::read(self.path("backups/bench-zstd/weaviate-0/backup.json")).unwrap();
        let own: Value = serde_json::from_slice(&text).unwrap();
        for shard in
            own["classes"].as_array().unwrap().iter().flat_map(|class| class["shards"].as_array().unwrap())
        {
            for (path, big) in shard["bigFilesChunk"].as_object().unwrap() {
                let at: jiff::Timestamp = big["modifiedAt"].as_str().unwrap().parse().unwrap();
                let file = std::fs::File::options().write(true).open(self.path("data").join(path)).unwrap();
                file.set_modified(at.into()).unwrap();
            }
        }
    }
}

enum Damage {
    None,
    Missing,
    Truncated,
    FlippedBit,
}

/// The chunk with one bit flipped such that it still unpacks, into other bytes.
fn flipped(bytes: &[u8]) -> Vec<u8> {
    let contents = |bytes: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        let never = std::sync::atomic::AtomicBool::new(false);
        archive::unpack(bytes, Compression::Zstd(1), dir.path(), None, &never).ok()?;
        Some(
            list(dir.path())
                .iter()
                .map(|file| std::fs::read(dir.path().join(file)).unwrap())
                .collect::<Vec<_>>(),
        )
    };
    let good = contents(bytes).expect("the good chunk unpacks");
    for at in (bytes.len() / 3..bytes.len()).step_by(1009) {
        let mut broken = bytes.to_vec();
        broken[at] ^= 1;
        if contents(&broken).is_some_and(|found| found != good) {
            return broken;
        }
    }
    panic!("no flipped bit passes: the stand-in is stricter than the real server");
}
