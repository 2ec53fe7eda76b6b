//! Decisions as tables; the bytes of a real backup through an S3 on loopback.

mod bytes;
mod choosing;
mod decisions;
mod server;

use std::path::{Path, PathBuf};

use super::choose::Wish;
use super::settings::{Source, Unverified};
use crate::config::{Name, Value as _};
use crate::manifest::{Collection, Collections, Manifest, NAME, Object, Server, Tenant, checksum};
use crate::store::fake::{FakeS3, etag, sha256};

pub const POINTER: &str = "prod/latest_weaviate_backup.manifest.json";

fn recorded(id: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/weaviate-1.39.0/backups").join(id)
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a recorded backup") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// Puts recorded backups below `prod/`, as the server left them.
pub fn upload(fake: &FakeS3, ids: &[&str]) -> Vec<Object> {
    let mut objects = Vec::new();
    for id in ids {
        let (folder, mut found) = (recorded(id), Vec::new());
        files(&folder, &mut found);
        for path in found {
            let below = path.strip_prefix(&folder).expect("below").display().to_string();
            let (key, bytes) = (format!("prod/{id}/{below}"), std::fs::read(&path).expect("reads"));
            objects.push(Object {
                key: key.clone(),
                size: bytes.len() as u64,
                sha256: sha256(&bytes),
                etag: Some(etag(&bytes)),
                version_id: None,
                other: serde_json::Map::new(),
            });
            fake.put(&key, bytes);
        }
    }
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    objects
}

pub fn tenant(objects: Option<u64>, status: &str) -> Tenant {
    Tenant { objects, status: Some(status.to_owned()), ..Tenant::default() }
}

pub fn collection(tenants: &[(&str, Option<u64>, &str)]) -> Collection {
    let tenants = tenants.iter().map(|(n, o, s)| ((*n).to_owned(), tenant(*o, s))).collect();
    Collection { tenants, ..Collection::default() }
}

/// What full-1 holds.
pub fn collections() -> Collections {
    Collections::from([
        ("Article".to_owned(), collection(&[("", Some(3000), "HOT")])),
        (
            "Chunk".to_owned(),
            collection(&[("alpha", Some(100), "HOT"), ("beta", Some(100), "HOT"), ("cold", None, "COLD")]),
        ),
        ("Empty".to_owned(), collection(&[("", Some(0), "HOT")])),
    ])
}

/// The manifest of the last of `chain`, which lies in the bucket.
pub fn manifest(chain: &[&str], objects: Vec<Object>) -> Manifest {
    let id = (*chain.last().expect("a backup")).to_owned();
    Manifest {
        schema: 1,
        deployment: "acme".to_owned(),
        node: "weaviate-0".to_owned(),
        generation: 4,
        owner: Some("i-old".to_owned()),
        nonce: Some("old".to_owned()),
        path: Some(format!("prod/{id}")),
        backup_id: Some(id),
        completed: Some("2026-11-21T02:30:17Z".to_owned()),
        server: Server { version: "1.39.0".to_owned(), ..Server::default() },
        chain: chain.iter().map(|id| (*id).to_owned()).collect(),
        checksum: Some(checksum(&objects)),
        objects,
        collections: collections(),
        ..Manifest::default()
    }
}

pub fn publish(fake: &FakeS3, key: &str, manifest: &Manifest) {
    fake.put(key, serde_json::to_vec(manifest).expect("json"));
}

pub fn wish() -> Wish {
    Wish {
        deployment: "acme".to_owned(),
        node: "weaviate-0".to_owned(),
        allow_empty: false,
        unverified: Unverified::Refuse,
        eni: "eni-1".to_owned(),
        initialized: false,
        image: Some("1.39.0".to_owned()),
        from: None,
    }
}

/// What `restore.from` says in tests: below `live/` of the same bucket.
pub fn source() -> Source {
    let name = |text: &str| Name::read(&toml::Value::from(text)).expect("a name");
    Source {
        bucket: "backups".to_owned(),
        prefix: "live".to_owned(),
        deployment: name("acme-live"),
        node: name("weaviate-0"),
        region: None,
        include: Vec::new(),
        exclude: Vec::new(),
    }
}

#[test]
fn the_pointer_is_where_the_seeds_have_it() {
    assert_eq!(POINTER, format!("prod/{NAME}"));
}
