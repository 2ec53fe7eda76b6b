//! On which backup the next one is built: on the last full one, as long as that may be.
//!
//! ```text
//! what the manifest names ─▶ the first of its chain ─▶ its own manifest ─decide─┬─▶ Full, and why
//!                                                                               └─▶ On: its two descriptors beside the
//!                                                                                   data, its objects in the manifest
//! ```
//!
//! The server knows an unchanged file by size and time, and refers to the chunk of the base that holds it. It reads no
//! chunk for that (`tests/recordings`, 20).

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::Job;
use super::carry;
use super::error::BackupError;
use crate::hex::hex;
use crate::manifest::{self, Manifest, Object, Pointer};
use crate::store::StoreError;
use crate::weaviate::descriptor::{GLOBAL, NODE, release};

/// The API takes a base since this release (weaviate release notes of 1.37).
const SINCE: (u32, u32) = (1, 37);

/// How the next backup is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    Full(Why),
    /// On this one, which is full.
    On(String),
}

/// Why a backup is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Asked,
    First,
    /// No manifest says what the last full one holds.
    NoCopy,
    /// Nobody took its checksums when it was made.
    Unverified,
    /// It lies in another bucket, or under another prefix.
    Elsewhere,
    Old,
    Compression,
    Server,
}

/// What is decided by.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub asked: bool,
    /// Where this node's backups lie.
    pub bucket: &'a str,
    pub root: &'a str,
    /// The first of the chain that the pointer names, by its own manifest.
    pub first: Option<&'a str>,
    pub base: Option<&'a Manifest>,
    pub now: Timestamp,
    pub every: Duration,
    /// How the next one is compressed: [`level`].
    pub level: Option<&'a str>,
    /// `GET /v1/meta`.
    pub server: &'a str,
}

pub fn decide(facts: &Facts<'_>) -> Plan {
    let Some(first) = facts.first else { return Plan::Full(Why::First) };
    if facts.asked {
        return Plan::Full(Why::Asked);
    }
    if release(facts.server).is_none_or(|release| release < SINCE) {
        return Plan::Full(Why::Server);
    }
    let Some(base) = facts.base else { return Plan::Full(Why::NoCopy) };
    if base.unverified {
        return Plan::Full(Why::Unverified);
    }
    if base.bucket.as_deref() != Some(facts.bucket) || base.root() != facts.root {
        return Plan::Full(Why::Elsewhere);
    }
    // The server wants the same in a whole chain.
    if base.kind() != kind_of(facts.level) {
        return Plan::Full(Why::Compression);
    }
    let made: Option<Timestamp> = base.completed.as_deref().and_then(|time| time.parse().ok());
    let age = made.and_then(|made| Duration::try_from(facts.now.duration_since(made)).ok());
    // A time to come is another clock's.
    if age.is_none_or(|age| age >= facts.every) {
        return Plan::Full(Why::Old);
    }
    Plan::On(first.to_owned())
}

/// `compressionType` of a descriptor for a `CompressionLevel` (entities/backup of 1.39.0); a server without the choice
/// has gzip.
fn kind_of(level: Option<&str>) -> &'static str {
    match level {
        Some("NoCompression") => "none",
        Some(zstd) if zstd.starts_with("Zstd") => "zstd",
        Some(_) | None => "gzip",
    }
}

/// The `CompressionLevel` of the next backup. Never the server's default: it may be another one after an upgrade, and a
/// chain is of one kind.
pub fn level<'a>(wanted: Option<&'a str>, server: &str) -> Option<&'a str> {
    // zstd is faster than gzip and no larger (weaviate#9748), since 1.35.
    let known = release(server).is_some_and(|release| release >= (1, 35));
    wanted.or_else(|| known.then_some("ZstdBestSpeed"))
}

impl Manifest {
    /// Its `compressionType`; those of old backups have none, and are gzip.
    fn kind(&self) -> &str {
        self.compression.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("gzip")
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(base) => write!(f, "on {base}"),
            Self::Full(why) => write!(f, "full: {why}"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "it was asked for",
            Self::First => "there is none before it",
            Self::NoCopy => "no manifest says what the last full one holds",
            Self::Unverified => "nobody took checksums when the last full one was made",
            Self::Elsewhere => "the last full one lies elsewhere",
            Self::Old => "the last full one is old",
            Self::Compression => "the last full one is compressed in another way",
            Self::Server => "the server knows no incremental ones",
        })
    }
}

/// A backup that another one is built on.
#[derive(Clone, Debug)]
pub struct Base {
    pub id: String,
    /// Its `compressionType`.
    pub kind: String,
    /// All of it.
    objects: Vec<Object>,
    /// The key of the folder that holds all backups, with a slash at its end, or empty.
    root: String,
}

