//! `[restore]`: what is restored, and how.

use std::fmt;

use crate::config::{ByteSize, Name, Prefix, Section};
use crate::store::{self, Limits};
use crate::weaviate::options::{CPU_PERCENTAGE, MAPPING_SINCE, RESTORED_SINCE};
use crate::weaviate::{Backend, Selection, is_pattern};

/// `restore.from`: whose backups are restored while this node has none of its own. Nothing is ever written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub bucket: String,
    pub prefix: String,
    pub deployment: Name,
    pub node: Name,
    /// Of its bucket; where absent, as for `[backup]`.
    pub region: Option<String>,
    /// Of its collections; everything where both lists are empty.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, prefix, deployment, node, region: _, include: _, exclude: _ } = self;
        write!(f, "s3://{bucket}/{prefix} (deployment {deployment}, node {node})")
    }
}

impl Source {
    fn read(section: &mut Section<'_>, around: &Around<'_>) -> Option<Self> {
        let bucket: Option<String> = section.required("bucket");
        let Prefix(prefix) = section.or("prefix", Prefix::default());
        let deployment: Option<Name> = section.required("deployment");
        let node = section.optional("node").or_else(|| around.node.cloned());
        let renamed = node.is_some() && node.as_ref() != around.node;
        if let Some(old) = around.version.filter(|version| renamed && !MAPPING_SINCE.knows(version)) {
            let needs = format!("which needs Weaviate {MAPPING_SINCE}");
            section.problem(
                "node",
                format!("is another name than `node.name`, {needs}; `weaviate.image` is {old}"),
            );
        }
        let region = section.optional("region");
        let [include, exclude] = ["include", "exclude"].map(|key| patterns(section, key));
        let (bucket, deployment) = (bucket?, deployment?);
        if around.backup.is_some_and(|own| own.bucket == bucket && own.prefix == prefix) {
            section.problem("prefix", "is where this node's own backups lie: a source lies elsewhere");
        }
        Some(Self { bucket, prefix, deployment, node: node?, region, include, exclude })
    }

    /// `, of its collections A* without B`; nothing where it is all of them.
    pub fn words(&self) -> String {
        let (include, exclude) = (self.include.join(", "), self.exclude.join(", "));
        match (include.as_str(), exclude.as_str()) {
            ("", "") => String::new(),
            (include, "") => format!(", of its collections {include}"),
            ("", exclude) => format!(", all its collections without {exclude}"),
            (include, exclude) => format!(", of its collections {include} without {exclude}"),
        }
    }

    pub fn selection(&self) -> Selection<'_> {
        Selection { include: &self.include, exclude: &self.exclude }
    }
}

/// Names of collections, with `*` and `?`. What no name can be would never fit, and nobody would know why.
fn patterns(section: &mut Section<'_>, key: &'static str) -> Vec<String> {
    let patterns: Vec<String> = section.or(key, Vec::new());
    if let Some(wrong) = patterns.iter().find(|pattern| !is_pattern(pattern)) {
        section.problem(
            key,
            format!("has {wrong:?}, and no collection's name; `*` stands for any letters and `?` for one"),
        );
    }
    patterns
}

/// What the rest of the configuration says.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// `weaviate.s3_role_arn`.
    pub role: Option<&'a str>,
    /// What the tag of `weaviate.image` says.
    pub version: Option<&'a str>,
    pub backup: Option<&'a store::Settings>,
    /// `node.name`.
    pub node: Option<&'a Name>,
}

/// Who moves the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The agent: checked, parallel, resumable; the container has no credentials for it.
    Staged,
    /// The server's own S3 transfer, with short-lived credentials of this role (`weaviate.s3_role_arn`).
    Direct { role: String },
}

impl Mode {
    /// `mode` of `[restore]` and of `[backup]`. `role` is `weaviate.s3_role_arn`; `keys`, whether
    /// `backup.credentials` is set.
    pub fn read(section: &mut Section<'_>, role: Option<&str>, keys: bool) -> Self {
        match (section.or("mode", "staged".to_owned()).as_str(), role) {
            ("staged", _) => Self::Staged,
            ("direct", _) if keys => {
                // The container never sees them, and a store that wants them knows no role.
                section.problem("mode", "is \"direct\", which a store with `backup.credentials` cannot do");
                Self::Staged
            }
            ("direct", Some(role)) => Self::Direct { role: role.to_owned() },
            ("direct", None) => {
                section.problem("mode", "is \"direct\", which needs a role: set `weaviate.s3_role_arn`");
                Self::Staged
            }
            (other, _) => {
                section.problem("mode", format!("is {other:?}, not \"staged\" or \"direct\""));
                Self::Staged
            }
        }
    }

