//! `[scene.bucket]`: the backups that lie in the bucket, and what somebody did to them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use toml::Table;

use super::super::beside::Shop;
use super::super::{BUCKET, Programs};
use super::read;
use crate::case::{Scene, lay};
use crate::cloud::spec::OLD;
use crate::fixtures::generate::{self, Wanted};
use crate::fixtures::{self, Damage, Options, Pointer};
use crate::ledger::{Event, Ledger};
use crate::s3;

/// `[scene.bucket]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BucketScene {
    /// In the order in which they were published; folders of the recordings.
    pub backups: Vec<String>,
    pub manifest: bool,
    pub copies: bool,
    pub deployment: Option<String>,
    pub node: Option<String>,
    /// The nodes that the backups' own descriptors name, whatever the manifest says.
    pub nodes: Vec<String>,
    /// The manifest of a node that started empty.
    pub empty_manifest: bool,
    /// The object, by the end of its key, that has one bit flipped, or ends early.
    pub flip: Option<String>,
    pub truncate: Option<String>,
    /// Laid over the pointer as it lies in the bucket; the copy stays as it is.
    pub manifest_patch: Table,
    /// What lies in the pointer's place instead.
    pub manifest_text: Option<String>,
    /// A generated backup, instead of a recorded one.
    pub generated: Option<Wanted>,
    pub first_byte_ms: u64,
    /// Of each connection.
    pub bytes_per_second: Option<u64>,
    /// Of all connections together.
    pub line_bytes_per_second: Option<u64>,
    pub store: Shop,
    /// Where the store is, if elsewhere than the cloud.
    pub region: Option<String>,
    /// Another environment's bucket beside it, for `restore.from`.
    pub source: Option<SourceScene>,
}

/// `[scene.bucket.source]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SourceScene {
    pub bucket: String,
    pub prefix: String,
    pub deployment: String,
    /// Which made the backups, if another than this one.
    pub node: Option<String>,
    /// Of the bucket, if elsewhere than the cloud.
    pub region: Option<String>,
    pub backups: Vec<String>,
    /// Collections of them that the node is not to have.
    pub left_out: Vec<String>,
    /// What lies in the pointer's place instead.
    pub manifest_text: Option<String>,
}

impl Default for SourceScene {
    fn default() -> Self {
        Self {
            bucket: "acme-production".to_owned(),
            prefix: "live".to_owned(),
            deployment: "acme-production".to_owned(),
            node: None,
            region: None,
            backups: vec!["full-1".to_owned()],
            left_out: Vec::new(),
            manifest_text: None,
        }
    }
}

impl SourceScene {
    /// What clients of the node must find: everything but what it is not to have.
    fn fill(&self, programs: &Programs, store: &s3::Store) -> Result<BTreeMap<String, serde_json::Value>> {
        let Self { bucket, prefix, deployment, node, region: _, backups: ids, left_out, manifest_text } =
            self;
        let options = Options {
            bucket: bucket.clone(),
            prefix: prefix.clone(),
            deployment: deployment.clone(),
            node: node.clone(),
            nodes: node.iter().cloned().collect(),
            owner: Some("i-0bbbbbbbbbbbbbb01".to_owned()),
            ..Options::default()
        };
        store.create_bucket(bucket);
        let mut published = BTreeMap::new();
        for id in ids {
            let mut manifest = fixtures::publish(store, &backups(programs), id, &options)?.manifest;
            for name in left_out {
                let collections = manifest["collections"].as_object_mut();
                let there = collections.and_then(|collections| collections.remove(name));
                ensure!(there.is_some(), "{id} of the source has no collection {name}");
            }
            published.insert(id.clone(), manifest);
        }
        if let Some(text) = manifest_text {
            store.put(bucket, &options.pointer_key(), text.as_bytes())?;
        }
        Ok(published)
    }
}

impl Default for BucketScene {
    fn default() -> Self {
        Self {
            backups: vec!["full-1".to_owned()],
            manifest: true,
            copies: true,
            deployment: None,
            node: None,
            nodes: Vec::new(),
            empty_manifest: false,
            flip: None,
            truncate: None,
            manifest_patch: Table::new(),
            manifest_text: None,
            generated: None,
            first_byte_ms: 0,
            bytes_per_second: None,
            line_bytes_per_second: None,
            store: Shop::Amazon,
            region: None,
            source: None,
        }
    }
}

