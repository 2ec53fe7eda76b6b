//! The image as a file for `docker load`.

use std::io::Write as _;
use std::path::Path;

use serde_json::json;

use super::image::{Image, header};

pub(super) fn write(image: &Image, path: &Path, name_and_tag: &str) -> std::io::Result<()> {
    let hexadecimal = |digest: &str| digest.trim_start_matches("sha256:").to_owned();
    let config = format!("{}.json", hexadecimal(&image.config.digest));
    let layer = format!("{}/layer.tar", hexadecimal(&image.plain.digest));
    let manifest = json!([{ "Config": config, "RepoTags": [name_and_tag], "Layers": [layer] }]).to_string();
    let mut tar = tar::Builder::new(std::io::BufWriter::new(std::fs::File::create(path)?));
    for (name, bytes) in [
        (config.as_str(), image.config.bytes.as_ref()),
        (layer.as_str(), image.plain.bytes.as_ref()),
        ("manifest.json", manifest.as_bytes()),
    ] {
        tar.append_data(&mut header(bytes.len() as u64, 0o644), name, bytes)?;
    }
    tar.into_inner()?.flush()
}
