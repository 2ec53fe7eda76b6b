//! Gathers the facts. Changes nothing.

use std::time::Duration;

use super::decide::{Content, Facts, Mountpoint};
use super::{DiskError, discover, identify};
use crate::host::Host;
use crate::instance::Identity;
use crate::report::Step;

/// A controller of an instance store answers within seconds of the boot; a mount ends with its last open file.
pub const WAIT: Duration = Duration::from_secs(10);

/// Waits until a disk is there and nobody holds it: a controller may answer late, and the mount of a machine
/// that was cut off ends a moment after it. What is not so by then is refused by the decision.
pub async fn wait_for_disk(host: &Host) -> Result<(), DiskError> {
    let settings = &host.settings.storage;
    let end = tokio::time::Instant::now() + WAIT;
    loop {
        let disks = discover::discover(&host.roots.sysfs, &host.roots.dev, &settings.model)?;
        let mounts = identify::mounts(&host.roots.proc)?;
        let mut waits = None;
        if disks.is_empty() {
            waits = Some("waits for an instance store to appear".to_owned());
        }
        for disk in &disks {
            let ours = mounts.iter().any(|m| m.device == disk.number && m.at == settings.mount);
            // A node that is not there yet is waited for as well.
            match identify::held(&mounts, disk) {
                Ok(Some(holder)) if !ours => {
                    waits = Some(format!("waits until {holder} lets go of {}", disk.serial));
                }
                Err(_) if !disk.node.exists() => waits = Some(format!("waits for {}", disk.node.display())),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        let Some(waits) = waits else { return Ok(()) };
        if tokio::time::Instant::now() >= end {
            return Ok(());
        }
        host.status.say(Step::Prepare, waits);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub async fn look(host: &Host, me: &Identity) -> Result<Facts, DiskError> {
    let settings = &host.settings.storage;
    let (deployment, node) = (host.settings.node.deployment.to_string(), host.settings.node.name.to_string());
    let disks = discover::discover(&host.roots.sysfs, &host.roots.dev, &settings.model)?;
    let mounts = identify::mounts(&host.roots.proc)?;
    let mountpoint = identify::mountpoint(&mounts, &settings.mount)?;
    let (mut content, mut held, mut named) = (Content::Blank, None, false);
    if let [disk] = disks.as_slice() {
        discover::verify(&host.roots.sysfs, &host.roots.dev, &settings.model, disk)?;
        named = host.journal.read().disks.contains(&disk.serial);
        let mounted = mountpoint == Mountpoint::Mounted { device: disk.device() };
        if !mounted {
            held = identify::held(&mounts, disk)?;
        }
        // A disk that somebody holds is refused; looking into it could only disturb.
        if held.is_none() {
            let label = identify::label(&deployment, &node);
            let at = mounted.then_some(settings.mount.as_path());
            content = identify::content(disk, &label, at, &host.roots.run.join("peek")).await?;
        }
    }
    Ok(Facts {
        deployment,
        node,
        instance_id: me.instance_id().to_owned(),
        model: settings.model.clone(),
        mount: settings.mount.clone(),
        mountpoint,
        disks,
        content,
        held,
        named,
    })
}
