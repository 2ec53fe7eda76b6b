//! An image of one static binary, in memory.

use bytes::Bytes;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::s3::hex;

pub(super) const MANIFEST_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG_TYPE: &str = "application/vnd.docker.container.image.v1+json";
const LAYER_TYPE: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// A date in the image would change its digest with every build.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// What the image says of itself.
#[derive(Clone, Debug)]
pub struct ImageOptions {
    pub architecture: String,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub labels: Vec<(String, String)>,
}

impl Default for ImageOptions {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            architecture: "amd64".to_owned(),
            entrypoint: words(&["/bin/weaviate"]),
            command: words(&["--host", "0.0.0.0", "--port", "8080", "--scheme", "http"]),
            labels: Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Blob {
    pub digest: String,
    pub bytes: Bytes,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        Self { digest: digest_of(&bytes), bytes: bytes.into() }
    }
}

fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Manifest, config and layer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Image {
    pub(super) manifest: Blob,
    pub(super) config: Blob,
    /// As it is pulled.
    pub(super) layer: Blob,
    /// As it is loaded from a file: the tar itself, under the digest that the config names.
    pub(super) plain: Blob,
}

impl Image {
    /// `FROM scratch`, with `binary` as `/bin/weaviate` and an empty `/tmp`.
    pub fn of_binary(binary: &[u8], options: &ImageOptions) -> std::io::Result<Self> {
        let plain = Blob::new(root(binary)?);
        let layer = Blob::new(super::gzip::stored(&plain.bytes));
        let ImageOptions { architecture, entrypoint, command, labels } = options;
        let labels: serde_json::Map<_, _> =
            labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let config = json!({
            "architecture": architecture,
            "config": {
                "Cmd": command,
                "Entrypoint": entrypoint,
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Labels": labels,
                "WorkingDir": "/",
            },
            "created": EPOCH,
            "history": [{ "created": EPOCH, "created_by": "COPY /bin/weaviate" }],
            "os": "linux",
            "rootfs": { "diff_ids": [plain.digest], "type": "layers" },
        });
        let config = Blob::new(config.to_string().into_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": { "mediaType": CONFIG_TYPE, "size": config.bytes.len(), "digest": config.digest },
            "layers": [{ "mediaType": LAYER_TYPE, "size": layer.bytes.len(), "digest": layer.digest }],
        });
        let manifest = Blob::new(manifest.to_string().into_bytes());
        Ok(Self { manifest, config, layer, plain })
    }

    /// The digest that `name@sha256:…` takes.
    pub fn digest(&self) -> &str {
        &self.manifest.digest
    }

    /// What `docker inspect` calls `Id`.
    pub fn id(&self) -> &str {
        &self.config.digest
    }

    /// Writes what `docker load` reads.
    pub fn archive(&self, path: &std::path::Path, name_and_tag: &str) -> std::io::Result<()> {
        super::archive::write(self, path, name_and_tag)
    }
}

fn root(binary: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::with_capacity(binary.len() + 16 * 1024));
    for (name, mode) in [("bin/", 0o755), ("tmp/", 0o1777)] {
        let mut header = header(0, mode);
        header.set_entry_type(tar::EntryType::Directory);
        tar.append_data(&mut header, name, std::io::empty())?;
    }
    tar.append_data(&mut header(binary.len() as u64, 0o755), "bin/weaviate", binary)?;
    tar.into_inner()
}

pub(super) fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}
