//! The model's numbers as the words of a real manifest.

use ownership_model::{Backup, Id, Manifest};
use sha2::{Digest as _, Sha256};
use weaviate_provisioner::hex::hex;
use weaviate_provisioner::manifest::{self, Object, checksum};

pub const KEY: &str = "prod/latest_weaviate_backup.manifest.json";
pub const DEPLOYMENT: &str = "acme";
pub const NODE: &str = "weaviate-0";

pub fn instance(id: Id) -> String {
    format!("i-{}-{}", id.place, id.life)
}

pub fn nonce(number: u8) -> String {
    format!("nonce-{number}")
}

pub fn backup(backup: Backup) -> Option<String> {
    (backup.number != 0).then(|| format!("backup-{}-of-{}", backup.number, backup.data))
}

pub fn manifest(of: Manifest) -> manifest::Manifest {
    let id = backup(of.backup);
    let object = |id: &String| Object {
        key: format!("prod/{id}/backup_config.json"),
        size: 7,
        sha256: "ab".repeat(32),
        etag: None,
        version_id: None,
        other: serde_json::Map::new(),
    };
    let objects: Vec<Object> = id.iter().map(object).collect();
    manifest::Manifest {
        schema: 1,
        deployment: DEPLOYMENT.to_owned(),
        node: NODE.to_owned(),
        generation: of.generation.into(),
        owner: Some(instance(of.owner)),
        nonce: Some(nonce(of.nonce)),
        path: id.as_ref().map(|id| format!("prod/{id}")),
        chain: id.iter().cloned().collect(),
        backup_id: id,
        checksum: Some(checksum(&objects)),
        objects,
        renewed: of.renewed.into(),
        ..manifest::Manifest::default()
    }
}

pub fn bytes(of: Manifest) -> Vec<u8> {
    serde_json::to_vec(&manifest(of)).expect("json")
}

pub fn etag(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..16])
}
