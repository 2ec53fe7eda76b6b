//! From a case's scene to the specifications of all parts: pure but for the files that it reads.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use toml::{Table, Value, toml};

use super::beside::{OTHER_KEYS, OtherStore, Shop, walls};
use super::{BUCKET, Planted, Programs, ServerImage, Stage};
use crate::case::{Scene, lay, take_away};
use crate::cloud::resources::mac_of;
use crate::cloud::spec::{CloudSpec, GROUP, NEW, OLD, ROLE, RoleSpec, Subnet};
use crate::fixtures::generate::{self, Wanted};
use crate::fixtures::{self, Damage, Options, Pointer};
use crate::iam::Policy;
use crate::ledger::{Event, Ledger};
use crate::machine::{DiskSpec, Machine, MachineSpec, Os};
use crate::s3;
use crate::vpc::{EniPlan, Nic, VpcPlan};

/// Where the cases' image is found: in the world's registry.
pub const REPOSITORY: &str = "10.0.8.10:5000/weaviate";
pub const TAG: &str = "1.39.0";

/// How the image comes to the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Image {
    /// The AMI brought it.
    #[default]
    Loaded,
    /// Pulled by tag.
    ByTag,
    /// Pulled by digest.
    ByDigest,
    /// Loaded by the agent from an archive on the machine.
    FromFile,
}

/// `[scene.machine]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MachineScene {
    os: String,
    image: Image,
    /// More arguments for dockerd.
    docker: Vec<String>,
    /// Of each instance store.
    disk_mib: u64,
    /// How many instance stores there are.
    disks: u64,
    /// What somebody did to the disks before: a script. A disk that it wrote to is foreign, and stays as it is.
    disk_script: Option<String>,
    /// What somebody did to the machine before the agent came, when Docker ran already: a script.
    script: Option<String>,
    /// Files that somebody removes as soon as they are there.
    remove: Vec<std::path::PathBuf>,
    /// No security group keeps near and far clients from the primary address and from the server's inner ports.
    wide_groups: bool,
    /// Of the metadata service's answers. With two, a container behind a bridge would get them.
    hop_limit: u32,
}

impl Default for MachineScene {
    fn default() -> Self {
        Self {
            os: "hands-off".to_owned(),
            image: Image::Loaded,
            docker: Vec::new(),
            disk_mib: 8 << 10,
            disks: 1,
            disk_script: None,
            script: None,
            remove: Vec::new(),
            wide_groups: false,
            hop_limit: 1,
        }
    }
}

/// How fast S3 is, and where.
#[derive(Clone, Debug, Default)]
pub struct S3Speed {
    pub first_byte: Duration,
    pub bytes_per_second: Option<u64>,
    /// Elsewhere than the cloud.
    pub region: Option<String>,
}

/// `[scene.bucket]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BucketScene {
    /// In the order in which they were published; folders of the recordings.
    backups: Vec<String>,
    manifest: bool,
    copies: bool,
    deployment: Option<String>,
    node: Option<String>,
    /// The manifest of a node that started empty.
    empty_manifest: bool,
    /// The object, by the end of its key, that has one bit flipped, or ends early.
    flip: Option<String>,
    truncate: Option<String>,
    /// Laid over the pointer as it lies in the bucket; the copy stays as it is.
    manifest_patch: Table,
    /// What lies in the pointer's place instead.
    manifest_text: Option<String>,
    /// A generated backup, instead of a recorded one.
    generated: Option<Wanted>,
    first_byte_ms: u64,
    bytes_per_second: Option<u64>,
    store: Shop,
    /// Where the store is, if elsewhere than the cloud.
    region: Option<String>,
}

