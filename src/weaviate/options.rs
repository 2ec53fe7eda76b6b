//! What the server can be told when it makes a backup or restores one, and which version knows it.
//!
//! ```text
//! [`BACKUP`], [`RESTORE`] ─┬─ `Settings::read` of both sections: ranges, and the image's version
//!                          └─ docs/backup-options.md, which a test compares with this table
//! ```
//!
//! Sources: openapi-specs/schema.json of Weaviate 1.39.0 (BackupCreateRequest, BackupConfig, BackupRestoreRequest,
//! RestoreConfig), its release notes, and the backup page of its documentation.
//!
//! To add an option: its row here, its key in the section's `settings.rs`, and a line of the documentation.

use std::fmt;
use std::ops::RangeInclusive;

use super::descriptor::patch;

/// The server refuses 81 with 422 code 608 (recording 04); 0, which it takes, is no share of a processor.
pub const CPU_PERCENTAGE: RangeInclusive<u32> = 1..=80;
/// In MB, of the versions that heeded it.
pub const CHUNK_SIZE: RangeInclusive<u32> = 2..=512;
/// Those that every version has.
pub const GZIP: &[&str] = &["DefaultCompression", "BestSpeed", "BestCompression"];
/// Those of [`ZSTD_SINCE`].
pub const ZSTD: &[&str] =
    &["ZstdDefaultCompression", "ZstdBestSpeed", "ZstdBestCompression", "NoCompression"];
pub const ZSTD_SINCE: Since = Since(&[(1, 32, 18), (1, 33, 6), (1, 34, 1), (1, 35, 0)]);
pub const USERS_SINCE: Since = Since(&[(1, 38, 3), (1, 39, 0)]);
pub const ROLES_SINCE: Since = Since(&[(1, 38, 11), (1, 39, 1)]);
/// `node_mapping` of a restore that works.
pub const MAPPING_SINCE: Since =
    Since(&[(1, 31, 22), (1, 32, 27), (1, 33, 12), (1, 34, 8), (1, 35, 3), (1, 36, 0)]);
/// `overwriteAlias` of a restore.
pub const OVERWRITE_SINCE: Since = Since(&[(1, 33, 0)]);
/// `usersOptions` and `rolesOptions` of a restore.
pub const RESTORED_SINCE: Since = Since(&[(1, 32, 0)]);

/// The first patch of each line that knows something, the newest line last; every later line knows it too. Empty: all.
#[derive(Clone, Copy, Debug)]
pub struct Since(&'static [(u32, u32, u32)]);

impl Since {
    /// Whether this version knows it. Of one that cannot be read nothing is said against it.
    pub fn knows(self, version: &str) -> bool {
        let (Some((major, minor, fix)), Some(newest)) = (patch(version), self.0.last()) else { return true };
        (major, minor) > (newest.0, newest.1)
            || self.0.iter().any(|first| (first.0, first.1) == (major, minor) && fix >= first.2)
    }
}

/// `1.35.0 (1.34.1, 1.33.6, 1.32.18)`: the newest line, and the fixes of the older ones.
impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.0.iter().rev().map(|(major, minor, fix)| format!("{major}.{minor}.{fix}"));
        let Some(newest) = lines.next() else { return f.write_str("always") };
        let older: Vec<String> = lines.collect();
        if older.is_empty() { f.write_str(&newest) } else { write!(f, "{newest} ({})", older.join(", ")) }
    }
}