impl Base {
    fn object(&self, below: &str) -> Option<&Object> {
        let key = format!("{}{below}", self.root);
        self.objects.iter().find(|object| object.key == key)
    }

    /// What a restore of a backup reads of its base: these chunks, by `<id>/<node>/<Class>/chunk-1`, and the
    /// descriptors. `Err`: one that the base does not hold.
    pub fn needed(&self, node: &str, chunks: &BTreeSet<String>) -> Result<Vec<Object>, String> {
        let Self { id, .. } = self;
        let descriptors = [format!("{id}/{GLOBAL}"), format!("{id}/{node}/{NODE}")];
        let all = descriptors.iter().chain(chunks);
        all.map(|below| self.object(below).cloned().ok_or_else(|| below.clone())).collect()
    }
}

/// Looks for the base and puts what the server needs of it beside the data; `None`: a full one.
pub async fn find(job: &Job<'_>, own: &Pointer, asked: bool) -> Result<Option<Base>, BackupError> {
    let first = own.manifest.chain.first().map(String::as_str);
    let base = match first {
        Some(id) if own.manifest.backup_id.as_deref() == Some(id) => Some(own.manifest.clone()),
        Some(id) => copy_of(job, id).await?,
        None => None,
    };
    let settings = job.store.settings();
    let facts = Facts {
        asked,
        bucket: job.store.bucket(),
        root: &settings.prefix,
        first,
        base: base.as_ref(),
        now: job.host.now(),
        every: job.host.settings.making.full_every,
        level: level(job.host.settings.making.compression.as_deref(), &job.version),
        server: &job.version,
    };
    let plan = decide(&facts);
    tracing::info!(step = "backup", "the next backup is made {plan}");
    let (Plan::On(id), Some(manifest)) = (plan, base) else { return Ok(None) };
    let kind = manifest.kind().to_owned();
    let base = Base { id, kind, objects: manifest.objects, root: settings.key("") };
    match usable(job, &base).await {
        Ok(()) => Ok(Some(base)),
        // What is built on it could not be restored; a full one needs nothing of it.
        Err(
            error @ (BackupError::Incomplete { .. }
            | BackupError::Differs { .. }
            | BackupError::Store(StoreError::Absent { .. } | StoreError::Corrupt { .. })),
        ) => {
            let id = &base.id;
            job.host
                .status
                .warn(format!("the next backup is full, because {id} is not whole any more: {error}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether the bucket lists all of it as it was, and its descriptors are what the manifest says; these lie beside the
/// data then.
async fn usable(job: &Job<'_>, base: &Base) -> Result<(), BackupError> {
    let listed = job.store.list(&format!("{}{}/", base.root, base.id)).await?;
    carry::compare(job.store.bucket(), &base.objects, &listed)?;
    let node = job.host.settings.node.name.to_string();
    for below in [format!("{}/{GLOBAL}", base.id), format!("{}/{node}/{NODE}", base.id)] {
        let Some(object) = base.object(&below) else {
            let (backup, what) = (base.id.clone(), format!("{below} is in no manifest"));
            return Err(BackupError::Incomplete { backup, what });
        };
        bring(job, &below, object).await?;
    }
    Ok(())
}

async fn copy_of(job: &Job<'_>, id: &str) -> Result<Option<Manifest>, BackupError> {
    let node = &job.host.settings.node;
    let key = job.store.settings().key(&format!("{}/{id}.json", manifest::COPIES));
    let (deployment, name) = (node.deployment.to_string(), node.name.to_string());
    let found = manifest::read(&job.store, &key, &deployment, &name).await?;
    Ok(found.map(|pointer| pointer.manifest))
}

/// A descriptor of the base, from the volume where it lies there as it was made, else from the bucket.
async fn bring(job: &Job<'_>, below: &str, object: &Object) -> Result<(), BackupError> {
    let path = Path::new(below);
    let right = |bytes: &[u8]| hex(&Sha256::digest(bytes)) == object.sha256;
    if job.tree.read_all(path)?.is_some_and(|bytes| right(&bytes)) {
        return Ok(());
    }
    let found = job.store.get(&object.key).await?;
    if !right(&found.bytes) {
        let (bucket, key) = (job.store.bucket().to_owned(), object.key.clone());
        let what = "it is not what the manifest says".to_owned();
        return Err(StoreError::Corrupt { bucket, key, what }.into());
    }
    Ok(job.tree.put(path, &found.bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Manifest {
        Manifest {
            backup_id: Some("full-1".into()),
            bucket: Some("acme".into()),
            path: Some("prod/full-1".into()),
            completed: Some("2026-11-20T12:00:00Z".into()),
            compression: Some("zstd".into()),
            chain: vec!["full-1".into()],
            ..Manifest::default()
        }
    }

    #[test]
    fn every_plan_has_its_facts() {
        let base = made();
        let unverified = Manifest { unverified: true, ..made() };
        let elsewhere = Manifest { path: Some("stage/full-1".into()), ..made() };
        let gzip = Manifest { compression: None, ..made() };
        let timeless = Manifest { completed: None, ..made() };
        let all = Facts {
            asked: false,
            bucket: "acme",
            root: "prod",
            first: Some("full-1"),
            base: Some(&base),
            now: "2026-11-27T11:59:59Z".parse().expect("a time"),
            every: Duration::from_hours(168),
            level: Some("ZstdBestSpeed"),
            server: "1.39.0",
        };
        let later = "2026-11-27T12:00:00Z".parse().expect("a time");
        let earlier = "2026-11-20T11:59:59Z".parse().expect("a time");
        let on = Plan::On("full-1".into());
        let rows = [
            (all, on.clone()),
            (Facts { base: Some(&gzip), level: None, ..all }, on.clone()),
            (Facts { base: Some(&gzip), level: Some("BestSpeed"), ..all }, on.clone()),
            (Facts { server: "1.37.0-rc.0", ..all }, on),
            (Facts { asked: true, ..all }, Plan::Full(Why::Asked)),
            (Facts { first: None, base: None, asked: true, ..all }, Plan::Full(Why::First)),
            (Facts { base: None, ..all }, Plan::Full(Why::NoCopy)),
            (Facts { base: Some(&unverified), ..all }, Plan::Full(Why::Unverified)),
            (Facts { base: Some(&elsewhere), ..all }, Plan::Full(Why::Elsewhere)),
            (Facts { bucket: "other", ..all }, Plan::Full(Why::Elsewhere)),
            (Facts { now: later, ..all }, Plan::Full(Why::Old)),
            (Facts { now: earlier, ..all }, Plan::Full(Why::Old)),
            (Facts { base: Some(&timeless), ..all }, Plan::Full(Why::Old)),
            (Facts { level: None, ..all }, Plan::Full(Why::Compression)),
            (Facts { level: Some("BestSpeed"), ..all }, Plan::Full(Why::Compression)),
            (Facts { level: Some("NoCompression"), ..all }, Plan::Full(Why::Compression)),
            (Facts { base: Some(&gzip), ..all }, Plan::Full(Why::Compression)),
            (Facts { server: "1.36.23", ..all }, Plan::Full(Why::Server)),
            (Facts { server: "a fork", ..all }, Plan::Full(Why::Server)),
        ];
        for (facts, expected) in &rows {
            assert_eq!(decide(facts), *expected, "{facts:?}");
        }
    }

    #[test]
    fn the_level_is_never_left_to_the_server() {
        let rows = [
            (Some("BestSpeed"), "1.39.0", Some("BestSpeed")),
            (None, "1.39.0", Some("ZstdBestSpeed")),
            (None, "1.35.0", Some("ZstdBestSpeed")),
            // It has one kind only.
            (None, "1.34.9", None),
            (None, "a fork", None),
        ];
        for (wanted, server, expected) in rows {
            assert_eq!(level(wanted, server), expected, "{wanted:?} {server}");
        }
    }

    #[test]
    fn only_what_a_restore_reads_of_a_base_is_named() {
        let object = |below: &str| Object {
            key: format!("prod/{below}"),
            size: 1,
            sha256: String::new(),
            etag: None,
            version_id: None,
            other: serde_json::Map::new(),
        };
        let files =
            ["full-1/backup_config.json", "full-1/n/backup.json", "full-1/n/A/chunk-1", "full-1/n/A/chunk-2"];
        let base = Base {
            id: "full-1".into(),
            kind: "zstd".into(),
            objects: files.iter().map(|below| object(below)).collect(),
            root: "prod/".into(),
        };
        let keys = |chunks: &[&str]| {
            let chunks = chunks.iter().map(|chunk| (*chunk).to_owned()).collect();
            base.needed("n", &chunks)
                .map(|found| found.into_iter().map(|object| object.key).collect::<Vec<_>>())
        };
        let descriptors = ["prod/full-1/backup_config.json", "prod/full-1/n/backup.json"];
        assert_eq!(keys(&[]).expect("all there"), descriptors);
        let one = keys(&["full-1/n/A/chunk-2"]).expect("all there");
        assert_eq!(one, [descriptors[0], descriptors[1], "prod/full-1/n/A/chunk-2"]);
        assert_eq!(keys(&["full-1/n/A/chunk-3"]), Err("full-1/n/A/chunk-3".to_owned()));
    }
}
