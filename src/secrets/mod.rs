//! Secrets, from Secrets Manager and SSM to files on a tmpfs.
//!
//! ```text
//!  reference ──fetch──▶ SecretString ──check──▶ render ──▶ <run>/weaviate/config.json (tmpfs, 0400, server's uid)
//!                                                     └──▶ <run>/overrides/overrides.yaml (no secret)
//! ```
//!
//! The server reads its keys from the file, so they are in no environment, no command line and no
//! `docker inspect`. Errors name references, never values.
//!
//! To add a kind of store: a variant of `config::SecretReference`, an arm in `fetch::value`.

mod error;
mod fetch;
pub(crate) mod files;
mod render;

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

pub use error::SecretsError;
#[cfg(test)]
pub(crate) use fetch::LONGEST;
pub use fetch::value;

use crate::host::Host;
use crate::instance::Identity;
use crate::report::Step;

/// Evidence: the keys are fetched, checked, and lie where the server will read them.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::secrets::Secrets;
/// fn forge(evidence: Secrets) -> Secrets { Secrets { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::secrets::Secrets;
/// fn hand_on(evidence: Secrets) -> Secrets { evidence }
/// ```
#[derive(Clone, Debug)]
pub struct Secrets {
    admin: SecretString,
    writer: Option<SecretString>,
    reader: Option<SecretString>,
    config_dir: PathBuf,
    overrides_dir: PathBuf,
}

impl Secrets {
    /// The agent's own key.
    pub const fn admin(&self) -> &SecretString {
        &self.admin
    }
    pub const fn writer(&self) -> Option<&SecretString> {
        self.writer.as_ref()
    }
    pub const fn reader(&self) -> Option<&SecretString> {
        self.reader.as_ref()
    }
    /// Holds `config.json`: to be mounted as a directory, because a mounted file does not follow a rename.
    pub fn config_dir(&self) -> &Path {
        &self.config_dir
    }
    /// Holds `overrides.yaml`, the server's runtime overrides.
    pub fn overrides_dir(&self) -> &Path {
        &self.overrides_dir
    }

    /// Tells the server whether its clients may write; it looks every second (`RUNTIME_OVERRIDES_LOAD_INTERVAL`), and
    /// refuses writes with 503 meanwhile, while reads and backups go on (recording 25). `owner` is the server's user.
    pub fn let_write(&self, may: bool, owner: (u32, u32)) -> Result<(), SecretsError> {
        let text: &[u8] =
            if may { b"operational_mode: ReadWrite\n" } else { b"operational_mode: ReadOnly\n" };
        files::write(&self.overrides_dir, "overrides.yaml", text, owner)
    }

    /// All values, for whoever must not let them through.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        let others = self.writer.iter().chain(&self.reader);
        std::iter::once(&self.admin).chain(others).map(SecretString::expose_secret)
    }

    #[cfg(test)]
    pub(crate) fn for_tests(admin: &str, directory: &Path) -> Self {
        Self {
            admin: admin.into(),
            writer: None,
            reader: None,
            config_dir: directory.join("weaviate"),
            overrides_dir: directory.join("overrides"),
        }
    }
}

/// What the configuration allows by name and nobody should forget: in the report, `status` and `plan`.
pub fn remind(host: &Host) {
    if host.settings.weaviate.anonymous {
        host.status.warn("weaviate.anonymous is on: everybody may do everything without a key");
    }
}

/// Fetches all keys and writes the server's configuration file.
pub async fn fetch(host: &Host, me: &Identity) -> Result<Secrets, SecretsError> {
    let weaviate = &host.settings.weaviate;
    // Before anything is fetched: where it may not be written it is not needed either.
    let (config_dir, overrides_dir) = files::prepare(host)?;
    host.status.say(Step::Fetch, "fetches the API keys");
    let keys = &weaviate.keys;
    let optional = async |reference: &Option<_>| match reference {
        Some(reference) => fetch::value(host, me, reference).await.map(Some),
        None => Ok(None),
    };
    let (admin, writer, reader) = tokio::try_join!(
        fetch::value(host, me, &keys.admin),
        optional(&keys.writer),
        optional(&keys.reader)
    )?;
    render::check_distinct(&[
        (Some(&keys.admin), Some(&admin)),
        (keys.writer.as_ref(), writer.as_ref()),
        (keys.reader.as_ref(), reader.as_ref()),
    ])?;
    let text = render::config(
        &render::Keys { admin: &admin, writer: writer.as_ref(), reader: reader.as_ref() },
        weaviate.oidc.as_ref(),
        weaviate.anonymous,
    );
    let owner = (host.settings.storage.uid, host.settings.storage.gid);
    files::write(&config_dir, "config.json", text.expose_secret().as_bytes(), owner)?;
    // A run that was killed while it quiesced the server leaves it read-only: a start begins open.
    let secrets = Secrets { admin, writer, reader, config_dir, overrides_dir };
    secrets.let_write(true, owner)?;
    remind(host);
    Ok(secrets)
}
