//! From a case's scene to the specifications of all parts: pure but for the files that it reads.
//!
//! ```text
//! [scene] ──┬─▶ [scene.machine]  (machine)  the machine, its disks and its engine
//!           ├─▶ [scene.bucket]   (bucket)   the backups and what is wrong with them
//!           └─▶ the rest ────────(specs)──▶ the cloud, the policy, the agent's configuration
//! ```

mod bucket;
mod machine;

pub use bucket::{fill_bucket, publish_later, tell_published};
pub use machine::{
    Image, TAG, between, image_reference, prepare_disks, prepare_machine, script, server_image, start_engine,
};

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use toml::{Table, Value, toml};

use super::beside::{OTHER_KEYS, OtherStore, Shop, walls};
use super::{Planted, Programs};
use crate::case::{Scene, lay, take_away};
use crate::cloud::resources::mac_of;
use crate::cloud::spec::{CloudSpec, GROUP, NEW, OLD, ROLE, RoleSpec, Subnet};
use crate::iam::Policy;
use crate::machine::MachineSpec;
use crate::vpc::{EniPlan, Nic, VpcPlan};
use bucket::BucketScene;
use machine::MachineScene;

/// How fast S3 is, where, and for whom.
#[derive(Clone, Debug, Default)]
pub struct S3Speed {
    pub first_byte: Duration,
    pub bytes_per_second: Option<u64>,
    /// Of all connections together.
    pub line: Option<u64>,
    /// Elsewhere than the cloud.
    pub region: Option<String>,
    /// Buckets that are elsewhere than the others.
    pub regions: BTreeMap<String, String>,
    /// The server moves the bytes itself.
    pub direct: bool,
}

fn read<T: serde::de::DeserializeOwned>(what: &str, table: &Table) -> Result<T> {
    table.clone().try_into().with_context(|| format!("understanding {what} of the case"))
}

/// Everything that a stage is built from.
pub struct Specs {
    pub cloud: CloudSpec,
    pub policy: Policy,
    pub machine: MachineSpec,
    pub enis: BTreeMap<String, EniPlan>,
    pub config: Table,
    /// Where the node's backups lie in the bucket; may be empty.
    pub prefix: String,
    /// Another environment's bucket.
    pub source: Option<String>,
    pub address: Ipv4Addr,
    pub reader_key: String,
    pub writer_key: String,
    pub speed: S3Speed,
    /// Absent: the bucket is Amazon's.
    pub other: Option<OtherStore>,
    /// Files that somebody removes as soon as they are there.
    pub remove: Vec<std::path::PathBuf>,
    /// Where no group keeps clients out, and nobody may get in: the machine must see to it.
    pub walls: Vec<SocketAddr>,
    pub hop_limit: u32,
}

