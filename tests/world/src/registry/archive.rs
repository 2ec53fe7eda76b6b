//! The image as a file: for `docker load`, and as `docker save` made it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::image::{Image, header};

pub(super) fn write(image: &Image, path: &Path, name_and_tag: &str) -> std::io::Result<()> {
    let hexadecimal = |digest: &str| digest.trim_start_matches("sha256:").to_owned();
    let config = format!("{}.json", hexadecimal(&image.config.digest));
    let mut files = BTreeMap::from([(config.clone(), image.config.bytes.clone())]);
    let mut layers = Vec::new();
    for layer in &image.layers {
        let name = format!("{}/layer.tar", hexadecimal(&layer.plain.digest));
        // Two layers may be the same.
        files.insert(name.clone(), layer.plain.bytes.clone());
        layers.push(name);
    }
    let manifest = json!([{ "Config": config, "RepoTags": [name_and_tag], "Layers": layers }]).to_string();
    files.insert("manifest.json".to_owned(), manifest.into());
    let mut tar = tar::Builder::new(std::io::BufWriter::new(std::fs::File::create(path)?));
    for (name, bytes) in files {
        tar.append_data(&mut header(bytes.len() as u64, 0o644), name, bytes.as_ref())?;
    }
    tar.into_inner()?.flush()
}

/// Configuration and layers of the first image.
pub(super) fn read(path: &Path) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let mut files: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let mut links: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut archive = tar::Archive::new(std::fs::File::open(path)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        if let Some(target) = entry.link_name()? {
            // A layer that is there twice (docker save before version 25).
            let folder = name.parent().unwrap_or(Path::new(""));
            links.insert(name.clone(), plain(&folder.join(target)));
        } else if entry.header().entry_type().is_file() {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            files.insert(plain(&name), bytes);
        }
    }
    let take = |name: &Value| {
        let name = plain(Path::new(name.as_str().context("a name that is no text")?));
        let name = links.get(&name).unwrap_or(&name);
        files.get(name).cloned().with_context(|| format!("it does not hold {}", name.display()))
    };
    let manifest = take(&json!("manifest.json"))?;
    let manifest: Value = serde_json::from_slice(&manifest).context("its manifest.json is no JSON")?;
    let image = &manifest[0];
    let layers = image["Layers"].as_array().context("its manifest.json names no layers")?;
    Ok((take(&image["Config"])?, layers.iter().map(take).collect::<Result<_>>()?))
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut whole, part| {
        match part {
            Component::ParentDir => drop(whole.pop()),
            Component::Normal(name) => whole.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
        whole
    })
}

#[cfg(test)]
mod tests {
    use super::super::ImageOptions;
    use super::*;

    #[test]
    fn an_archive_is_read_back_under_another_name_and_a_link_is_its_target() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("image.tar");
        let image = Image::of_binary(b"a binary", &ImageOptions::default()).expect("an image");
        image.archive(&path, "somebody/server:dev").expect("an archive");
        let again = Image::of_archive(&path).expect("the same image");
        assert_eq!((again.digest(), again.id()), (image.digest(), image.id()));

        let mut tar = tar::Builder::new(std::fs::File::create(&path).expect("a file"));
        let manifest = br#"[{"Config":"c.json","RepoTags":null,"Layers":["a/layer.tar","b/layer.tar"]}]"#;
        for (name, bytes) in [("c.json", &b"{}"[..]), ("a/layer.tar", b"layer"), ("manifest.json", manifest)]
        {
            tar.append_data(&mut header(bytes.len() as u64, 0o644), name, bytes).expect("a file");
        }
        let mut link = header(0, 0o777);
        link.set_entry_type(tar::EntryType::Symlink);
        tar.append_link(&mut link, "b/layer.tar", "../a/layer.tar").expect("a link");
        tar.into_inner().expect("the end");
        let (config, layers) = read(&path).expect("an image");
        assert_eq!((config, layers), (b"{}".to_vec(), vec![b"layer".to_vec(), b"layer".to_vec()]));

        let missing = br#"[{"Config":"c.json","Layers":["a/layer.tar"]}]"#;
        let mut tar = tar::Builder::new(std::fs::File::create(&path).expect("a file"));
        tar.append_data(&mut header(missing.len() as u64, 0o644), "manifest.json", &missing[..])
            .expect("a file");
        tar.into_inner().expect("the end");
        let error = format!("{:#}", Image::of_archive(&path).expect_err("no configuration"));
        assert!(error.contains("does not hold c.json"), "{error}");
    }
}
