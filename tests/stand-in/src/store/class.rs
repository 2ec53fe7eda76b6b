//! One class: its schema as the API shows it, its sharding state as backups carry it, its shards.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rand::RngExt;
use serde_json::{Map, Value, json};

use super::shard::Shard;

#[derive(Debug)]
pub struct Class {
    pub schema: Value,
    pub sharding: Value,
    /// Loaded shards only: those of inactive tenants are not.
    pub shards: BTreeMap<String, Shard>,
    dir: PathBuf,
}

/// Why a shard cannot be used; the texts are the server's own.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoShard {
    #[error("class {0} has multi-tenancy enabled, but request was without tenant")]
    TenantNeeded(String),
    #[error("class {0} has multi-tenancy disabled, but request was with tenant")]
    TenantUnknownToClass(String),
    #[error("tenant not found: \"{0}\"")]
    NotFound(String),
    #[error("tenant not active: '{0}'")]
    NotActive(String),
}

impl Class {
    /// A new class with the defaults of recording 03 around what the request says.
    pub fn create(root: &Path, node: &str, request: &Value) -> io::Result<Self> {
        let schema = with_defaults(request);
        let name = schema["class"].as_str().unwrap_or_default();
        let multi = schema["multiTenancyConfig"]["enabled"] == true;
        let mut physical = Map::new();
        if !multi {
            let shard = random_name();
            physical
                .insert(shard.clone(), json!({"name": shard, "ownsPercentage": 1, "belongsToNodes": [node]}));
        }
        let sharding = json!({
            "indexID": name, "config": schema["shardingConfig"], "physical": physical,
            "virtual": null, "partitioningEnabled": multi, "replicationFactor": 1,
        });
        let mut class = Self::open(root, schema, sharding)?;
        for shard in class.shard_names() {
            class.shards.insert(shard.clone(), Shard::create(&class.dir.join(&shard))?);
        }
        Ok(class)
    }

    pub fn open(root: &Path, schema: Value, sharding: Value) -> io::Result<Self> {
        let dir = root.join(schema["class"].as_str().unwrap_or_default().to_lowercase());
        let mut class = Self { schema, sharding, shards: BTreeMap::new(), dir };
        for name in class.shard_names() {
            if class.is_active(&name) {
                let dir = class.dir.join(&name);
                let shard = if dir.is_dir() { Shard::open(&dir)? } else { Shard::create(&dir)? };
                class.shards.insert(name, shard);
            }
        }
        Ok(class)
    }

    pub fn name(&self) -> &str {
        self.schema["class"].as_str().unwrap_or_default()
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A shard whose index is rebuilt while the server runs: a migration that was begun, and neither merged nor tidied.
    pub fn is_reindexing(&self) -> bool {
        let migrations = |shard: String| {
            std::fs::read_dir(self.dir.join(shard).join("lsm/.migrations")).into_iter().flatten()
        };
        let at_work = |at: &Path| {
            at.join("started.mig").exists()
                && !at.join("tidied.mig").exists()
                && !at.join("merged.mig").exists()
        };
        self.shard_names().into_iter().flat_map(migrations).flatten().any(|entry| at_work(&entry.path()))
    }

    pub fn is_multi_tenant(&self) -> bool {
        self.schema["multiTenancyConfig"]["enabled"] == true
    }

    pub fn shard_names(&self) -> Vec<String> {
        self.sharding["physical"].as_object().into_iter().flat_map(Map::keys).cloned().collect()
    }

    /// HOT, COLD, or what the descriptor said.
    pub fn status(&self, shard: &str) -> Option<&str> {
        self.sharding["physical"].get(shard).map(|physical| physical["status"].as_str().unwrap_or("HOT"))
    }

    pub fn is_active(&self, shard: &str) -> bool {
        self.status(shard) == Some("HOT")
    }

    /// The shard that a request means.
    pub fn shard(&self, tenant: Option<&str>) -> Result<&Shard, NoShard> {
        let name = self.shard_name(tenant)?;
        self.shards.get(&name).ok_or(NoShard::NotActive(name))
    }

    pub fn shard_mut(&mut self, tenant: Option<&str>) -> Result<&mut Shard, NoShard> {
        let name = self.shard_name(tenant)?;
        self.shards.get_mut(&name).ok_or(NoShard::NotActive(name))
    }

    fn shard_name(&self, tenant: Option<&str>) -> Result<String, NoShard> {
        match (self.is_multi_tenant(), tenant) {
            (true, None) => Err(NoShard::TenantNeeded(self.name().to_owned())),
            (true, Some(tenant)) if self.status(tenant).is_none() => {
                Err(NoShard::NotFound(tenant.to_owned()))
            }
            (true, Some(tenant)) => Ok(tenant.to_owned()),
            (false, Some(_)) => Err(NoShard::TenantUnknownToClass(self.name().to_owned())),
            (false, None) => Ok(self.shard_names().into_iter().next().unwrap_or_default()),
        }
    }

    /// Adds a tenant, or changes its status; opens or closes its shard.
    pub fn set_tenant(&mut self, node: &str, name: &str, status: &str) -> io::Result<()> {
        let entry = json!({"name": name, "ownsPercentage": 0, "belongsToNodes": [node], "status": status});
        self.sharding["physical"][name] = entry;
        let dir = self.dir.join(name);
        if status == "HOT" {
            if !self.shards.contains_key(name) {
                let shard = if dir.is_dir() { Shard::open(&dir)? } else { Shard::create(&dir)? };
                self.shards.insert(name.to_owned(), shard);
            }
        } else if let Some(mut shard) = self.shards.remove(name) {
            shard.flush()?;
        }
        Ok(())
    }

    pub fn remove_tenant(&mut self, name: &str) -> io::Result<()> {
        self.shards.remove(name);
        if let Some(physical) = self.sharding["physical"].as_object_mut() {
            physical.remove(name);
        }
        remove_dir(&self.dir.join(name))
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.shards.values_mut().try_for_each(Shard::flush)
    }
}

pub fn remove_dir(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Twelve letters and digits, as the server names its shards.
pub fn random_name() -> String {
    let mut rng = rand::rng();
    std::iter::repeat_with(|| char::from(rng.sample(rand::distr::Alphanumeric))).take(12).collect()
}

fn with_defaults(request: &Value) -> Value {
    let mut schema: Value = serde_json::from_str(include_str!("defaults.json")).unwrap_or_default();
    merge(&mut schema, request);
    if schema["multiTenancyConfig"]["enabled"] == true {
        schema["shardingConfig"] = json!({
            "virtualPerPhysical": 0, "desiredCount": 0, "actualCount": 0, "desiredVirtualCount": 0,
            "actualVirtualCount": 0, "key": "", "strategy": "", "function": "",
        });
    }
    for property in schema["properties"].as_array_mut().into_iter().flatten() {
        let text = property["dataType"][0].as_str().is_some_and(|kind| kind.starts_with("text"));
        let mut full = json!({
            "dataType": [], "indexFilterable": true, "indexRangeFilters": false, "indexSearchable": text, "name": "",
        });
        if text {
            full["tokenization"] = "word".into();
        }
        merge(&mut full, property);
        *property = full;
    }
    schema
}

fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}
