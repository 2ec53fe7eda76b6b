//! Secrets Manager and SSM's parameters: values, versions, and the keys behind them.
//!
//! To add a call: an arm in [`manager::answer`] or [`parameters::answer`].

pub mod manager;
pub mod parameters;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::assumptions::{Behaviour, Known};
use crate::cloud::spec::{CloudSpec, ParameterSpec, SecretSpec};
use crate::cloud::{Cloud, View};
use crate::endpoint::{Call, Refusal};
use crate::iam::{Context, Decision, Resource};

/// What the world claims about secrets.
pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "secretsmanager.absent",
        what: "ResourceNotFoundException 400; a missing stage names its label",
        known: Known::Documented("Secrets Manager API reference, GetSecretValue"),
    },
    Behaviour {
        name: "secretsmanager.deleted",
        what: "InvalidRequestException 400 for a secret that is scheduled for deletion",
        known: Known::Documented("Secrets Manager API reference, GetSecretValue"),
    },
    Behaviour {
        name: "secretsmanager.key",
        what: "a key of the customer's own needs kms:Decrypt through the service, else AccessDeniedException",
        known: Known::Documented(
            "Secrets Manager user guide, encryption; the text is quoted in public issues",
        ),
    },
    Behaviour {
        name: "secretsmanager.stages",
        what: "without stage and version AWSCURRENT is meant; the value before it is AWSPREVIOUS",
        known: Known::Documented("Secrets Manager API reference, GetSecretValue"),
    },
    Behaviour {
        name: "ssm.secure-string",
        what: "without WithDecryption the value is an opaque text",
        known: Known::Recorded("moto answers so; the reference says encrypted"),
    },
    Behaviour {
        name: "ssm.absent",
        what: "ParameterNotFound 400 for one, InvalidParameters in the list for several",
        known: Known::Documented("Systems Manager API reference, GetParameter and GetParameters"),
    },
];

/// All secrets and parameters.
#[derive(Clone, Debug, Default)]
pub struct Store {
    secrets: BTreeMap<String, Secret>,
    parameters: BTreeMap<String, (ParameterSpec, u32)>,
}

#[derive(Clone, Debug)]
struct Secret {
    spec: SecretSpec,
    /// The newest last; each with its id.
    versions: Vec<(String, Value)>,
}

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    Binary(String),
}

impl Store {
    pub(crate) fn new(spec: &CloudSpec) -> Self {
        let secrets = spec.secrets.iter().map(|secret| {
            let value = match (&secret.value, &secret.binary) {
                (Some(text), _) => Some(Value::Text(text.clone())),
                (None, Some(base64)) => Some(Value::Binary(base64.clone())),
                (None, None) => None,
            };
            let versions = value.map(|value| (version_id(&secret.name, 0), value)).into_iter().collect();
            (secret.name.clone(), Secret { spec: secret.clone(), versions })
        });
        let parameters = spec.parameters.iter().map(|p| (p.name.clone(), (p.clone(), 1)));
        Self { secrets: secrets.collect(), parameters: parameters.collect() }
    }

    /// Every value that is or was there, without the plain parameters. Binary ones as base64.
    pub(crate) fn values(&self) -> impl Iterator<Item = String> {
        let secrets = self.secrets.values().flat_map(|secret| &secret.versions);
        let secrets = secrets.map(|(_, value)| match value {
            Value::Text(text) | Value::Binary(text) => text.clone(),
        });
        let parameters = self.parameters.values().filter(|(p, _)| p.secure).map(|(p, _)| p.value.clone());
        secrets.chain(parameters)
    }
}

fn version_id(name: &str, number: usize) -> String {
    let digest = hex(name);
    format!("{}-0000-4000-8000-{number:012x}", &digest[..8])
}

fn hex(text: &str) -> String {
    crate::endpoint::hex(&Sha256::digest(text))
}

impl Cloud {
    /// Gives a secret a new value: the old one becomes AWSPREVIOUS.
    pub fn rotate_secret(&self, name: &str, value: &str) {
        self.with_secrets(|store| {
            if let Some(secret) = store.secrets.get_mut(name) {
                let id = version_id(name, secret.versions.len());
                secret.versions.push((id, Value::Text(value.to_owned())));
            }
        });
    }

    /// The store as this call sees it. Stale: without the last value of each secret.
    fn secrets_seen(&self, view: View) -> Store {
        let mut store = self.with_secrets(|store| store.clone());
        match view {
            View::Now => {}
            View::Absent => store = Store::default(),
            View::Stale => {
                for secret in store.secrets.values_mut().filter(|s| s.versions.len() > 1) {
                    secret.versions.pop();
                }
            }
        }
        store
    }

    /// Whether the caller may use the key behind a value.
    fn may_decrypt(&self, call: &Call, key: Option<&str>, denied: &str) -> Result<(), Refusal> {
        let Some(key) = key else { return Ok(()) };
        let (region, account) = (&self.spec().region, &self.spec().account);
        let arn = if key.starts_with("arn:") {
            key.to_owned()
        } else {
            format!("arn:aws:kms:{region}:{account}:key/{key}")
        };
        let via = format!("{}.{region}.amazonaws.com", call.service);
        let context = Context::from([("kms:ViaService".to_owned(), vec![via])]);
        match self.permits(&call.principal, "kms:Decrypt", &[Resource::new(arn)], &context) {
            Decision::Allowed => Ok(()),
            Decision::NotAllowed { .. } | Decision::Denied { .. } => {
                Err(Refusal::bad("AccessDeniedException", denied.to_owned()))
            }
        }
    }
}
