//! The configuration: files → one merged table → checked values.
//!
//! ```text
//! config.toml + conf.d/*.toml ──load──▶ merged table ──each domain's `Settings::read`──▶ Settings
//!                                                    └──▶ all problems at once, each naming its key
//! ```
//!
//! To add a key: read it in its domain's `settings.rs`, add it with its default to `packaging/config.toml`
//! (a test compares the two), and give it a row in `docs/features.md`.

mod load;
mod section;
mod values;

pub use load::{load, merge, salvage};
pub use section::{Problem, Section};
pub use values::{ByteSize, Cidr, Name, Prefix, SecretReference, Value};

use crate::explain::{Class, Explain};
use crate::weaviate::descriptor::tagged;

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    pub node: crate::instance::Settings,
    pub network: crate::network::Settings,
    pub storage: crate::disk::Settings,
    pub weaviate: crate::container::Settings,
    pub backup: crate::store::Settings,
    /// How they are made: the rest of `[backup]`.
    pub making: crate::backup::Settings,
    pub restore: crate::restore::Settings,
    pub drill: crate::drill::Settings,
    pub signal: crate::signal::Settings,
    pub boot: crate::boot::Settings,
}

/// Why the configuration cannot be used. Always final: nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration {path} cannot be read")]
    Unreadable { path: String, source: std::io::Error },
    #[error("the configuration {path} is not TOML: {message}")]
    Syntax { path: String, message: String },
    #[error("the configuration has {} problem{}: {}", .0.len(), if .0.len() == 1 { "" } else { "s" }, join(.0))]
    Problems(Vec<Problem>),
}

fn join(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Explain for ConfigError {
    fn class(&self) -> Class {
        match self {
            Self::Unreadable { .. } | Self::Syntax { .. } | Self::Problems(_) => Class::Final,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Unreadable { path, .. } => format!(
                "Write {path}; the package's reference is /usr/share/doc/weaviate-provisioner/config.toml."
            ),
            Self::Syntax { path, .. } => format!("Mend {path} and run `weaviate-provisioner validate`."),
            Self::Problems(_) => "Mend each key and run `weaviate-provisioner validate`.".to_owned(),
        }
    }
}

impl Settings {
    /// Checks a merged table. Every problem of every section is collected before anything is refused.
    pub fn check(table: toml::Table) -> Result<Self, ConfigError> {
        let problems = section::Problems::default();
        let settings = Self::read(table, &problems);
        let problems = problems.into_vec();
        settings.filter(|_| problems.is_empty()).ok_or(ConfigError::Problems(problems))
    }

    /// Keys that are set and change nothing: who sets them must not believe that they do.
    pub fn idle(&self) -> Vec<String> {
        let terminate_hook = self.signal.asg.as_ref().and_then(|asg| asg.terminate_hook.as_ref());
        let rows = [
            (
                terminate_hook.is_some(),
                "`signal.asg.terminate_hook` has no effect yet: this version answers the launch hook only",
            ),
            (
                self.making.chunk_size.is_some(),
                "`backup.chunk_size` has no effect: the server heeds its ChunkSize no more, and it is not sent",
            ),
        ];
        let set = rows.into_iter().filter(|(set, _)| *set);
        set.map(|(_, words)| words.to_owned()).collect()
    }

    fn read(table: toml::Table, problems: &section::Problems) -> Option<Self> {
        let mut root = Section::new(String::new(), table, problems);
        let node = crate::instance::Settings::read(&mut root.section("node"));
        let network = crate::network::Settings::read(&mut root.section("network"));
        let storage = crate::disk::Settings::read(&mut root.section("storage"));
        let weaviate = crate::container::Settings::read(&mut root.section("weaviate"));
        let role = weaviate.as_ref().and_then(|weaviate| weaviate.s3_role_arn.as_deref());
        let version = weaviate.as_ref().and_then(|weaviate| tagged(&weaviate.image));
        let mut section = root.section("backup");
        let backup = crate::store::Settings::read(&mut section);
        let making = crate::backup::Settings::read(&mut section, role, backup.as_ref(), version);
        drop(section);
        let around = crate::restore::Around {
            role,
            version,
            backup: backup.as_ref(),
            node: node.as_ref().map(|node| &node.name),
        };
        let restore = crate::restore::Settings::read(&mut root.section("restore"), &around);
        let drill = crate::drill::Settings::read(&mut root.section("drill"));
        let signal = crate::signal::Settings::read(&mut root.section("signal"));
        let boot = crate::boot::Settings::read(&mut root.section("boot"));
        Some(Self {
            node: node?,
            network: network?,
            storage,
            weaviate: weaviate?,
            backup: backup?,
            making,
            restore,
            drill,
            signal,
            boot,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
