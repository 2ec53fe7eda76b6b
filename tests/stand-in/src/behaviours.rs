//! What the stand-in claims about a Weaviate server, and how we know it.
//!
//! `weaviate-stand-in assumptions` prints the table. To add a behaviour: add its row here, with the
//! recording that shows it; a row without a recording is an assumption and says why it is plausible.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A Weaviate 1.39.0 server was recorded doing it: the file under `tests/recordings/weaviate-1.39.0`.
    Recorded(&'static str),
    /// Weaviate's own source or documentation says so.
    Documented(&'static str),
    /// Nobody recorded it; the reason says why it is plausible.
    Assumed(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    pub name: &'static str,
    pub what: &'static str,
    pub known: Known,
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tag, source) = match self.known {
            Known::Recorded(source) => ("recorded", source),
            Known::Documented(source) => ("documented", source),
            Known::Assumed(source) => ("assumed", source),
        };
        write!(f, "{tag:<10}  {:<32}  {}  [{source}]", self.name, self.what)
    }
}

const fn recorded(name: &'static str, what: &'static str, file: &'static str) -> Behaviour {
    Behaviour { name, what, known: Known::Recorded(file) }
}

const fn documented(name: &'static str, what: &'static str, source: &'static str) -> Behaviour {
    Behaviour { name, what, known: Known::Documented(source) }
}

const fn assumed(name: &'static str, what: &'static str, reason: &'static str) -> Behaviour {
    Behaviour { name, what, known: Known::Assumed(reason) }
}