pub fn specs(programs: &Programs, scene: &Scene, planted: &Planted) -> Result<Specs> {
    let machine: MachineScene = read("[scene.machine]", &scene.machine)?;
    let bucket: BucketScene = read("[scene.bucket]", &scene.bucket)?;
    let mut secrets: BTreeMap<&str, String> = BTreeMap::new();
    let keys = ["weaviate/admin-key", "weaviate/writer-key", "/weaviate/reader-key"];
    for name in keys.into_iter().chain(OTHER_KEYS.into_iter().filter(|_| bucket.store == Shop::Other)) {
        secrets.insert(name, planted.plant(&format!("the secret {name}")));
    }
    for (name, value) in &scene.secrets {
        secrets.insert(name, value.clone());
    }
    secrets.retain(|_, value| !value.is_empty());
    let key = |name: &str| secrets.get(name).cloned().unwrap_or_default();
    let [access_key, secret_key] = OTHER_KEYS.map(key);
    let other = (bucket.store == Shop::Other).then_some(OtherStore { access_key, secret_key });
    let [reader_key, writer_key] = ["/weaviate/reader-key", "weaviate/writer-key"].map(key);
    let mut cloud = cloud(scene, &secrets)?;
    let mut config: Table =
        std::fs::read_to_string(programs.repository.join("tests/cases/config.toml"))?.parse()?;
    for name in &scene.unset {
        take_away(&mut config, name)?;
    }
    lay(&mut config, &scene.config);
    if scene.group.contains_key("absent") {
        config.remove("signal");
    }
    let may_write = backup_role(programs, &cloud, &config)?;
    cloud.roles.entry("weaviate-backup".to_owned()).or_insert(may_write);
    let eni = cloud.enis.first().context("the cloud has an ENI")?;
    let address: Ipv4Addr = eni.address.parse()?;
    let machine_spec = machine::specify(programs, &machine, &cloud, &config)?;
    let walls = if machine.wide_groups { walls(machine_spec.primary.address, address) } else { Vec::new() };
    Ok(Specs {
        walls,
        hop_limit: machine.hop_limit,
        policy: if scene.unmanaged { Policy::everything() } else { policy(programs, &cloud, &config)? },
        machine: machine_spec,
        enis: BTreeMap::from([(eni.id.clone(), eni_plan(&cloud)?)]),
        remove: machine.remove.clone(),
        cloud,
        source: bucket.source.as_ref().map(|source| source.bucket.clone()),
        prefix: config["backup"].get("prefix").and_then(Value::as_str).unwrap_or_default().to_owned(),
        address,
        reader_key,
        writer_key,
        other,
        speed: S3Speed {
            direct: is_direct(&config),
            first_byte: Duration::from_millis(bucket.first_byte_ms),
            bytes_per_second: bucket.bytes_per_second,
            line: bucket.line_bytes_per_second,
            region: bucket.region,
            regions: bucket
                .source
                .and_then(|source| Some((source.bucket, source.region?)))
                .into_iter()
                .collect(),
        },
        config,
    })
}

fn is_direct(config: &Table) -> bool {
    let mode = config.get("restore").and_then(|restore| restore.get("mode")).and_then(Value::as_str);
    mode == Some("direct")
}

fn cloud(scene: &Scene, secrets: &BTreeMap<&str, String>) -> Result<CloudSpec> {
    let mut table = Table::new();
    let mut eni = scene.eni.clone();
    let mut instances = vec![Value::Table(Table::new())];
    if let Some(state) = &scene.old_owner {
        eni.insert("owner".to_owned(), OLD.into());
        instances.push(Value::Table(toml! { address = "10.0.1.11" }));
        if let Some(Value::Table(old)) = instances.last_mut() {
            old.insert("id".to_owned(), OLD.into());
            old.insert("state".to_owned(), state.as_str().into());
        }
    }
    table.insert("instances".to_owned(), Value::Array(instances));
    table.insert("enis".to_owned(), Value::Array(vec![Value::Table(eni)]));
    let groups =
        if scene.group.contains_key("absent") { Vec::new() } else { vec![Value::Table(scene.group.clone())] };
    table.insert("groups".to_owned(), Value::Array(groups));
    let (mut managed, mut parameters) = (Vec::new(), Vec::new());
    for (name, value) in secrets {
        let mut entry = Table::new();
        entry.insert("name".to_owned(), (*name).into());
        entry.insert("value".to_owned(), value.as_str().into());
        if name.starts_with('/') {
            parameters.push(Value::Table(entry));
        } else {
            managed.push(Value::Table(entry));
        }
    }
    table.insert("secrets".to_owned(), Value::Array(managed));
    table.insert("parameters".to_owned(), Value::Array(parameters));
    lay(&mut table, &scene.cloud);
    let mut spec: CloudSpec = read("[scene.cloud]", &table)?;
    if scene.unlaunched {
        // TOML has no word for "none".
        for instance in spec.instances.iter_mut().filter(|instance| instance.id == NEW) {
            instance.state = None;
        }
    }
    spec.roles.entry("weaviate-direct".to_owned()).or_insert_with(direct_role);
    // One subnet in another zone, for the ENI that lies in the wrong one.
    spec.subnets.push(Subnet {
        id: "subnet-0aaaaaaaaaaaaaa09".to_owned(),
        cidr: "10.0.2.0/24".to_owned(),
        zone: "eu-central-1b".to_owned(),
    });
    Ok(spec)
}