    /// Whose credentials the server has for it.
    pub fn role(&self) -> Option<&str> {
        match self {
            Self::Staged => None,
            Self::Direct { role } => Some(role),
        }
    }

    pub const fn backend(&self) -> Backend {
        match self {
            Self::Staged => Backend::Filesystem,
            Self::Direct { .. } => Backend::S3,
        }
    }

    pub const fn name(&self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Direct { .. } => "direct",
        }
    }
}

/// What to do with a backup that has no checksums of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    Refuse,
    Allow,
}

/// Users or roles that the backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    None,
    All,
}

impl Kept {
    /// `usersOptions` and `rolesOptions` of the server; `None` is its default, which every version has.
    pub const fn option(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::All => Some("all"),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub mode: Mode,
    pub from: Option<Source>,
    pub allow_empty: bool,
    pub unverified: Unverified,
    /// Ranged GETs at a time, at the most.
    pub connections: u32,
    /// Bytes a second of all of them together.
    pub rate: Option<u64>,
    /// The server's `CPUPercentage`, 1 to 80.
    pub cpu_percentage: u32,
    pub users: Kept,
    pub roles: Kept,
    /// Objects of each collection that are read back by their ids; as many are taken by a backup.
    pub samples: u32,
    /// GraphQL queries sent once before the door opens.
    pub warm: Vec<String>,
}

impl Settings {
    /// For all objects of a backup: as many requests as the line is worth. `share` of the connections, 1 is all of them.
    pub fn staging(&self, share: u32) -> Limits {
        Limits::measured(usize::try_from(self.connections.div_ceil(share.max(1))).unwrap_or(1))
    }

    /// For what is read object by object, and held in memory where its order counts: no more than [`Limits::measured`]
    /// begins with.
    pub fn reading(&self) -> Limits {
        let staging = self.staging(1);
        Limits::new(staging.first.min(staging.connections))
    }

    pub fn read(section: &mut Section<'_>, around: &Around<'_>) -> Self {
        let from =
            section.optional_section("from").and_then(|mut section| Source::read(&mut section, around));
        let keys = around.backup.is_some_and(|backup| backup.credentials.is_some());
        let mut mode = Mode::read(section, around.role, keys);
        if from.is_some() && mode.role().is_some() {
            // BACKUP_S3_BUCKET is one, and the role that the server has writes beside what it reads.
            section.problem(
                "mode",
                "is \"direct\", and the server's own transfer knows one bucket: with `restore.from` it is \"staged\"",
            );
            mode = Mode::Staged;
        }
        let version = around.version;
        let unverified = match section.or("unverified", "refuse".to_owned()).as_str() {
            "refuse" => Unverified::Refuse,
            "allow" => Unverified::Allow,
            other => {
                section.problem("unverified", format!("is {other:?}, not \"refuse\" or \"allow\""));
                Unverified::Refuse
            }
        };
        let connections = section.or("connections", 64);
        if !(1..=256).contains(&connections) {
            section.problem("connections", format!("is {connections}, not a number from 1 to 256"));
        }
        let cpu_percentage = section.or("cpu_percentage", 80);
        if !CPU_PERCENTAGE.contains(&cpu_percentage) {
            section.problem("cpu_percentage", format!("is {cpu_percentage}, not a number from 1 to 80"));
        }
        let [users, roles] = ["users", "roles"].map(|key| kept(section, key, version));
        Self {
            mode,
            from,
            allow_empty: section.or("allow_empty", false),
            unverified,
            connections,
            rate: ByteSize::rate(section),
            cpu_percentage,
            users,
            roles,
            samples: section.or("samples", 100),
            warm: section.or("warm", Vec::new()),
        }
    }
}

fn kept(section: &mut Section<'_>, key: &'static str, version: Option<&str>) -> Kept {
    match section.or(key, "none".to_owned()).as_str() {
        "none" => Kept::None,
        "all" => {
            if let Some(old) = version.filter(|version| !RESTORED_SINCE.knows(version)) {
                let needs = format!("needs Weaviate {RESTORED_SINCE}");
                section.problem(key, format!("is \"all\", which {needs}; `weaviate.image` is {old}"));
            }
            Kept::All
        }
        other => {
            section.problem(key, format!("is {other:?}, not \"none\" or \"all\""));
            Kept::None
        }
    }
}
