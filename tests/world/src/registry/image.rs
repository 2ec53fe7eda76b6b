//! An image in memory: of one static binary, or of an archive that `docker save` made.

use std::path::Path;

use anyhow::{Context as _, Result};
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
    /// Beside `PATH`.
    pub environment: Vec<String>,
    pub labels: Vec<(String, String)>,
}

impl Default for ImageOptions {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            architecture: architecture(std::env::consts::ARCH).to_owned(),
            entrypoint: words(&["/bin/weaviate"]),
            command: words(&["--host", "0.0.0.0", "--port", "8080", "--scheme", "http"]),
            environment: Vec::new(),
            labels: Vec::new(),
        }
    }
}

/// As Docker names it. The server is built for the machine that plays the cases.
fn architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
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

/// Manifest, config and layers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Image {
    pub(super) manifest: Blob,
    pub(super) config: Blob,
    pub(super) layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// As it is pulled.
    pub packed: Blob,
    /// As it is loaded from a file.
    pub plain: Blob,
}

impl Layer {
    fn new(plain: Vec<u8>) -> Self {
        let plain = Blob::new(plain);
        // An archive may hold it packed already.
        let packed = if super::gzip::is(&plain.bytes) {
            plain.clone()
        } else {
            Blob::new(super::gzip::stored(&plain.bytes))
        };
        Self { packed, plain }
    }
}

impl Image {
    /// `FROM scratch`, with `binary` as `/bin/weaviate` and an empty `/tmp`.
    pub fn of_binary(binary: &[u8], options: &ImageOptions) -> std::io::Result<Self> {
        let layer = Layer::new(root(binary)?);
        let ImageOptions { architecture, entrypoint, command, environment, labels } = options;
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let environment: Vec<&str> =
            std::iter::once(path).chain(environment.iter().map(String::as_str)).collect();
        let labels: serde_json::Map<_, _> =
            labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let config = json!({
            "architecture": architecture,
            "config": {
                "Cmd": command,
                "Entrypoint": entrypoint,
                "Env": environment,
                "Labels": labels,
                "WorkingDir": "/",
            },
            "created": EPOCH,
            "history": [{ "created": EPOCH, "created_by": "COPY /bin/weaviate" }],
            "os": "linux",
            "rootfs": { "diff_ids": [layer.plain.digest], "type": "layers" },
        });
        Ok(Self::of(config.to_string().into_bytes(), vec![layer]))
    }

    /// The first image of an archive, whatever it is called there.
    pub fn of_archive(path: &Path) -> Result<Self> {
        let (config, layers) =
            super::archive::read(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self::of(config, layers.into_iter().map(Layer::new).collect()))
    }

    fn of(config: Vec<u8>, layers: Vec<Layer>) -> Self {
        let config = Blob::new(config);
        let listed = layers.iter().map(|Layer { packed, plain: _ }| {
            json!({ "mediaType": LAYER_TYPE, "size": packed.bytes.len(), "digest": packed.digest })
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": { "mediaType": CONFIG_TYPE, "size": config.bytes.len(), "digest": config.digest },
            "layers": listed.collect::<Vec<_>>(),
        });
        let manifest = Blob::new(manifest.to_string().into_bytes());
        Self { manifest, config, layers }
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
    pub fn archive(&self, path: &Path, name_and_tag: &str) -> std::io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_have_the_names_of_docker() {
        for (rust, docker) in [("x86_64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv64")] {
            assert_eq!(architecture(rust), docker);
        }
    }
}