impl Default for BucketScene {
    fn default() -> Self {
        Self {
            backups: vec!["full-1".to_owned()],
            manifest: true,
            copies: true,
            deployment: None,
            node: None,
            empty_manifest: false,
            flip: None,
            truncate: None,
            manifest_patch: Table::new(),
            manifest_text: None,
            generated: None,
            first_byte_ms: 0,
            bytes_per_second: None,
            store: Shop::Amazon,
            region: None,
        }
    }
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
    pub address: Ipv4Addr,
    pub reader_key: String,
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
    let reader_key = secrets.get("/weaviate/reader-key").cloned().unwrap_or_default();
    let cloud = cloud(scene, &secrets)?;
    let mut config: Table =
        std::fs::read_to_string(programs.repository.join("tests/cases/config.toml"))?.parse()?;
    for name in &scene.unset {
        take_away(&mut config, name)?;
    }
    lay(&mut config, &scene.config);
    if scene.group.contains_key("absent") {
        config.remove("signal");
    }
    let eni = cloud.enis.first().context("the cloud has an ENI")?;
    let address: Ipv4Addr = eni.address.parse()?;
    let machine_spec = machine_spec(programs, &machine, &cloud, &config)?;
    let walls = if machine.wide_groups { walls(machine_spec.primary.address, address) } else { Vec::new() };
    Ok(Specs {
        walls,
        hop_limit: machine.hop_limit,
        policy: if scene.unmanaged { Policy::everything() } else { policy(programs, &cloud, &config)? },
        machine: machine_spec,
        enis: BTreeMap::from([(eni.id.clone(), eni_plan(&cloud)?)]),
        remove: machine.remove.clone(),
        cloud,
        prefix: config["backup"].get("prefix").and_then(Value::as_str).unwrap_or_default().to_owned(),
        config,
        address,
        reader_key,
        other,
        speed: S3Speed {
            first_byte: Duration::from_millis(bucket.first_byte_ms),
            bytes_per_second: bucket.bytes_per_second,
            region: bucket.region,
        },
    })
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

fn policy(programs: &Programs, cloud: &CloudSpec, config: &Table) -> Result<Policy> {
    let text = std::fs::read_to_string(programs.repository.join("packaging/iam-instance.json"))?;
    let value = |section: &str, key: &str| {
        config[section].get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let placeholders = [
        ("REGION", cloud.region.clone()),
        ("ACCOUNT", cloud.account.clone()),
        ("DEPLOYMENT", value("node", "deployment")),
        ("NODE", value("node", "name")),
        ("BUCKET", value("backup", "bucket")),
        ("PREFIX", value("backup", "prefix")),
        ("GROUP", GROUP.to_owned()),
        ("ROLE", ROLE.to_owned()),
    ];
    let placeholders: Vec<(&str, &str)> =
        placeholders.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Ok(Policy::load(&text, &placeholders)?)
}

fn machine_spec(
    programs: &Programs,
    scene: &MachineScene,
    cloud: &CloudSpec,
    config: &Table,
) -> Result<MachineSpec> {
    let instance = cloud.instances.iter().find(|instance| instance.id == NEW).context("the new instance")?;
    let os = match scene.os.as_str() {
        "hands-off" => Os::HandsOff,
        "debian-12" => Os::Debian12,
        "amazon-linux-2023" => Os::AmazonLinux2023,
        "ubuntu-24.04" => Os::Ubuntu2404,
        other => bail!("no such OS: {other}"),
    };
    let share = [&programs.agent, &programs.server]
        .into_iter()
        .filter_map(|program| program.parent().map(Path::to_path_buf));
    let defaults = MachineSpec::default();
    let stores = (0..scene.disks)
        .map(|n| DiskSpec::instance_store(&format!("AWS2A1B3C4D5E6F7081{}", 9 - n), scene.disk_mib << 20));
    // Amazon answers at the name of every bucket, be there one or not. The other store has no name but its own:
    // who asks it at `BUCKET.store.world` finds nobody.
    let bucket = config["backup"].get("bucket").and_then(Value::as_str).unwrap_or_default();
    let amazon = ["s3.world".to_owned(), format!("{bucket}.s3.world")];
    let amazon = amazon.map(|name| (Ipv4Addr::new(10, 0, 8, 9), name));
    let other = (Ipv4Addr::new(10, 0, 8, 11), "store.world".to_owned());
    Ok(MachineSpec {
        instance_id: NEW.to_owned(),
        primary: Nic { mac: mac_of(&instance.address), ..defaults.primary.clone() },
        hosts: amazon.into_iter().chain([other]).collect(),
        disks: std::iter::once(DiskSpec::ebs_root("vol0123456789abcdef0")).chain(stores).collect(),
        os,
        share: share.collect(),
        ..defaults
    })
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

fn backups(programs: &Programs) -> std::path::PathBuf {
    programs.repository.join("tests/recordings/weaviate-1.39.0/backups")
}

/// Puts the case's backups into the bucket; what each holds, by id, as the manifest counts it.
pub fn fill_bucket(
    programs: &Programs,
    scene: &Scene,
    prefix: &str,
    store: &s3::Store,
    scratch: &Path,
    ledger: &Ledger,
) -> Result<BTreeMap<String, serde_json::Value>> {
    let bucket: BucketScene = read("[scene.bucket]", &scene.bucket)?;
    let mut options = Options {
        prefix: prefix.to_owned(),
        node: bucket.node.clone(),
        deployment: bucket.deployment.clone().unwrap_or_else(|| "acme-prod".to_owned()),
        pointer: match (bucket.manifest, bucket.copies) {
            (true, _) => Pointer::Latest,
            (false, true) => Pointer::OnlyCopy,
            (false, false) => Pointer::OnlyDescriptors,
        },
        owner: Some(OLD.to_owned()),
        ..Options::default()
    };
    store.create_bucket(&options.bucket);
    let flip = bucket.flip.iter().map(|end| (end.clone(), Damage::FlippedBit { byte: 1000 }));
    let truncate = bucket.truncate.iter().map(|end| (end.clone(), Damage::Truncated { size: 1000 }));
    options.damage = flip.chain(truncate).collect();
    if bucket.empty_manifest {
        fixtures::publish_empty(store, &options)?;
    }
    let mut published = BTreeMap::new();
    if let Some(wanted) = &bucket.generated {
        let out = scratch.join("generated");
        let made = generate::generate(&programs.server, &out, wanted)?;
        ledger.record(Event::Mark { what: made.to_string() });
        let manifest = fixtures::publish(store, &out, generate::ID, &options)?.manifest;
        // Two readings of one backup: the generator's own, and what its descriptors and files say.
        ensure!(crate::case::counts(&manifest) == made.counts, "{made}; its manifest says {manifest}");
        published.insert(generate::ID.to_owned(), manifest);
    } else {
        for id in &bucket.backups {
            published
                .insert(id.clone(), fixtures::publish(store, &backups(programs), id, &options)?.manifest);
            options.generation += 1;
        }
    }
    spoil_pointer(store, &options, &bucket)?;
    Ok(published)
}

/// What somebody did to the pointer after it was published.
fn spoil_pointer(store: &s3::Store, options: &Options, bucket: &BucketScene) -> Result<()> {
    let key = options.pointer_key();
    if !bucket.manifest_patch.is_empty() {
        let there = store.read(&options.bucket, &key).context("there is no pointer to patch")?;
        let there: serde_json::Value = serde_json::from_slice(&there)?;
        let mut manifest = Table::try_from(drop_nulls(there))?;
        lay(&mut manifest, &bucket.manifest_patch);
        store.put(&options.bucket, &key, serde_json::to_string(&manifest)?.as_bytes())?;
    }
    if let Some(text) = &bucket.manifest_text {
        store.put(&options.bucket, &key, text.as_bytes())?;
    }
    Ok(())
}

/// TOML has no null, and a field that is null in a manifest means the same as one that is not there.
fn drop_nulls(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(fields) => {
            fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, drop_nulls(v))).collect()
        }
        serde_json::Value::Array(items) => items.into_iter().map(drop_nulls).collect(),
        other => other,
    }
}

