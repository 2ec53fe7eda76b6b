//! `world bench`: what is measured from outside, beside another program that does the same.

pub mod boot;
pub mod transfer;

use std::path::Path;

use anyhow::{Context as _, Result};

/// The environment that the unit gives to the agent.
fn unit(repository: &Path) -> Result<Vec<(String, String)>> {
    let file = repository.join("systemd/weaviate-provisioner.service");
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let words =
        text.lines().filter_map(|line| line.strip_prefix("Environment=")).flat_map(str::split_whitespace);
    words
        .map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect::<Option<_>>()
        .context("an Environment= without a value")
}

/// `VmHWM`: the most that was ever resident, in KiB.
fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}

/// KiB as MB.
#[expect(clippy::cast_precision_loss, reason = "kibibytes of a process fit")]
fn megabytes(kib: Option<u64>) -> f64 {
    kib.unwrap_or_default() as f64 * 1024.0 / 1e6
}
