//! The user data of a machine: what we ship for users, with a case's values in the places where users have theirs.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};
use toml::Table;

use super::case::MachineCase;
use crate::endpoint::hex;
use crate::iam::Policy;

/// Where the package lies. Not with the backups: a node cannot write it.
pub const BUCKET: &str = "acme-artifacts";
pub const KEY: &str = "weaviate-provisioner.deb";

/// The endpoints of the world: an AMI of Amazon's needs none of this.
const ENDPOINTS: &str =
    "[Service]\nEnvironment=AWS_ENDPOINT_URL=http://10.0.8.8 AWS_ENDPOINT_URL_S3=http://s3.world\n";

/// What the deployment's template gives the instance's role beside its own policy.
pub fn policy() -> Result<Policy> {
    let package = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Action": "s3:GetObject", "Resource": format!("arn:aws:s3:::{BUCKET}/{KEY}") }
        ]
    });
    Ok(Policy::load(&package.to_string(), &[])?)
}

pub fn render(repository: &Path, case: &MachineCase, config: &Table, package: &[u8]) -> Result<String> {
    let shipped = repository.join("packaging/user-data.yaml");
    let shipped = std::fs::read_to_string(&shipped).with_context(|| format!("read {}", shipped.display()))?;
    let text = values(&shipped, config, package, case.builder)?;
    let mut docker = Table::new();
    docker.insert("insecure-registries".to_owned(), toml::Value::Array(vec!["10.0.8.10:5000".into()]));
    docker.extend(case.docker.clone());
    let mut files = vec![
        ("/etc/systemd/system/weaviate-provisioner.service.d/endpoints.conf", ENDPOINTS.to_owned()),
        ("/etc/docker/daemon.json", serde_json::to_string(&docker)?),
    ];
    if let Some(script) = &case.prepare {
        files.push(("/run/prepare", script.clone()));
    }
    let mut added = String::from("write_files:\n");
    for (path, content) in files {
        write!(added, "  - path: {path}\n    content: |\n")?;
        content.lines().try_for_each(|line| writeln!(added, "      {line}"))?;
    }
    let mut text = replace_once(&text, "write_files:\n", &added)?;
    if case.prepare.is_some() {
        text = replace_once(&text, "runcmd:\n", "runcmd:\n  - [bash, -eu, /run/prepare]\n")?;
    }
    Ok(text)
}

/// The lines of a user's own.
fn values(shipped: &str, config: &Table, package: &[u8], built: bool) -> Result<String> {
    let config = toml::to_string(config)?;
    let settings = [
        // An image that was made has it.
        ("PACKAGE_URL=", if built { String::new() } else { format!("http://{BUCKET}.s3.world/{KEY}") }),
        ("PACKAGE_SHA256=", hex(&Sha256::digest(package))),
        ("PACKAGE_REGION=", "eu-central-1".to_owned()),
    ];
    let (mut out, mut found, mut inside) = (String::new(), 0, false);
    for line in shipped.lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        let plain = line.trim_start();
        if inside && plain != "END" {
            continue;
        }
        inside = false;
        match settings.iter().find(|(name, _)| plain.starts_with(name)) {
            Some((name, value)) => {
                found += 1;
                writeln!(out, "{indent}{name}'{value}'")?;
            }
            None => writeln!(out, "{line}")?,
        }
        if plain == "cat <<'END'" {
            found += 1;
            inside = true;
            // The heredoc's lines stand where its end does: at the margin of the script.
            let margin = &indent[..indent.len().saturating_sub(2)];
            config.lines().try_for_each(|line| writeln!(out, "{margin}{line}"))?;
        }
    }
    ensure!(
        found == settings.len() + 1,
        "the shipped user data has other places for a user's values: {found}"
    );
    Ok(out)
}

fn replace_once(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.matches(from).count() == 1, "the shipped user data has not exactly one {from:?}");
    Ok(text.replace(from, to))
}