/// The old owner's last backup, published while the successor waits.
pub fn publish_later(
    programs: &Programs,
    store: &s3::Store,
    prefix: &str,
    id: &str,
    generation: u64,
) -> Result<serde_json::Value> {
    let owner = Some(OLD.to_owned());
    let options = Options { owner, generation, prefix: prefix.to_owned(), ..Options::default() };
    Ok(fixtures::publish(store, &backups(programs), id, &options)?.manifest)
}

/// The judge knows whose the manifest is and what has to be counted, whoever wrote it.
pub fn tell_published(store: &s3::Store, ledger: &Ledger) {
    let pointers =
        store.keys(BUCKET, "").into_iter().filter(|object| object.key.ends_with(fixtures::POINTER));
    for object in pointers {
        let parameters = crate::judge::facts(&store.read(BUCKET, &object.key).unwrap_or_default());
        ledger.record(Event::Published { key: object.key, parameters });
    }
}

/// Starts dockerd and brings the image as the scene wants it.
pub async fn start_engine(stage: &Stage) -> Result<()> {
    let scene: MachineScene = read("[scene.machine]", &stage.scene().machine)?;
    let arguments: Vec<&str> = scene.docker.iter().map(String::as_str).collect();
    stage.machine.start_docker(&arguments).await?;
    let archive = stage.image.archive.to_str().context("the archive's path is text")?;
    match scene.image {
        Image::Loaded => {
            let load = stage.machine.command("docker")?.args(["load", "--quiet", "--input", archive]);
            load.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").succeed(Duration::from_mins(2)).await?;
        }
        Image::FromFile => {
            let folder = stage.machine.path("/opt/weaviate");
            std::fs::create_dir_all(&folder)?;
            std::fs::copy(archive, folder.join("image.tar"))?;
        }
        Image::ByTag | Image::ByDigest => {}
    }
    Ok(())
}

