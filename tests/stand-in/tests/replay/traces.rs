//! What a step leaves behind in directories and in the bucket, against what the recorder found there.

use serde_json::Value;

use crate::stage::Stage;

impl Stage {
    pub fn files(&self, step: &Value, at: &str) {
        let recorded: Vec<_> =
            step["after"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        if self.recording == "18" {
            // How far the transfer came is chance; nothing but it and an empty server's files may be there.
            let found = list(&self.path("data"));
            let empty = |name: &String| name.starts_with(".backup.tmp/") || recorded.contains(&name.as_str());
            assert!(found.iter().all(empty), "{at}: {found:?}");
            let missing = recorded
                .iter()
                .find(|name| !name.starts_with(".backup") && !found.iter().any(|f| f == *name));
            assert_eq!(missing, None, "{at}");
            return;
        }
        let id = recorded[0].split('/').next().unwrap();
        let found = list(&self.path("backups").join(id));
        let found: Vec<_> = found.iter().map(|name| format!("{id}/{name}")).collect();
        if self.recording == "20" || (self.recording == "11" && !self.variation.real_backups) {
            // Segments of other sizes fall into other chunks: every file of the layout must be one of a kind.
            let shape = |name: &str| name.split("chunk-").next().unwrap().to_owned();
            let shapes =
                |names: &[String]| names.iter().map(|n| shape(n)).collect::<std::collections::BTreeSet<_>>();
            let recorded: Vec<_> = recorded.iter().map(ToString::to_string).collect();
            assert_eq!(shapes(&found), shapes(&recorded), "{at}");
            return;
        }
        let mut recorded: Vec<_> = recorded.iter().map(ToString::to_string).collect();
        recorded.sort();
        assert_eq!(found, recorded, "{at}");
    }

    pub fn keys(&self, step: &Value, at: &str) {
        // Sizes and numbers of chunks depend on segments; folders and descriptors do not.
        let shape = |key: &str| key.split("chunk-").next().unwrap().to_owned();
        let prefix = format!("backups/{}", step["prefix"].as_str().unwrap());
        let found: std::collections::BTreeSet<_> = self
            .bucket
            .keys()
            .iter()
            .filter(|key| key.starts_with(&prefix))
            .map(|key| shape(&key["backups/".len()..]))
            .collect();
        let objects = step["objects"].as_array().unwrap();
        let recorded: std::collections::BTreeSet<_> =
            objects.iter().map(|object| shape(object["key"].as_str().unwrap())).collect();
        let strange: Vec<_> = recorded.symmetric_difference(&found).collect();
        // A canceled backup leaves what it had written so far, and that is chance.
        let strange: Vec<_> = strange.into_iter().filter(|key| !key.contains("cancel-me")).collect();
        assert!(strange.is_empty(), "{at}: {strange:?}");
    }

    pub fn object(&self, step: &Value, at: &str) {
        let key = step["key"].as_str().unwrap();
        let got = self.bucket.get(&format!("backups/{key}")).unwrap_or_else(|| panic!("{at}: {key}"));
        let got: Value = serde_json::from_slice(&got).unwrap();
        if key.ends_with("/weaviate-0/backup.json") {
            let fields = |value: &Value| {
                value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>()
            };
            let by_name = |value: &Value, name: &str| {
                value["classes"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .find(|class| class["name"] == name)
                    .unwrap()
                    .clone()
            };
            assert_eq!(fields(&got), fields(&step["body"]), "{at}");
            for name in ["Article", "Chunk", "Empty"].map(|name| self.variation.name(name)) {
                let (got, recorded) = (by_name(&got, &name), by_name(&step["body"], &name));
                assert_eq!(fields(&got), fields(&recorded), "{at}");
                let mut shard = fields(&recorded["shards"][0]);
                // The real server writes 4 MiB of vector index even for a hundred objects; the stand-in none.
                if name == self.variation.name("Chunk") {
                    shard.remove("bigFilesChunk");
                }
                assert_eq!(fields(&got["shards"][0]), shard, "{at}: {name}");
            }
        } else {
            self.compare(&step["body"], &got, at);
        }
    }
}

/// All files below, relative and sorted.
pub fn list(root: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            if entry.path().is_dir() {
                todo.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}