/// What the server may do itself in direct mode: its own transfer reads the backup, and writes its results beside it.
fn direct_role() -> RoleSpec {
    let policy = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": "arn:aws:s3:::acme-weaviate",
                "Condition": { "StringLike": { "s3:prefix": ["prod/*"] } }
            },
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject"],
                "Resource": "arn:aws:s3:::acme-weaviate/prod/*"
            }
        ]
    });
    let tags = BTreeMap::from([("weaviate:deployment".to_owned(), "acme-prod".to_owned())]);
    RoleSpec { policy: Some(policy.to_string()), tags }
}

/// What may write backups, as it is shipped.
fn backup_role(programs: &Programs, cloud: &CloudSpec, config: &Table) -> Result<RoleSpec> {
    let mut text = std::fs::read_to_string(programs.repository.join("packaging/iam-backup.json"))?;
    for (name, value) in placeholders(cloud, config) {
        text = text.replace(name, &value);
    }
    let deployment = config["node"].get("deployment").and_then(Value::as_str).unwrap_or_default();
    let tags = BTreeMap::from([("weaviate:deployment".to_owned(), deployment.to_owned())]);
    Ok(RoleSpec { policy: Some(text), tags })
}

fn policy(programs: &Programs, cloud: &CloudSpec, config: &Table) -> Result<Policy> {
    let text = std::fs::read_to_string(programs.repository.join("packaging/iam-instance.json"))?;
    let placeholders = placeholders(cloud, config);
    let placeholders: Vec<(&str, &str)> =
        placeholders.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let policy = Policy::load(&text, &placeholders)?;
    Ok(match source_policy(programs, cloud, config)? {
        Some(more) => policy.and(more),
        None => policy,
    })
}

/// What reading `restore.from` needs beside that, as it is shipped.
fn source_policy(programs: &Programs, cloud: &CloudSpec, config: &Table) -> Result<Option<Policy>> {
    let Some(from) = config.get("restore").and_then(|restore| restore.get("from")) else { return Ok(None) };
    let value = |key: &str| from.get(key).and_then(Value::as_str);
    let (bucket, prefix) = (value("bucket").unwrap_or_default(), value("prefix").unwrap_or_default());
    let region = value("region").unwrap_or(&cloud.region);
    let placeholders =
        [("BUCKET", bucket), ("PREFIX", prefix), ("REGION", region), ("ACCOUNT", cloud.account.as_str())];
    let text = std::fs::read_to_string(programs.repository.join("packaging/iam-source.json"))?;
    Ok(Some(Policy::load(&text, &placeholders)?))
}

/// What the shipped policies leave open.
fn placeholders(cloud: &CloudSpec, config: &Table) -> [(&'static str, String); 8] {
    let value = |section: &str, key: &str| {
        config[section].get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    [
        ("REGION", cloud.region.clone()),
        ("ACCOUNT", cloud.account.clone()),
        ("DEPLOYMENT", value("node", "deployment")),
        ("NODE", value("node", "name")),
        ("BUCKET", value("backup", "bucket")),
        ("PREFIX", value("backup", "prefix")),
        ("GROUP", GROUP.to_owned()),
        ("ROLE", ROLE.to_owned()),
    ]
}

fn eni_plan(cloud: &CloudSpec) -> Result<EniPlan> {
    let eni = cloud.enis.first().context("the cloud has an ENI")?;
    let defaults = EniPlan::default();
    Ok(EniPlan {
        id: eni.id.clone(),
        nic: Nic {
            mac: eni.mac.clone().unwrap_or_else(|| mac_of(&eni.address)),
            address: eni.address.parse()?,
            ..defaults.nic.clone()
        },
        allowed: super::groups::admitted(cloud, eni, &VpcPlan::default()),
        ..defaults
    })
}
