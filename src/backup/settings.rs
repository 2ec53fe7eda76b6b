//! `[backup]`: how backups are made. Where they lie is `store::Settings`.

use std::time::Duration;

use crate::catalog::Keep;
use crate::config::Section;

#[derive(Clone, Debug)]
pub struct Settings {
    /// The server's `CPUPercentage`, 1 to 80.
    pub cpu_percentage: u32,
    /// The server's `CompressionLevel`; `ZstdBestSpeed` where absent and known to the server.
    pub compression: Option<String>,
    /// Parts that are sent at a time.
    pub connections: u32,
    /// Neither server nor transfer moves for so long: given up.
    pub stall: Duration,
    /// Clients cannot write for so long at the most while the server takes its shards; absent: they can.
    pub quiesce: Option<Duration>,
    /// A backup is built on the last full one until that is so old.
    pub full_every: Duration,
    /// Per cent of its objects that the database may have lost since the last backup; with more the copy is kept, and
    /// the manifest goes on naming the last one.
    pub max_shrink: u32,
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
    pub fn read(section: &mut Section<'_>) -> Self {
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
        let quiesce = section.optional("quiesce");
        let full_every = section.or("full_every", Duration::from_hours(168));
        // A shard of terabytes is flushed and linked without a byte moving.
        let stall = section.or("stall", Duration::from_mins(30));
        Self { cpu_percentage, compression, connections, stall, quiesce, full_every, max_shrink, keep }
    }
}
