//! Everything that decides how one server behaves: arguments, environment, config file, in that order
//! of reading. The environment wins over the file, as in the real server.
//!
//! ```text
//! arguments ── --config-file ──► file ──► environment over it ──► Settings | StartError (exit 1)
//! ```
//!
//! To add a variable: a field in [`Settings`], a line in [`Settings::read`].

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::Auth;
use crate::config_file::{ConfigError, ConfigFile};

/// The arguments of the real server. Those that change nothing here are accepted all the same.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[arg(long, env = "HOST", default_value = "0.0.0.0")]
    pub host: String,
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,
    #[arg(long, default_value = "http")]
    pub scheme: String,
    #[arg(long, default_value = "./weaviate.conf.json")]
    pub config_file: PathBuf,
    #[arg(long)]
    pub read_timeout: Option<String>,
    #[arg(long)]
    pub write_timeout: Option<String>,
    #[arg(long)]
    pub graceful_timeout: Option<String>,
}

/// Delays of the real server, all of them scaled by `STAND_IN_TIME_SCALE`.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub live: Duration,
    pub ready: Duration,
    pub first_poll: Duration,
    pub next_poll: Duration,
    pub class_apply: Duration,
    pub stop: Duration,
    pub disk_look: Duration,
}

#[derive(Clone, Debug)]
pub struct S3Settings {
    pub bucket: String,
    pub prefix: String,
    pub endpoint: String,
    pub use_ssl: bool,
    pub region: String,
}

#[derive(Clone, Debug)]
pub struct Overrides {
    pub path: PathBuf,
    pub interval: Duration,
}

/// Ports that are never for clients.
#[derive(Clone, Copy, Debug)]
pub struct InnerPorts {
    pub gossip: u16,
    pub data: u16,
    pub raft: u16,
    pub metrics: Option<u16>,
}

impl InnerPorts {
    fn read(env: &Environment) -> Self {
        let gossip = env.number("CLUSTER_GOSSIP_BIND_PORT", 7946);
        Self {
            gossip,
            data: env.number("CLUSTER_DATA_BIND_PORT", gossip.saturating_add(1)),
            raft: env.number("RAFT_PORT", 8300),
            metrics: env
                .on("PROMETHEUS_MONITORING_ENABLED")
                .then(|| env.number("PROMETHEUS_MONITORING_PORT", 2112)),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub grpc_port: u16,
    /// Gossip and cluster API, on every address, and Raft on the node's own; metrics where they are on.
    pub inner_ports: InnerPorts,
    pub node: String,
    /// What it says that it is, and behaves as where versions differ: `STAND_IN_VERSION`.
    pub version: String,
    pub data: PathBuf,
    pub auth: Auth,
    pub filesystem: Option<PathBuf>,
    pub s3: Option<S3Settings>,
    pub api_modules: bool,
    pub overrides: Option<Overrides>,
    pub disk_read_only_percent: u64,
    pub min_chunk: u64,
    pub target_chunk: u64,
    pub cores: usize,
    pub timing: Timing,
    pub environment: Environment,
}

/// A snapshot of the variables, so that tests run servers with different ones in one process.
#[derive(Clone, Default)]
pub struct Environment(std::collections::BTreeMap<String, String>);

/// Names only: values hold keys.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    pub fn of_process() -> Self {
        Self(std::env::vars().collect())
    }

    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// "on", "enabled", "1" and "true" are true (entities/config/helpers.go).
    pub fn on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| {
            matches!(value.to_ascii_lowercase().as_str(), "on" | "enabled" | "1" | "true")
        })
    }

    pub fn list(&self, name: &str) -> Option<Vec<String>> {
        self.get(name).map(|value| value.split(',').map(str::to_owned).collect())
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> T {
        self.get(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}

/// Why the server refuses to start: the fatal line of its log.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("apikey client could not start up: invalid apikey config: {0}")]
    ApiKey(&'static str),
    #[error(
        "modules didn't initialize: init modules: init module {index} (\"{module}\"): backup init: {reason}"
    )]
    Module { index: usize, module: &'static str, reason: String },
    #[error("could not load config: {0}")]
    Config(#[from] ConfigError),
    #[error("invalid config: {0}")]
    Invalid(String),
    #[error("could not open data path {path}: {reason}")]
    Data { path: String, reason: String },
    #[error("could not listen on {address}: {reason}")]
    Listen { address: String, reason: String },
}

impl StartError {
    /// The `action` field of the log line.
    pub fn action(&self) -> &'static str {
        match self {
            Self::ApiKey(_) => "api_keys_init",
            Self::Module { .. }
            | Self::Config(_)
            | Self::Invalid(_)
            | Self::Data { .. }
            | Self::Listen { .. } => "startup",
        }
    }
}

impl Settings {
    pub fn read(arguments: &Arguments, environment: Environment) -> Result<Self, StartError> {
        let env = &environment;
        let file = ConfigFile::read(&arguments.config_file)?;
        let auth = Auth::read(file, env)?;
        let modules = env.list("ENABLE_MODULES").unwrap_or_default();
        let has = |name: &str| modules.iter().any(|module| module.trim() == name);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let data = PathBuf::from(env.get("PERSISTENCE_DATA_PATH").unwrap_or("./data"));
        Ok(Self {
            host: arguments.host.clone(),
            port: arguments.port,
            grpc_port: env.number("GRPC_PORT", 50051),
            inner_ports: InnerPorts::read(env),
            node: env.get("CLUSTER_HOSTNAME").map_or_else(host_name, str::to_owned),
            version: env.get("STAND_IN_VERSION").unwrap_or(crate::VERSION).to_owned(),
            data,
            auth,
            filesystem: if has("backup-filesystem") { Some(filesystem_path(env)?) } else { None },
            s3: if has("backup-s3") { Some(s3(env)?) } else { None },
            api_modules: !env.on("API_BASED_MODULES_DISABLED"),
            overrides: overrides(env),
            disk_read_only_percent: env.number("DISK_USE_READONLY_PERCENTAGE", 90),
            min_chunk: size(env.get("BACKUP_MIN_CHUNK_SIZE")).unwrap_or(1 << 20),
            target_chunk: size(env.get("BACKUP_CHUNK_TARGET_SIZE")).unwrap_or(10 << 20),
            cores: env.number("GOMAXPROCS", cores).max(1),
            timing: Timing::read(env),
            environment,
        })
    }
}

fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "localhost".to_owned())
}