/// What it may be.
#[derive(Clone, Debug)]
pub enum Range {
    Numbers(RangeInclusive<u32>),
    OneOf(&'static [&'static [&'static str]]),
    /// In words.
    Text(&'static str),
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbers(range) => write!(f, "{} to {}", range.start(), range.end()),
            Self::OneOf(lists) => {
                let all: Vec<String> =
                    lists.iter().copied().flatten().map(|one| format!("`{one}`")).collect();
                f.write_str(&all.join(", "))
            }
            Self::Text(words) => f.write_str(words),
        }
    }
}

/// One option of the server.
#[derive(Clone, Debug)]
pub struct ServerOption {
    /// Its name in the request.
    pub field: &'static str,
    /// How it is set here.
    pub ours: &'static str,
    pub range: Range,
    pub since: Since,
    pub about: &'static str,
}

const ALWAYS: Since = Since(&[]);

const fn option(
    field: &'static str,
    ours: &'static str,
    range: Range,
    since: Since,
    about: &'static str,
) -> ServerOption {
    ServerOption { field, ours, range, since, about }
}

const NAMES: Range = Range::Text("names; not together with the other list");
const WILDCARDS: Since = Since(&[(1, 36, 0)]);
const RESTORED: Range = Range::OneOf(&[&["noRestore", "all"]]);

/// Of `POST /v1/backups/{backend}`.
pub const BACKUP: &[ServerOption] = &[
    option("id", "made from the time", Range::Text("`[a-z0-9_-]`"), ALWAYS, "An id is never used again."),
    option(
        "include",
        "`backup --include`",
        NAMES,
        ALWAYS,
        "What is left out is not named by the manifest: the backup lies beside it.",
    ),
    option("exclude", "`backup --exclude`", NAMES, ALWAYS, "The same."),
    option(
        "`*` and `?` in both",
        "`backup --include 'Art*'`",
        Range::Text("any number of letters, one letter"),
        WILDCARDS,
        "A server before that looks for a collection of that very name, and refuses.",
    ),
    option(
        "includeUsers",
        "`backup.users`",
        Range::Text("names, `*` for all"),
        USERS_SINCE,
        "Users of the server's own database. Those with API keys of this program come from its secrets.",
    ),
    option(
        "includeRoles",
        "`backup.roles`",
        Range::Text("names, `*` for all"),
        ROLES_SINCE,
        "Of a server with RBAC, which the list of admins that this program writes excludes.",
    ),
    option(
        "incremental_base_backup_id",
        "`backup.full_every`, `backup --full`",
        Range::Text("the last full one, by itself"),
        Since(&[(1, 37, 0)]),
        "With a server before that every backup is full.",
    ),
    option(
        "config.CPUPercentage",
        "`backup.cpu_percentage`",
        Range::Numbers(CPU_PERCENTAGE),
        ALWAYS,
        "The share of the processors that pack; 50 by default, here and there.",
    ),
    option(
        "config.CompressionLevel",
        "`backup.compression`",
        Range::OneOf(&[GZIP]),
        ALWAYS,
        "The default of a server that knows no other kind.",
    ),
    option(
        "config.CompressionLevel",
        "`backup.compression`",
        Range::OneOf(&[ZSTD]),
        ZSTD_SINCE,
        "`ZstdBestSpeed` is the default here where the server is 1.35.0 or newer. A chain is of one kind.",
    ),
    option(
        "config.ChunkSize",
        "`backup.chunk_size`",
        Range::Numbers(CHUNK_SIZE),
        ALWAYS,
        "Accepted, and without effect: the server heeds it no more, and it is not sent.",
    ),
    option(
        "config.Bucket",
        "`backup.bucket`",
        Range::Text("a bucket's name"),
        Since(&[(1, 27, 2)]),
        "Not sent: with `backup.mode` \"direct\" it is the server's setting, else this program writes to the bucket.",
    ),
    option(
        "config.Path",
        "`backup.prefix`",
        Range::Text("a prefix without slashes around it"),
        Since(&[(1, 27, 2)]),
        "Not sent, as above.",
    ),
    option(
        "config.Endpoint",
        "`backup.endpoint`",
        Range::Text("a host and port"),
        ALWAYS,
        "Not sent: the server takes it and never reads it.",
    ),
];

/// Of `POST /v1/backups/{backend}/{id}/restore`.
pub const RESTORE: &[ServerOption] = &[
    option(
        "include, exclude",
        "`restore --include`, `restore --exclude`, `restore.from.include`, `restore.from.exclude`",
        NAMES,
        ALWAYS,
        "Into a server that serves, or at a boot from another environment. Patterns are read here, and names are sent. From its own manifest a boot restores all that it counts.",
    ),
    option(
        "node_mapping",
        "`restore.from.node`",
        Range::Text("a node's name to another"),
        MAPPING_SINCE,
        "From another environment only; a backup of this node's own under another name is refused before anything is fetched.",
    ),
    option(
        "overwriteAlias",
        "`restore --overwrite-alias`",
        Range::Text("true or false"),
        OVERWRITE_SINCE,
        "Into a server that serves; what the alias named is put back where the restore comes to nothing. A boot restores into an empty server.",
    ),
    option(
        "config.CPUPercentage",
        "`restore.cpu_percentage`",
        Range::Numbers(CPU_PERCENTAGE),
        ALWAYS,
        "80 by default here: nobody is served meanwhile. Into a server that serves it is 50 at the most.",
    ),
    option(
        "config.usersOptions",
        "`restore.users`, `restore --users`",
        RESTORED,
        RESTORED_SINCE,
        "`\"none\"` by default, or `\"all\"`: users of the server's own database that are in the backup.",
    ),
    option(
        "config.rolesOptions",
        "`restore.roles`, `restore --roles`",
        RESTORED,
        RESTORED_SINCE,
        "The same for roles, of a server with RBAC.",
    ),
    option(
        "config.Bucket",
        "`backup.bucket`",
        Range::Text("a bucket's name"),
        Since(&[(1, 27, 2)]),
        "Not sent: in direct mode it is the server's setting.",
    ),
    option(
        "config.Path",
        "`backup.prefix`",
        Range::Text("a prefix without slashes around it"),
        Since(&[(1, 27, 2)]),
        "Sent in direct mode where the backup lies elsewhere than the server's setting says.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_knows_what_its_line_has_had_since_a_patch() {
        let rows = [
            (ZSTD_SINCE, "1.32.17", false),
            (ZSTD_SINCE, "1.32.18", true),
            (ZSTD_SINCE, "1.34.0", false),
            (ZSTD_SINCE, "1.34.1", true),
            (ZSTD_SINCE, "1.35.0", true),
            (ZSTD_SINCE, "1.31.99", false),
            (USERS_SINCE, "1.38.2", false),
            (USERS_SINCE, "1.38.3", true),
            (USERS_SINCE, "1.39.0", true),
            (ROLES_SINCE, "1.38.11", true),
            (ROLES_SINCE, "1.39.0", false),
            (ROLES_SINCE, "1.39.1", true),
            (ROLES_SINCE, "1.40.0", true),
            (RESTORED_SINCE, "1.31.22", false),
            (RESTORED_SINCE, "2.0.0", true),
            (ALWAYS, "1.23.13", true),
            (ROLES_SINCE, "a fork", true),
        ];
        for (since, version, expected) in rows {
            assert_eq!(since.knows(version), expected, "{since} {version}");
        }
        assert_eq!(ZSTD_SINCE.to_string(), "1.35.0 (1.34.1, 1.33.6, 1.32.18)");
        assert_eq!((ALWAYS.to_string(), RESTORED_SINCE.to_string()), ("always".into(), "1.32.0".into()));
    }

    /// The rows of a table in the documentation.
    fn rendered(options: &[ServerOption]) -> Vec<String> {
        let row = |option: &ServerOption| {
            let ServerOption { field, ours, range, since, about } = option;
            let field = if field.starts_with('`') { (*field).to_owned() } else { format!("`{field}`") };
            format!("| {field} | {ours} | {range} | {since} | {about} |")
        };
        options.iter().map(row).collect()
    }

    #[test]
    fn the_documentation_has_these_options_and_no_other() {
        const TEXT: &str = include_str!("../../docs/backup-options.md");
        let written: Vec<&str> = TEXT.lines().filter(|line| line.starts_with("| `")).collect();
        let rows: Vec<String> = rendered(BACKUP).into_iter().chain(rendered(RESTORE)).collect();
        assert_eq!(written, rows, "docs/backup-options.md must hold:\n{}", rows.join("\n"));
    }

    #[test]
    fn every_key_of_ours_that_is_named_is_one() {
        let keys = crate::config::tests::keys();
        let line = crate::cli::command();
        let options_of = |name: &'static str| {
            let arguments = line.find_subcommand(name).expect("a command").get_arguments();
            arguments.filter_map(move |argument| argument.get_long().map(|long| format!("{name} --{long}")))
        };
        let commands: Vec<String> = options_of("backup").chain(options_of("restore")).collect();
        for option in BACKUP.iter().chain(RESTORE) {
            for named in option.ours.split('`').skip(1).step_by(2) {
                let known = keys.contains(named) || commands.iter().any(|command| named.starts_with(command));
                assert!(known, "{}: {named} is no key and no command", option.field);
            }
        }
    }
}
