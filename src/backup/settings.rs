//! `[backup]`: how backups are made. Where they lie is `store::Settings`.

use std::time::Duration;

use crate::catalog::Keep;
use crate::config::{ByteSize, Section};
use crate::manifest;
use crate::restore::Mode;
use crate::store;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Who moves the bytes.
    pub mode: Mode,
    /// The server's `CPUPercentage`, 1 to 80.
    pub cpu_percentage: u32,
    /// The server's `CompressionLevel`; `ZstdBestSpeed` where absent and known to the server.
    pub compression: Option<String>,
    /// Parts that are sent at a time.
    pub connections: u32,
    /// Bytes a second of all of them together.
    pub rate: Option<u64>,
    /// Neither server nor transfer moves for so long: given up.
    pub stall: Duration,
    /// Clients cannot write for so long at the most while the server takes its shards; absent: they can.
    pub quiesce: Option<Duration>,
    /// A backup is built on the last full one until that is so old.
    pub full_every: Duration,
    /// Per cent of its objects that the database may have lost since the last backup; with more the copy is kept, and
    /// the manifest goes on naming the last one.
    pub max_shrink: u32,
    /// Below the prefix: whenever somebody writes it, a backup is made.
    pub marker: Option<String>,
    /// How often it is looked for.
    pub marker_every: Duration,
    /// Programs with their arguments, run before the server is given its order and when all is over; they get the
    /// backup's id, and the second one how it ended.
    pub before: Option<Vec<String>>,
    pub after: Option<Vec<String>>,
    /// How long each may take.
    pub hook_deadline: Duration,
    /// Which ones `prune` leaves.
    pub keep: Keep,
}

/// openapi-specs/schema.json of 1.39.0, BackupConfig. Those of zstd and none are of 1.35.0 and the patches of that time.
pub const COMPRESSIONS: [&str; 7] = [
    "DefaultCompression",
    "BestSpeed",
    "BestCompression",
    "ZstdDefaultCompression",
    "ZstdBestSpeed",
    "ZstdBestCompression",
    "NoCompression",
];

impl Settings {
    /// `role` is `weaviate.s3_role_arn`; `to`, where the backups lie.
    pub fn read(section: &mut Section<'_>, role: Option<&str>, to: Option<&store::Settings>) -> Self {
        let mode = Mode::read(section, role, to.is_some_and(|to| to.credentials.is_some()));
        if mode.role().is_some() && to.is_some_and(|to| to.kms_key.is_some()) {
            // modules/backup-s3 of 1.39.0 asks for no encryption: what the bucket does by default is done.
            section.problem(
                "mode",
                "is \"direct\", and the server knows no `backup.kms_key`: let the bucket encrypt by that key by default",
            );
        }
        // The server's own default, and of clients that are served meanwhile.
        let cpu_percentage = section.or("cpu_percentage", 50);
        if !(1..=80).contains(&cpu_percentage) {
            section.problem("cpu_percentage", format!("is {cpu_percentage}, not a number from 1 to 80"));
        }
        let compression: Option<String> = section.optional("compression");
        if let Some(unknown) = compression.as_ref().filter(|level| !COMPRESSIONS.contains(&level.as_str())) {
            let known = COMPRESSIONS.join("\", \"");
            section.problem("compression", format!("is {unknown:?}, and none of \"{known}\""));
        }
        let connections = section.or("connections", 16);
        if !(1..=256).contains(&connections) {
            section.problem("connections", format!("is {connections}, not a number from 1 to 256"));
        }
        let max_shrink = section.or("max_shrink", 50);
        if max_shrink > 100 {
            section.problem("max_shrink", format!("is {max_shrink}, not a percentage from 0 to 100"));
        }
        let keep = Keep::read(&mut section.section("keep"));
        let marker: Option<String> = section.optional("marker");
        if let Some(name) = marker.as_ref().filter(|name| !is_marker(name)) {
            section.problem(
                "marker",
                format!("is {name:?}, not a name below the prefix, outside of what is this program's own"),
            );
        }
        let marker_every = section.or("marker_every", Duration::from_secs(30));
        let [before, after] = ["before", "after"].map(|key| {
            let hook: Option<Vec<String>> = section.optional(key);
            if hook.as_ref().is_some_and(|hook| !hook.first().is_some_and(|program| program.starts_with('/')))
            {
                section.problem(key, "does not begin with the absolute path of a program");
            }
            hook
        });
        let hook_deadline = section.or("hook_deadline", Duration::from_mins(5));
        let quiesce = section.optional("quiesce");
        let full_every = section.or("full_every", Duration::from_hours(168));
        // A shard of terabytes is flushed and linked without a byte moving.
        let stall = section.or("stall", Duration::from_mins(30));
        Self {
            mode,
            cpu_percentage,
            compression,
            connections,
            rate: ByteSize::rate(section),
            stall,
            quiesce,
            full_every,
            max_shrink,
            marker,
            marker_every,
            before,
            after,
            hook_deadline,
            keep,
        }
    }
}

/// A plain relative name, in a folder of nobody's or in none: not among backups, copies and reports.
fn is_marker(name: &str) -> bool {
    let mut parts = name.split('/');
    let plain = parts.clone().all(manifest::is_plain);
    let folder = parts.next().filter(|_| parts.next().is_some());
    plain
        && !name.starts_with(manifest::NAME)
        && !folder.is_some_and(|of| manifest::RESERVED_IDS.contains(&of))
}