pub const BEHAVIOURS: &[Behaviour] = &[
    recorded("start.live", "port 8080 opens 2.2 to 2.4 s after exec", "01, 08-28"),
    recorded(
        "start.ready",
        "ready follows within the Raft timeouts, times RAFT_TIMEOUTS_MULTIPLIER",
        "01, 20-28",
    ),
    recorded("start.keys-missing", "API keys on without a key: exit 1", "24"),
    recorded("start.bucket-missing", "backup-s3 without BACKUP_S3_BUCKET: exit 1", "15"),
    recorded("start.config-missing", "an absent config file is ignored in silence", "14, 24"),
    recorded("stop.sigterm", "SIGTERM ends the server in 0.2 s with 0", "all"),
    recorded("auth.no-key", "401 as text/plain", "01"),
    recorded("auth.wrong-key", "401 as JSON", "01"),
    recorded("auth.reader-writes", "403 with verb and resource", "01, 08, 13"),
    recorded("auth.open-by-accident", "no method configured: everybody may do everything", "14, 24"),
    recorded("ready.during-restore", "ready stays 200 while a restore runs", "08"),
    recorded("backup.states", "STARTED until the poll at 2 s, 12 s, 22 s ...", "05, 06, 20"),
    recorded("backup.refusals", "ids, classes, compression levels, percentages", "02, 04, 05"),
    recorded("backup.incremental", "big files unchanged in size and mtime are referred to", "06, 20, 26"),
    recorded("backup.inactive-tenants", "backed up and restored as inactive", "27, 28"),
    documented(
        "backup.inactive-tenants-before-1.37",
        "STAND_IN_VERSION below 1.37: shards of inactive tenants are left out, the tenants stay in the sharding state",
        "weaviate#10851, adapters/repos/db/backup.go",
    ),
    documented(
        "backup.reindexing",
        "refused with 422 while a shard has a migration that was begun, and neither merged nor tidied; FAILED where one is \
         begun meanwhile",
        "entities/backup/errors.go, adapters/repos/db/reindex_inflight.go",
    ),
    recorded("backup.canceled-id", "a canceled id can never be used again", "06, 10"),
    recorded("restore.states", "TRANSFERRING, FINALIZING 0.2 s per class, SUCCESS", "08-12, 21-23"),
    recorded("restore.existing-class", "200, then FAILED", "07, 10"),
    recorded("restore.broken-chunk", "CANCELED with a text that hides the reason", "16"),
    recorded("restore.flipped-bit", "accepted when the archive still unpacks", "16"),
    recorded("restore.stale-status", "a fresh server answers with restore_config.json", "08, 09"),
    recorded("restore.node-mismatch", "500; works with node_mapping", "09"),
    recorded("restore.killed", ".backup.tmp stays, the status stays TRANSFERRING", "18"),
    recorded("read-only.override", "writes 503 under operational_mode ReadOnly", "25"),
    recorded("objects.rest", "list, cursor, get, head, batch, delete, tenants", "27"),
    recorded("graphql.errors", "tenant not active, not found, missing; class missing", "27"),
    recorded("nodes.object-count", "flushed segments only", "03, 08, 27"),
    documented(
        "restore.cancelling-file",
        "restore_config.json with CANCELLING: POST answers 200 and does nothing",
        "usecases/backup/coordinator.go",
    ),
    documented(
        "restore.dir-in-the-way",
        "a class directory that cannot be renamed into place is dropped, the class added",
        "cluster/schema/manager.go",
    ),
    documented("grpc.health", "always SERVING", "adapters/handlers/grpc/v1/health.go"),
    documented(
        "ports.everywhere",
        "gRPC, gossip, the cluster API and metrics listen on every address, whatever --host says",
        "adapters/handlers/grpc/server.go, rest/clusterapi/serve.go, usecases/cluster/state.go",
    ),
    documented(
        "oidc.discovery",
        "404 without OIDC, else href, clientId and scopes",
        "the OIDC page of the documentation",
    ),
    assumed(
        "auth.oidc-token",
        "every token that is no API key is refused with 401",
        "no identity provider takes part in tests",
    ),
    assumed(
        "auth.403-resources",
        "verbs and resources of 403 on routes that were not recorded",
        "built like the recorded ones",
    ),
    assumed(
        "backup.fs-path",
        "config.Path with the filesystem backend replaces BACKUP_FILESYSTEM_PATH",
        "as it does in S3",
    ),
    documented(
        "disk.watched",
        "the disk is looked at twice a second; above DISK_USE_READONLY_PERCENTAGE shards are READONLY until it is below",
        "adapters/repos/db/resource_use.go",
    ),
    assumed(
        "disk.read-only",
        "writes to READONLY shards answer 500 store is read-only; /v1/schema/{class}/shards lists them",
        "text and fields from the source",
    ),
    assumed(
        "graphql.bm25",
        "objects that hold a word of the query, in insertion order",
        "scores of equal texts are equal",
    ),
    assumed(
        "s3.plain-http",
        "path style over plain HTTP only; no TLS, no names looked up",
        "tests give addresses on their own network",
    ),
    assumed("config.corrupt", "a config file that cannot be parsed: exit 1", "LoadConfig returns the error"),
    assumed(
        "schema.auto",
        "no auto schema: an object of an unknown class is refused",
        "tests create their classes",
    ),
    assumed(
        "start.config-texts",
        "fatal texts for RBAC with anonymous access or lists, unwritable data path",
        "worded like the recorded ones",
    ),
    assumed(
        "backup.texts",
        "texts of backups and restores that were not recorded: broken descriptors, missing bases, failing stores",
        "formats and codes from the source",
    ),
    assumed(
        "rest.texts",
        "texts of refused objects, classes, tenants, aliases and queries that were not recorded",
        "worded like the recorded ones, or from the source",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_recordings_exist() {
        let names: BTreeSet<_> = BEHAVIOURS.iter().map(|behaviour| behaviour.name).collect();
        assert_eq!(names.len(), BEHAVIOURS.len());
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../recordings/weaviate-1.39.0");
        let numbers: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy()[..2].to_owned())
            .collect();
        for behaviour in BEHAVIOURS {
            let Known::Recorded(files) = behaviour.known else { continue };
            for number in files.split([',', '-', ' ']).filter(|word| !word.is_empty() && *word != "all") {
                assert!(numbers.contains(number), "{}: no recording {number}", behaviour.name);
            }
        }
    }

    #[test]
    fn the_list_of_assumptions_is_short() {
        let assumed =
            BEHAVIOURS.iter().filter(|behaviour| matches!(behaviour.known, Known::Assumed(_))).count();
        assert!(assumed <= 11, "{assumed} assumptions: record some of them");
    }
}