fn filesystem_path(env: &Environment) -> Result<PathBuf, StartError> {
    let fail = |reason: String| StartError::Module { index: 34, module: "backup-filesystem", reason };
    let path = PathBuf::from(
        env.get("BACKUP_FILESYSTEM_PATH").ok_or_else(|| fail("empty backup path provided".into()))?,
    );
    if !path.is_absolute() {
        return Err(fail("relative backup path provided".into()));
    }
    std::fs::create_dir_all(&path).map_err(|error| fail(format!("invalid backup path provided: {error}")))?;
    Ok(path)
}

fn s3(env: &Environment) -> Result<S3Settings, StartError> {
    let bucket = env.get("BACKUP_S3_BUCKET").ok_or(StartError::Module {
        index: 35,
        module: "backup-s3",
        reason: "'BACKUP_S3_BUCKET' must be set".into(),
    })?;
    Ok(S3Settings {
        bucket: bucket.to_owned(),
        prefix: env.get("BACKUP_S3_PATH").unwrap_or("").trim_matches('/').to_owned(),
        endpoint: env.get("BACKUP_S3_ENDPOINT").unwrap_or("s3.amazonaws.com").to_owned(),
        use_ssl: !env.get("BACKUP_S3_USE_SSL").is_some_and(|value| value.eq_ignore_ascii_case("false")),
        region: env
            .get("AWS_REGION")
            .or_else(|| env.get("AWS_DEFAULT_REGION"))
            .unwrap_or("us-east-1")
            .to_owned(),
    })
}

fn overrides(env: &Environment) -> Option<Overrides> {
    let path = env.on("RUNTIME_OVERRIDES_ENABLED").then(|| env.get("RUNTIME_OVERRIDES_PATH")).flatten()?;
    let interval =
        env.get("RUNTIME_OVERRIDES_LOAD_INTERVAL").and_then(duration).unwrap_or(Duration::from_mins(2));
    Some(Overrides { path: path.into(), interval })
}

