//! The container's specification: everything that decides how the server runs, and its hash.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::vend::Vending;
use super::{GRPC_PORT, Image, REST_PORT};
use crate::disk::DataVolume;
use crate::hex::hex;
use crate::host::Host;
use crate::network::Publish;
use crate::secrets::Secrets;

/// Where the server finds its things.
pub const DATA: &str = "/var/lib/weaviate";
pub const BACKUPS: &str = "/var/lib/weaviate-backups";
const CONFIG: &str = "/etc/weaviate";
const OVERRIDES: &str = "/etc/weaviate-overrides";
const TOKEN: &str = "/etc/weaviate-credentials";

/// What a boot asks of the server beyond its settings.
#[derive(Clone, Debug, Default)]
pub struct ServerPlan {
    /// `restore.mode` or `backup.mode` is "direct": the credentials end with the last clone of the plan.
    pub s3: Option<Arc<Vending>>,
}

/// The server's own way to S3: an address that vends credentials, and the directory that holds its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectS3 {
    pub credentials_uri: String,
    pub token_dir: PathBuf,
    /// Of the bucket.
    pub region: String,
}

/// Everything that Docker is told. Ordered, so that its text and hash are the same in every run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specification {
    pub image: String,
    pub command: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub user: String,
    /// Source, target, read-only.
    pub mounts: Vec<(PathBuf, String, bool)>,
    pub publish: Published,
    pub ports: Vec<u16>,
    pub memory: Option<u64>,
    pub open_files: u32,
    /// Bytes of a core dump: none, because keys stand in the server's memory.
    pub core: u32,
    pub labels: BTreeMap<String, String>,
    /// A new file system, or another configuration file, needs a new container. Salted with the volume's nonce:
    /// the hash of a weak key must not stand in a label.
    pub volume: String,
    pub configuration: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// On this address, from this network.
    Bridge {
        address: Ipv4Addr,
        network: String,
    },
    Host {
        address: Ipv4Addr,
    },
    /// Nowhere: in this network, and spoken to from this instance alone.
    Nowhere {
        network: String,
    },
}

impl Specification {
    /// The label by which the next run knows whether the container is the one it would make.
    ///
    /// Of its debug text: that names every field and value, and cannot fail.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(format!("{self:?}")))
    }
}

pub fn specify(
    host: &Host,
    address: Ipv4Addr,
    volume: &DataVolume,
    secrets: &Secrets,
    image: &Image,
    plan: &ServerPlan,
) -> Specification {
    let settings = &host.settings.weaviate;
    let publish = match host.settings.network.publish {
        Publish::Bridge => Published::Bridge { address, network: host.settings.network.bridge.clone() },
        Publish::Host => Published::Host { address },
    };
    // In a network of its own the container is reached through its published ports only.
    let listen = match publish {
        Published::Bridge { .. } | Published::Nowhere { .. } => "0.0.0.0".to_owned(),
        Published::Host { address } => address.to_string(),
    };
    let mut mounts = vec![
        (volume.data_dir(), DATA.to_owned(), false),
        (volume.backups_dir(), BACKUPS.to_owned(), false),
        (secrets.config_dir().to_owned(), CONFIG.to_owned(), true),
        (secrets.overrides_dir().to_owned(), OVERRIDES.to_owned(), true),
    ];
    if let Some(s3) = &plan.s3 {
        mounts.push((s3.access().token_dir.clone(), TOKEN.to_owned(), true));
    }
    let mut ports = vec![REST_PORT];
    if settings.grpc {
        ports.push(GRPC_PORT);
    }
    let mut configuration = Sha256::new();
    configuration.update(volume.nonce());
    for value in secrets.values() {
        configuration.update([0]);
        configuration.update(value);
    }
    configuration.update(format!("{:?}{}", settings.oidc, settings.anonymous));
    let (uid, gid) = volume.owner();
    Specification {
        image: image.id().to_owned(),
        command: command(&listen),
        env: environment(host, plan),
        user: format!("{uid}:{gid}"),
        mounts,
        publish,
        ports,
        memory: settings.memory.map(|size| size.0),
        open_files: settings.open_files,
        core: 0,
        labels: BTreeMap::from([
            (label("deployment"), host.settings.node.deployment.to_string()),
            (label("node"), host.settings.node.name.to_string()),
            (label("image"), image.reference().to_owned()),
        ]),
        volume: volume.uuid().to_owned(),
        configuration: hex(&configuration.finalize()),
    }
}

fn command(listen: &str) -> Vec<String> {
    let command = ["--host", listen, "--port", &REST_PORT.to_string(), "--scheme", "http"];
    let mut command: Vec<String> = command.map(str::to_owned).into();
    command.extend(["--config-file".to_owned(), format!("{CONFIG}/config.json")]);
    command
}

