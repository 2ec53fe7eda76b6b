//! The config file of `--config-file`: JSON or YAML by its extension, ignored in silence when absent.
//!
//! YAML keys are exact; JSON keys are matched without case, as Go's encoding/json does.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConfigFile {
    pub authentication: Authentication,
    pub authorization: Authorization,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Authentication {
    pub anonymous_access: Switch,
    pub apikey: ApiKey,
    pub oidc: Oidc,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Switch {
    pub enabled: bool,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct ApiKey {
    pub enabled: bool,
    pub allowed_keys: Vec<String>,
    pub users: Vec<String>,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey")
            .field("enabled", &self.enabled)
            .field("users", &self.users)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Oidc {
    pub enabled: bool,
    pub issuer: String,
    pub client_id: String,
    pub scopes: Vec<String>,
    pub username_claim: String,
    pub groups_claim: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Authorization {
    pub admin_list: AdminList,
    pub rbac: Rbac,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AdminList {
    pub enabled: bool,
    pub users: Vec<String>,
    pub read_only_users: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rbac {
    pub enabled: bool,
    pub root_users: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("error parsing config file {path}")]
    Json { path: String, source: serde_json::Error },
    #[error("error parsing config file {path}")]
    Yaml { path: String, source: serde_yaml_ng::Error },
    #[error("config file {0} must be .json or .yaml")]
    Extension(String),
}

impl ConfigFile {
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        // The real server ignores an unreadable file as well as an absent one (config_handler.go).
        let Ok(text) = std::fs::read_to_string(path) else { return Ok(Self::default()) };
        let name = path.display().to_string();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => serde_json::from_str::<Value>(&text)
                .and_then(|value| serde_json::from_value(lower_keys(value)))
                .map_err(|source| ConfigError::Json { path: name, source }),
            Some("yaml" | "yml") => serde_yaml_ng::from_str::<Option<Self>>(&text)
                .map(Option::unwrap_or_default)
                .map_err(|source| ConfigError::Yaml { path: name, source }),
            _ => Err(ConfigError::Extension(name)),
        }
    }
}

fn lower_keys(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter().map(|(key, value)| (key.to_lowercase(), lower_keys(value))).collect(),
        ),
        other => other,
    }
}