/// "500ms", "1s", "2m": what Go's time.ParseDuration makes of one number and one unit.
fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()
}

/// "1048576", "1MiB", "10MB".
fn size(text: Option<&str>) -> Option<u64> {
    let text = text?.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    Some(number.trim().parse::<u64>().ok()? * unit)
}

/// Seconds from exec to the open port, as recorded.
const LIVE: std::ops::Range<f64> = 2.22..2.45;
/// Ready follows a random delay of the bootstrap, and one to two heartbeat timeouts of Raft of a second each, times
/// the multiplier: 5.3 to 10.2 s with 5 and 2.2 to 3.7 s with 1, as recorded; never before the port is open.
const BOOTSTRAP: std::ops::Range<f64> = 0.3..1.75;
const HEARTBEATS: std::ops::Range<f64> = 1.0..2.0;

impl Timing {
    fn read(env: &Environment) -> Self {
        use rand::RngExt;
        let mut rng = rand::rng();
        let scale: f64 = env.number("STAND_IN_TIME_SCALE", 1.0);
        let live = env.get("STAND_IN_START_MS").and_then(|ms| ms.parse::<f64>().ok()).map(|ms| ms / 1000.0);
        let multiplier: f64 = env.number("RAFT_TIMEOUTS_MULTIPLIER", 5.0);
        let raft = rng.random_range(BOOTSTRAP) + multiplier * rng.random_range(HEARTBEATS);
        let factor = live.map_or(scale, |seconds| seconds / 2.2);
        let live = live.unwrap_or_else(|| rng.random_range(LIVE) * scale);
        let ready = env.get("STAND_IN_READY_MS").and_then(|ms| ms.parse::<f64>().ok()).map(|ms| ms / 1000.0);
        let seconds = |value: f64| Duration::from_secs_f64(value.max(0.0));
        Self {
            live: seconds(live),
            ready: seconds(ready.unwrap_or(raft * factor).max(live)),
            first_poll: seconds(2.0 * scale),
            next_poll: seconds(10.0 * scale),
            class_apply: seconds(0.2 * scale),
            stop: seconds(0.2 * scale),
            disk_look: seconds(0.5 * scale).max(Duration::from_millis(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_go_reads_them() {
        for (text, expected) in [("1s", Some(1000)), ("250ms", Some(250)), ("2m", Some(120_000)), ("x", None)]
        {
            assert_eq!(duration(text).map(|d| d.as_millis()), expected, "{text}");
        }
        for (text, expected) in
            [("1MiB", Some(1_048_576)), ("5", Some(5)), ("2 MB", Some(2_000_000)), ("q", None)]
        {
            assert_eq!(size(Some(text)), expected, "{text}");
        }
    }

    #[test]
    fn the_multiplier_moves_ready() {
        let at =
            |m| Timing::read(&Environment::from_pairs([("RAFT_TIMEOUTS_MULTIPLIER", m)])).ready.as_secs_f64();
        assert!((5.3..11.8).contains(&at("5")));
        assert!((2.2..3.8).contains(&at("1")));
    }

    #[test]
    fn every_recorded_start_is_one_that_could_be_drawn() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../recordings/weaviate-1.39.0");
        let mut starts = 0;
        for entry in std::fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.path().is_file()) {
            let text = std::fs::read(entry.path()).unwrap();
            let steps: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
            for step in steps.iter().filter(|step| step["event"] == "server" && step["exited"].is_null()) {
                let (live, ready) = (step["live_s"].as_f64().unwrap(), step["ready_s"].as_f64().unwrap());
                let multiplier = step["env"]["RAFT_TIMEOUTS_MULTIPLIER"].as_str().unwrap_or("5");
                let multiplier: f64 = multiplier.parse().unwrap();
                let earliest = (BOOTSTRAP.start + multiplier * HEARTBEATS.start).max(live);
                let latest = BOOTSTRAP.end + multiplier * HEARTBEATS.end;
                let name = entry.file_name();
                assert!(LIVE.contains(&live), "{name:?}: live after {live} s");
                assert!((earliest..latest).contains(&ready), "{name:?}: ready after {ready} s");
                starts += 1;
            }
        }
        assert!(starts > 20, "{starts} starts are recorded");
    }
}