/// What somebody did to the disks, before anybody watches them.
pub async fn prepare_disks(machine: &Machine, scene: &Scene) -> Result<()> {
    let scene: MachineScene = read("[scene.machine]", &scene.machine)?;
    let Some(script) = scene.disk_script else { return Ok(()) };
    let shell = machine.command("sh")?.args(["-euc", &script]);
    shell.succeed(Duration::from_secs(30)).await.context("the case's script for the disks")?;
    machine.disks().iter().try_for_each(|disk| disk.begin())
}

/// What somebody did to the machine.
pub async fn prepare_machine(stage: &Stage) -> Result<()> {
    let scene: MachineScene = read("[scene.machine]", &stage.scene().machine)?;
    match scene.script {
        Some(text) => script(&stage.machine, &text).await,
        None => Ok(()),
    }
}

/// Runs a case's script on the machine.
pub async fn script(machine: &Machine, script: &str) -> Result<()> {
    let shell = machine.command("sh")?.args(["-euc", script]);
    let shell = shell.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    shell.succeed(Duration::from_mins(1)).await.context("the case's script").map(drop)
}

/// How the agent's configuration names the image.
pub fn image_reference(scene: &Scene, digest: &str) -> Result<String> {
    let scene: MachineScene = read("[scene.machine]", &scene.machine)?;
    Ok(match scene.image {
        Image::Loaded | Image::ByTag | Image::FromFile => format!("{REPOSITORY}:{TAG}"),
        Image::ByDigest => format!("{REPOSITORY}@{digest}"),
    })
}

/// The image of the stand-in, or the archive that the user named.
pub fn server_image(programs: &Programs, directory: &Path) -> Result<ServerImage> {
    let image = if let Some(archive) = &programs.archive {
        crate::registry::Image::of_archive(archive)?
    } else {
        let path = &programs.server;
        let binary = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        crate::registry::Image::of_binary(&binary, &crate::registry::ImageOptions::default())?
    };
    // Under the name that the cases' configuration has, whatever its own is.
    let archive = directory.join("image.tar");
    image.archive(&archive, &format!("{REPOSITORY}:{TAG}"))?;
    Ok(ServerImage { archive, digest: image.digest().to_owned(), registry: image })
}