fn backups(programs: &Programs) -> std::path::PathBuf {
    programs.repository.join("tests/recordings/weaviate-1.39.0/backups")
}

/// Puts the case's backups into the bucket; what each holds, by id, as the manifest counts it.
pub fn fill_bucket(
    programs: &Programs,
    scene: &Scene,
    prefix: &str,
    store: &s3::Store,
    scratch: &Path,
    ledger: &Ledger,
) -> Result<BTreeMap<String, serde_json::Value>> {
    let bucket: BucketScene = read("[scene.bucket]", &scene.bucket)?;
    let mut options = Options {
        prefix: prefix.to_owned(),
        node: bucket.node.clone(),
        nodes: bucket.nodes.clone(),
        deployment: bucket.deployment.clone().unwrap_or_else(|| "acme-prod".to_owned()),
        pointer: match (bucket.manifest, bucket.copies) {
            (true, _) => Pointer::Latest,
            (false, true) => Pointer::OnlyCopy,
            (false, false) => Pointer::OnlyDescriptors,
        },
        owner: Some(OLD.to_owned()),
        ..Options::default()
    };
    store.create_bucket(&options.bucket);
    let flip = bucket.flip.iter().map(|end| (end.clone(), Damage::FlippedBit { byte: 1000 }));
    let truncate = bucket.truncate.iter().map(|end| (end.clone(), Damage::Truncated { size: 1000 }));
    options.damage = flip.chain(truncate).collect();
    if bucket.empty_manifest {
        fixtures::publish_empty(store, &options)?;
    }
    let mut published = BTreeMap::new();
    if let Some(wanted) = &bucket.generated {
        let out = scratch.join("generated");
        let made = generate::generate(&programs.server, &out, wanted)?;
        ledger.record(Event::Mark { what: made.to_string() });
        let manifest = fixtures::publish(store, &out, generate::ID, &options)?.manifest;
        // Two readings of one backup: the generator's own, and what its descriptors and files say.
        ensure!(crate::case::counts(&manifest) == made.counts, "{made}; its manifest says {manifest}");
        published.insert(generate::ID.to_owned(), manifest);
    } else {
        for id in &bucket.backups {
            published
                .insert(id.clone(), fixtures::publish(store, &backups(programs), id, &options)?.manifest);
            options.generation += 1;
        }
    }
    spoil_pointer(store, &options, &bucket)?;
    if let Some(source) = &bucket.source {
        published.extend(source.fill(programs, store)?);
    }
    Ok(published)
}

/// What somebody did to the pointer after it was published.
fn spoil_pointer(store: &s3::Store, options: &Options, bucket: &BucketScene) -> Result<()> {
    let key = options.pointer_key();
    if !bucket.manifest_patch.is_empty() {
        let there = store.read(&options.bucket, &key).context("there is no pointer to patch")?;
        let there: serde_json::Value = serde_json::from_slice(&there)?;
        let mut manifest = Table::try_from(drop_nulls(there))?;
        lay(&mut manifest, &bucket.manifest_patch);
        store.put(&options.bucket, &key, serde_json::to_string(&manifest)?.as_bytes())?;
    }
    if let Some(text) = &bucket.manifest_text {
        store.put(&options.bucket, &key, text.as_bytes())?;
    }
    Ok(())
}

/// TOML has no null, and a field that is null in a manifest means the same as one that is not there.
fn drop_nulls(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(fields) => {
            fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, drop_nulls(v))).collect()
        }
        serde_json::Value::Array(items) => items.into_iter().map(drop_nulls).collect(),
        other => other,
    }
}

/// The old owner's last backup, published while the successor waits.
pub fn publish_later(
    programs: &Programs,
    store: &s3::Store,
    prefix: &str,
    id: &str,
    generation: u64,
) -> Result<serde_json::Value> {
    let owner = Some(OLD.to_owned());
    let options = Options { owner, generation, prefix: prefix.to_owned(), ..Options::default() };
    Ok(fixtures::publish(store, &backups(programs), id, &options)?.manifest)
}

/// The judge knows whose the manifest is and what has to be counted, whoever wrote it.
pub fn tell_published(store: &s3::Store, ledger: &Ledger) {
    let pointers =
        store.keys(BUCKET, "").into_iter().filter(|object| object.key.ends_with(fixtures::POINTER));
    for object in pointers {
        let parameters = crate::judge::facts(&store.read(BUCKET, &object.key).unwrap_or_default());
        ledger.record(Event::Published { key: object.key, parameters });
    }
}
