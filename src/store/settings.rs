//! `[backup]`: the bucket that holds the backups and the manifest.

use crate::config::{Prefix, SecretReference, Section};

/// Keys for a store that is not AWS, where the instance role means nothing.
#[derive(Clone, Debug)]
pub struct StaticCredentials {
    pub access_key: SecretReference,
    pub secret_key: SecretReference,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub bucket: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
    /// Base URL of an S3-compatible store; AWS where absent.
    pub endpoint: Option<String>,
    /// Where absent: the instance's own.
    pub region: Option<String>,
    pub path_style: bool,
    pub use_ssl: bool,
    pub kms_key: Option<String>,
    /// The role for all writes but the manifest's and the reports'.
    pub role_arn: Option<String>,
    pub credentials: Option<StaticCredentials>,
    /// A store that knows no conditional writes is taken all the same.
    pub unfenced: bool,
}

impl Settings {
    pub fn read(section: &mut Section<'_>) -> Option<Self> {
        let bucket = section.required("bucket");
        let Prefix(prefix) = section.or("prefix", Prefix::default());
        let credentials = section.optional_section("credentials").and_then(|mut keys| {
            let access_key = keys.required("access_key");
            let secret_key = keys.required("secret_key");
            Some(StaticCredentials { access_key: access_key?, secret_key: secret_key? })
        });
        let endpoint: Option<String> = section.optional("endpoint");
        if endpoint.as_ref().is_some_and(|e| e.contains("://")) {
            section.problem(
                "endpoint",
                "is a host and port without a scheme, as Weaviate wants it too; `use_ssl` chooses the scheme",
            );
        }
        // Every key is asked for before the first `?`: one that is missing must not make the others unknown.
        let region = section.optional("region");
        let path_style = section.or("path_style", false);
        let use_ssl = section.or("use_ssl", true);
        let kms_key = section.optional("kms_key");
        let role_arn = section.optional("role_arn");
        let unfenced = section.or("unfenced", false);
        if unfenced && endpoint.is_none() {
            section.problem("unfenced", "is for a store that `backup.endpoint` names: S3 fences");
        }
        Some(Self {
            bucket: bucket?,
            prefix,
            endpoint,
            region,
            path_style,
            use_ssl,
            kms_key,
            role_arn,
            credentials,
            unfenced,
        })
    }

    /// `name` below the prefix.
    pub fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }
}
