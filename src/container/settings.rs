//! `[weaviate]`: the server's image, keys, modules and limits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{ByteSize, SecretReference, Section};
use crate::weaviate::descriptor::{patch, tagged};

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
    /// Who of those that come by OIDC may do everything, and who may only read: the server's list of admins is
    /// always on, and whoever it does not name gets 403 for everything.
    pub admin_users: Vec<String>,
    pub admin_groups: Vec<String>,
    pub read_only_users: Vec<String>,
    pub read_only_groups: Vec<String>,
}

/// The names that the server gives to those who come with a key, and without one.
const OWN_USERS: [&str; 4] = ["admin", "writer", "reader", "anonymous"];

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
    "AUTHORIZATION_ADMINLIST_GROUPS",
    "AUTHORIZATION_ADMINLIST_READONLY_GROUPS",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_REGION",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "BACKUP_FILESYSTEM_PATH",
    "BACKUP_S3_AUTH_PROXY_ENDPOINT",
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

/// Those before it may not store all of what they restore (Weaviate documentation, "Backups", "Restoring backups from
/// `v1.23.12` and older").
const OLDEST: (u32, u32, u32) = (1, 23, 13);

impl Settings {
    pub fn read(section: &mut Section<'_>) -> Option<Self> {
        let image: Option<String> = section.required("image");
        let version = image.as_deref().and_then(tagged);
        if let Some(old) = version.filter(|version| patch(version).is_some_and(|of| of < OLDEST)) {
            let (major, minor, patch) = OLDEST;
            section.problem(
                "image",
                format!(
                    "is Weaviate {old}, and one before {major}.{minor}.{patch} may lose data in a restore"
                ),
            );
        }
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
        // Every key is asked for before the first `?`: one that is missing must not make the others unknown.
        let anonymous = section.or("anonymous", false);
        let grpc = section.or("grpc", true);
        let modules = section.or("modules", Vec::new());
        let memory = section.optional("memory");
        // An LSM store keeps its segments open; 1024 is what a shell gives.
        let open_files = section.or("open_files", 1_048_576);
        // Measured: ready after 2.4-11.2 s when empty; a reused volume loads its shards first.
        let start_deadline = section.or("start_deadline", Duration::from_mins(10));
        let s3_role_arn = section.optional("s3_role_arn");
        Some(Self {
            image: image?,
            image_file,
            keys: Keys { admin: admin?, writer, reader },
            oidc,
            anonymous,
            grpc,
            modules,
            env,
            memory,
            open_files,
            start_deadline,
            s3_role_arn,
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
        let admin_users: Vec<String> = section.or("admin_users", Vec::new());
        let admin_groups: Vec<String> = section.or("admin_groups", Vec::new());
        let read_only_users: Vec<String> = section.or("read_only_users", Vec::new());
        let read_only_groups: Vec<String> = section.or("read_only_groups", Vec::new());
        if [&admin_users, &admin_groups, &read_only_users, &read_only_groups]
            .iter()
            .all(|list| list.is_empty())
        {
            section.problem(
                "admin_users",
                "is missing: without it, `admin_groups`, `read_only_users` and `read_only_groups` nobody who comes by OIDC may do anything",
            );
        }
        // The server does not start with a subject on both lists (its adminlist/config.go).
        for (key, admins, readers) in [
            ("read_only_users", &admin_users, &read_only_users),
            ("read_only_groups", &admin_groups, &read_only_groups),
        ] {
            if let Some(both) = readers.iter().find(|name| admins.contains(name)) {
                let other = key.replace("read_only", "admin");
                section.problem(key, format!("names {both}, who is in `{other}` too"));
            }
        }
        for (key, list) in [("admin_users", &admin_users), ("read_only_users", &read_only_users)] {
            if let Some(own) = list.iter().find(|name| OWN_USERS.contains(&name.as_str())) {
                section.problem(key, format!("names {own}, who is the user of an API key"));
            }
        }
        if groups_claim.is_none() && !(admin_groups.is_empty() && read_only_groups.is_empty()) {
            section.problem("groups_claim", "is missing: groups are read from a claim");
        }
        Some(Self {
            issuer: issuer?,
            client_id: client_id?,
            scopes,
            username_claim,
            groups_claim,
            admin_users,
            admin_groups,
            read_only_users,
            read_only_groups,
        })
    }
}