/// The same server on other directories, published nowhere: for a drill.
pub fn aside(
    host: &Host,
    volume: &DataVolume,
    secrets: &Secrets,
    image: &Image,
    room: &Room,
) -> Specification {
    let whole = specify(host, Ipv4Addr::UNSPECIFIED, volume, secrets, image, &ServerPlan::default());
    let Room { data, backups, memory } = room.clone();
    let ours = [DATA, BACKUPS];
    let mut mounts = whole.mounts;
    mounts.retain(|(_, target, _)| !ours.contains(&target.as_str()));
    mounts.extend([(data, DATA.to_owned(), false), (backups, BACKUPS.to_owned(), false)]);
    let mut labels = whole.labels;
    labels.insert(label("drill"), String::new());
    Specification {
        command: command("0.0.0.0"),
        mounts,
        publish: Published::Nowhere { network: host.settings.network.bridge.clone() },
        ports: Vec::new(),
        memory: Some(memory),
        labels,
        ..whole
    }
}

/// Where a server beside the one that serves has its things, and how many bytes of memory it may have.
#[derive(Clone, Debug)]
pub struct Room {
    pub data: PathBuf,
    pub backups: PathBuf,
    pub memory: u64,
}

/// The name of a label of ours.
pub fn label(name: &str) -> String {
    format!("weaviate-provisioner.{name}")
}

/// Defaults, then the user's, then what this program owns. No key is among them.
fn environment(host: &Host, plan: &ServerPlan) -> BTreeMap<String, String> {
    let settings = &host.settings.weaviate;
    let mut env: BTreeMap<String, String> = [
        ("DEFAULT_VECTORIZER_MODULE", "none"),
        // One node: five times the heartbeat only delays `ready` (5.3-11.2 s against 2.4-3.4 s, measured).
        ("RAFT_TIMEOUTS_MULTIPLIER", "1"),
        // Telemetry holds a shutdown up for as long as 10 s and leaves the VPC.
        ("DISABLE_TELEMETRY", "true"),
        // It listens on every address, without a key.
        ("GO_PROFILING_DISABLE", "true"),
        ("LIMIT_RESOURCES", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    env.extend(settings.env.clone());
    let mut modules: Vec<&str> = vec!["backup-filesystem"];
    if plan.s3.is_some() {
        modules.push("backup-s3");
    }
    modules.extend(settings.modules.iter().map(String::as_str));
    let mut seen = BTreeSet::new();
    modules.retain(|module| seen.insert(*module));
    env.extend(
        [
            ("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", settings.anonymous.to_string()),
            // Without values: a server that does not find its file refuses to start instead of being open.
            ("AUTHENTICATION_APIKEY_ENABLED", "true".to_owned()),
            ("BACKUP_FILESYSTEM_PATH", BACKUPS.to_owned()),
            ("CLUSTER_HOSTNAME", host.settings.node.name.to_string()),
            ("ENABLE_MODULES", modules.join(",")),
            ("GRPC_PORT", GRPC_PORT.to_string()),
            ("PERSISTENCE_DATA_PATH", DATA.to_owned()),
            ("RUNTIME_OVERRIDES_ENABLED", "true".to_owned()),
            ("RUNTIME_OVERRIDES_PATH", format!("{OVERRIDES}/overrides.yaml")),
            ("RUNTIME_OVERRIDES_LOAD_INTERVAL", "1s".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    if let Some(s3) = &plan.s3 {
        env.extend(direct(host, s3.access()));
    }
    env
}

fn direct(host: &Host, s3: &DirectS3) -> BTreeMap<String, String> {
    let backup = &host.settings.backup;
    let mut env: BTreeMap<String, String> = [
        ("BACKUP_S3_BUCKET", backup.bucket.clone()),
        ("BACKUP_S3_PATH", backup.prefix.clone()),
        ("BACKUP_S3_USE_SSL", backup.use_ssl.to_string()),
        ("AWS_REGION", s3.region.clone()),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", s3.credentials_uri.clone()),
        // A file: the token is in no environment (minio-go takes any host only together with this one).
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", format!("{TOKEN}/token")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if let Some(endpoint) = &backup.endpoint {
        env.insert("BACKUP_S3_ENDPOINT".to_owned(), endpoint.clone());
    }
    env
}

/// Whether a key stands in what Docker will show to everybody who may ask it: the user's variables could hold one.
/// A key so short that it may be part of any word is not looked for.
pub fn leaks(specification: &Specification, secrets: &Secrets) -> bool {
    let shown: Vec<&String> = specification
        .env
        .values()
        .chain(specification.labels.values())
        .chain(&specification.command)
        .collect();
    secrets
        .values()
        .filter(|value| value.len() >= 8)
        .any(|value| shown.iter().any(|text| text.contains(value)))
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
