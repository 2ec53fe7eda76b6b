//! What is published is what the recorded backups hold.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use world::faults::Faults;
use world::fixtures::{Damage, Options, Pointer, publish, publish_empty};
use world::ledger::Ledger;
use world::s3::{AllowAll, OneKey, Store};

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings/weaviate-1.39.0/backups")
}

fn store() -> (Store, tempfile::TempDir) {
    let root = tempfile::tempdir().expect("a directory");
    let store = Store::new(
        root.path().join("s3"),
        Arc::new(OneKey::new("key", "secret")),
        Arc::new(AllowAll),
        Arc::new(Ledger::default()),
        Arc::new(Faults::default()),
    );
    (store.expect("a store"), root)
}

fn stored(store: &Store, options: &Options, key: &str) -> Value {
    let bytes = store.read(&options.bucket, key).unwrap_or_else(|| panic!("no {key}"));
    serde_json::from_slice(&bytes).expect("JSON")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[test]
fn full_1_is_described_as_it_is() {
    let (store, _root) = store();
    let options = Options::default();
    let published = publish(&store, &recorded(), "full-1", &options).expect("published");
    let manifest = stored(&store, &options, "prod/latest_weaviate_backup.manifest.json");
    assert_eq!(manifest, published.manifest);
    let counts = |collection: &str| manifest["collections"][collection]["tenants"].clone();
    assert_eq!(counts("Article"), json!({ "": { "objects": 3000, "status": "HOT" } }));
    assert_eq!(counts("Empty"), json!({ "": { "objects": 0, "status": "HOT" } }));
    assert_eq!(
        counts("Chunk"),
        json!({
            "alpha": { "objects": 100, "status": "HOT" },
            "beta": { "objects": 100, "status": "HOT" },
            "cold": { "objects": null, "status": "COLD" },
        })
    );
    for (field, value) in [
        ("schema", json!(1)),
        ("deployment", json!("acme-prod")),
        ("node", json!("weaviate-0")),
        ("backup_id", json!("full-1")),
        ("path", json!("prod/full-1")),
        ("compression", json!("zstd")),
        ("chain", json!(["full-1"])),
        ("server", json!({ "version": "1.39.0", "image_digest": null })),
        ("created", json!("2026-11-21T02:30:15.331591612Z")),
    ] {
        assert_eq!(manifest[field], value, "{field}");
    }
    let objects = manifest["objects"].as_array().expect("a list");
    assert_eq!(objects.len(), 10);
    let mut lines = Vec::new();
    for object in objects {
        let key = object["key"].as_str().expect("a key");
        let bytes = store.read(&options.bucket, key).expect("an object");
        assert_eq!(object["sha256"], hex(&Sha256::digest(&bytes)), "{key}");
        assert_eq!(object["size"], bytes.len(), "{key}");
        assert_eq!(object["etag"], store.info(&options.bucket, key).expect("an object").etag);
        let sha256 = object["sha256"].as_str().expect("hex");
        lines.push(format!("{sha256}  {}  {key}\n", object["size"]));
    }
    assert_eq!(manifest["checksum"], hex(&Sha256::digest(lines.concat())));
    assert!(objects.is_sorted_by_key(|object| object["key"].as_str()));

    let copy = stored(&store, &options, "prod/manifests/full-1.json");
    let mut expected = manifest;
    for field in ["owner", "nonce"] {
        expected.as_object_mut().expect("fields").shift_remove(field).expect("it has an owner");
    }
    assert_eq!(copy, expected);
}

#[test]
fn a_chain_is_published_whole() {
    let (store, _root) = store();
    let options = Options { prefix: String::new(), ..Options::default() };
    let published = publish(&store, &recorded(), "incr-1", &options).expect("published");
    let manifest = &published.manifest;
    assert_eq!(manifest["chain"], json!(["full-1", "incr-1"]));
    assert_eq!(manifest["path"], "incr-1");
    assert_eq!(manifest["collections"]["Article"]["tenants"][""]["objects"], 3000);
    assert_eq!(manifest["collections"]["Chunk"]["tenants"]["beta"]["objects"], 100);
    assert_eq!(manifest["objects"].as_array().expect("a list").len(), 16);
    assert!(store.info(&options.bucket, "full-1/weaviate-0/Article/chunk-2").is_some());
    assert!(store.info(&options.bucket, "latest_weaviate_backup.manifest.json").is_some());
}

#[test]
fn pointers_can_be_left_out() {
    let pointer = "prod/latest_weaviate_backup.manifest.json";
    let copy = "prod/manifests/full-1.json";
    for (which, has_pointer, has_copy) in [
        (Pointer::Latest, true, true),
        (Pointer::OnlyCopy, false, true),
        (Pointer::OnlyDescriptors, false, false),
    ] {
        let (store, _root) = store();
        let options = Options { pointer: which, ..Options::default() };
        publish(&store, &recorded(), "full-1", &options).expect("published");
        let has = |key: &str| store.info(&options.bucket, key).is_some();
        assert_eq!((has(pointer), has(copy)), (has_pointer, has_copy), "{which:?}");
        assert!(has("prod/full-1/backup_config.json"));
    }
}

#[test]
fn damage_leaves_the_manifest_as_it_was() {
    let key = "prod/full-1/weaviate-0/Article/chunk-2";
    let original = std::fs::read(recorded().join("full-1/weaviate-0/Article/chunk-2")).expect("a chunk");
    for damage in [Damage::FlippedBit { byte: 1000 }, Damage::Truncated { size: 1000 }, Damage::Missing] {
        let (store, _root) = store();
        let harmed =
            Options { damage: vec![("Article/chunk-2".into(), damage.clone())], ..Options::default() };
        publish(&store, &recorded(), "full-1", &harmed).expect("published");
        let manifest = stored(&store, &harmed, &harmed.pointer_key());
        let entry = manifest["objects"].as_array().expect("a list").iter().find(|o| o["key"] == key);
        assert_eq!(entry.expect("listed")["sha256"], hex(&Sha256::digest(&original)));
        let now = store.read(&harmed.bucket, key);
        match damage {
            Damage::FlippedBit { byte } => {
                let now = now.expect("an object");
                let differ: Vec<_> = (0..now.len()).filter(|at| now[*at] != original[*at]).collect();
                assert_eq!((now.len(), differ), (original.len(), vec![byte]));
                assert_eq!((now[byte] ^ original[byte]).count_ones(), 1);
                assert_eq!(
                    entry.expect("listed")["etag"],
                    store.info(&harmed.bucket, key).expect("there").etag
                );
            }
            Damage::Truncated { size } => assert_eq!(now.expect("an object"), original[..size]),
            Damage::Missing => assert!(now.is_none()),
        }
    }
    let (store, _root) = store();
    let options = Options { damage: vec![("no/such/chunk".into(), Damage::Missing)], ..Options::default() };
    publish(&store, &recorded(), "full-1", &options).expect_err("a case that damages nothing proves nothing");
}

#[test]
fn an_empty_node_has_a_manifest_without_a_backup() {
    let (store, _root) = store();
    let options = Options { node: Some("weaviate-7".into()), generation: 3, ..Options::default() };
    publish_empty(&store, &options).expect("published");
    let manifest = stored(&store, &options, &options.pointer_key());
    assert_eq!(manifest["backup_id"], Value::Null);
    assert_eq!((&manifest["node"], &manifest["generation"]), (&json!("weaviate-7"), &json!(3)));
    assert_eq!(manifest["checksum"], hex(&Sha256::digest(b"")));
    assert_eq!(store.keys(&options.bucket, "").len(), 1);
}
