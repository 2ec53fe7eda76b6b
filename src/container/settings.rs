//! `[weaviate]`: the server's image, keys, modules and limits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{ByteSize, SecretReference, Section};

/// Where the API keys lie.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The agent's own: everything is allowed.
    pub admin: SecretReference,
    pub writer: Option<SecretReference>,
    pub reader: Option<SecretReference>,
}

/// `[weaviate.oidc]`, rendered into the server's configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oidc {
    pub issuer: String,
    pub client_id: String,
    pub scopes: Vec<String>,
    pub username_claim: String,
    pub groups_claim: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// By tag or by digest.
    pub image: String,
    /// An archive made by `docker save`: used when the image is not there, before any registry.
    pub image_file: Option<PathBuf>,
    pub keys: Keys,
    pub oidc: Option<Oidc>,
    /// Everybody may do everything without a key. Shown as a warning for as long as it is so.
    pub anonymous: bool,
    /// Whether gRPC is published on 50051.
    pub grpc: bool,
    pub modules: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub memory: Option<ByteSize>,
    pub open_files: u32,
    /// From the container's start to `ready`.
    pub start_deadline: Duration,
    /// `restore.mode = "direct"`: the role whose short-lived credentials are vended to the container.
    pub s3_role_arn: Option<String>,
}

/// Environment variables that this program sets itself, or that would undo what it promises.
pub const OWNED_ENVIRONMENT: &[&str] = &[
    "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED",
    "AUTHENTICATION_APIKEY_ENABLED",
    "AUTHENTICATION_APIKEY_ALLOWED_KEYS",
    "AUTHENTICATION_APIKEY_USERS",
    "AUTHENTICATION_OIDC_ENABLED",
    "AUTHORIZATION_ADMINLIST_ENABLED",
    "AUTHORIZATION_ADMINLIST_USERS",
    "AUTHORIZATION_ADMINLIST_READONLY_USERS",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "BACKUP_FILESYSTEM_PATH",
    "BACKUP_S3_BUCKET",
    "BACKUP_S3_ENDPOINT",
    "BACKUP_S3_PATH",
    "BACKUP_S3_USE_SSL",
    "CLUSTER_HOSTNAME",
    "ENABLE_MODULES",
    "GRPC_PORT",
    "PERSISTENCE_DATA_PATH",
    "RUNTIME_OVERRIDES_ENABLED",
    "RUNTIME_OVERRIDES_PATH",
    "RUNTIME_OVERRIDES_LOAD_INTERVAL",
];

impl Settings {
    pub fn read(section: &mut Section<'_>) -> Option<Self> {
        let image = section.required("image");
        let image_file = section.optional("image_file");
        let mut keys = section.section("keys");
        let admin = keys.required("admin");
        let writer = keys.optional("writer");
        let reader = keys.optional("reader");
        drop(keys);
        let oidc = section.optional_section("oidc").and_then(|mut oidc| Oidc::read(&mut oidc));
        let env: BTreeMap<String, String> = section.or("env", BTreeMap::new());
        for name in env.keys().filter(|name| OWNED_ENVIRONMENT.contains(&name.as_str())) {
            section.problem("env", format!("sets {name}, which this program owns; use the key made for it"));
        }
        Some(Self {
            image: image?,
            image_file,
            keys: Keys { admin: admin?, writer, reader },
            oidc,
            anonymous: section.or("anonymous", false),
            grpc: section.or("grpc", true),
            modules: section.or("modules", Vec::new()),
            env,
            memory: section.optional("memory"),
            // An LSM store keeps its segments open; 1024 is what a shell gives.
            open_files: section.or("open_files", 1_048_576),
            // Measured: ready after 2.4-11.2 s when empty; a reused volume loads its shards first.
            start_deadline: section.or("start_deadline", Duration::from_mins(10)),
            s3_role_arn: section.optional("s3_role_arn"),
        })
    }
}

impl Oidc {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let issuer = section.required("issuer");
        let client_id = section.required("client_id");
        let scopes = section.or("scopes", Vec::new());
        let username_claim = section.or("username_claim", "sub".to_owned());
        let groups_claim = section.optional("groups_claim");
        Some(Self { issuer: issuer?, client_id: client_id?, scopes, username_claim, groups_claim })
    }
}
