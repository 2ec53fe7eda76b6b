//! `[scene.machine]`: the machine, its disks, its engine, and what somebody did to them before the agent came.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use toml::{Table, Value};

use super::super::{Programs, ServerImage, Stage};
use super::read;
use crate::case::Scene;
use crate::cloud::resources::mac_of;
use crate::cloud::spec::{CloudSpec, NEW};
use crate::machine::{DiskSpec, Machine, MachineSpec, Os};
use crate::vpc::Nic;

/// Where the cases' image is found: in the world's registry.
pub const REPOSITORY: &str = "10.0.8.10:5000/weaviate";
pub const TAG: &str = "1.39.0";

/// How the image comes to the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Image {
    /// The AMI brought it.
    #[default]
    Loaded,
    /// Pulled by tag.
    ByTag,
    /// Pulled by digest.
    ByDigest,
    /// Loaded by the agent from an archive on the machine.
    FromFile,
}

/// `[scene.machine]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MachineScene {
    pub os: String,
    pub image: Image,
    /// More arguments for dockerd.
    pub docker: Vec<String>,
    /// Of each instance store.
    pub disk_mib: u64,
    /// How many instance stores there are.
    pub disks: u64,
    /// What somebody did to the disks before: a script. A disk that it wrote to is foreign, and stays as it is.
    pub disk_script: Option<String>,
    /// What somebody did to the machine before the agent came, when Docker ran already: a script.
    pub script: Option<String>,
    /// What somebody did to the machine between two of its lives, before anything of the next one ran: a script.
    pub between: Option<String>,
    /// Files that somebody removes as soon as they are there.
    pub remove: Vec<std::path::PathBuf>,
    /// No security group keeps near and far clients from the primary address and from the server's inner ports.
    pub wide_groups: bool,
    /// Of the metadata service's answers. With two, a container behind a bridge would get them.
    pub hop_limit: u32,
}

impl Default for MachineScene {
    fn default() -> Self {
        Self {
            os: "hands-off".to_owned(),
            image: Image::Loaded,
            docker: Vec::new(),
            disk_mib: 8 << 10,
            disks: 1,
            disk_script: None,
            script: None,
            between: None,
            remove: Vec::new(),
            wide_groups: false,
            hop_limit: 1,
        }
    }
}

pub(super) fn specify(
    programs: &Programs,
    scene: &MachineScene,
    cloud: &CloudSpec,
    config: &Table,
) -> Result<MachineSpec> {
    let instance = cloud.instances.iter().find(|instance| instance.id == NEW).context("the new instance")?;
    let os = match scene.os.as_str() {
        "hands-off" => Os::HandsOff,
        "debian-12" => Os::Debian12,
        "amazon-linux-2023" => Os::AmazonLinux2023,
        "ubuntu-24.04" => Os::Ubuntu2404,
        other => bail!("no such OS: {other}"),
    };
    let share = [&programs.agent, &programs.server]
        .into_iter()
        .filter_map(|program| program.parent().map(Path::to_path_buf));
    let defaults = MachineSpec::default();
    let stores = (0..scene.disks)
        .map(|n| DiskSpec::instance_store(&format!("AWS2A1B3C4D5E6F7081{}", 9 - n), scene.disk_mib << 20));
    // Amazon answers at the name of every bucket, be there one or not. The other store has no name but its own:
    // who asks it at `BUCKET.store.world` finds nobody.
    let source = config.get("restore").and_then(|restore| restore.get("from"));
    let buckets = [config.get("backup"), source].into_iter().flatten().filter_map(|of| of.get("bucket"));
    let buckets = buckets.filter_map(Value::as_str).map(|bucket| format!("{bucket}.s3.world"));
    let amazon = std::iter::once("s3.world".to_owned()).chain(buckets);
    let amazon = amazon.map(|name| (Ipv4Addr::new(10, 0, 8, 9), name));
    let other = (Ipv4Addr::new(10, 0, 8, 11), "store.world".to_owned());
    Ok(MachineSpec {
        instance_id: NEW.to_owned(),
        primary: Nic { mac: mac_of(&instance.address), ..defaults.primary.clone() },
        hosts: amazon.chain([other]).collect(),
        disks: std::iter::once(DiskSpec::ebs_root("vol0123456789abcdef0")).chain(stores).collect(),
        os,
        share: share.collect(),
        ..defaults
    })
}

impl Stage {
    /// Starts dockerd with the arguments that the scene gives it.
    pub async fn start_docker(&self) -> Result<()> {
        let scene: MachineScene = read("[scene.machine]", &self.scene().machine)?;
        let arguments: Vec<&str> = scene.docker.iter().map(String::as_str).collect();
        self.machine.start_docker(&arguments).await
    }
}

/// Starts dockerd and brings the image as the scene wants it.
pub async fn start_engine(stage: &Stage) -> Result<()> {
    let scene: MachineScene = read("[scene.machine]", &stage.scene().machine)?;
    stage.start_docker().await?;
    let archive = stage.image.archive.to_str().context("the archive's path is text")?;
    match scene.image {
        Image::Loaded => {
            let load = stage.machine.command("docker")?.args(["load", "--quiet", "--input", archive]);
            load.succeed(Duration::from_mins(2)).await?;
        }
        Image::FromFile => {
            let folder = stage.machine.path("/opt/weaviate");
            std::fs::create_dir_all(&folder)?;
            std::fs::copy(archive, folder.join("image.tar"))?;
        }
        Image::ByTag | Image::ByDigest => {}
    }
    Ok(())
}

/// What somebody did to the disks, before anybody watches them.
pub async fn prepare_disks(machine: &Machine, scene: &Scene) -> Result<()> {
    let scene: MachineScene = read("[scene.machine]", &scene.machine)?;
    let Some(script) = scene.disk_script else { return Ok(()) };
    let shell = machine.command("sh")?.args(["-euc", &script]);
    shell.succeed(Duration::from_secs(30)).await.context("the case's script for the disks")?;
    machine.disks().iter().try_for_each(|disk| disk.begin())
}

/// What somebody did to the machine before the agent came.
pub async fn prepare_machine(stage: &Stage) -> Result<()> {
    somebody(stage, |scene| scene.script).await
}

/// What somebody did to the machine that has just been started again.
pub async fn between(stage: &Stage) -> Result<()> {
    somebody(stage, |scene| scene.between).await
}

async fn somebody(stage: &Stage, did: impl FnOnce(MachineScene) -> Option<String>) -> Result<()> {
    let scene: MachineScene = read("[scene.machine]", &stage.scene().machine)?;
    match did(scene) {
        Some(text) => script(&stage.machine, &text).await,
        None => Ok(()),
    }
}

/// Runs a case's script on the machine.
pub async fn script(machine: &Machine, script: &str) -> Result<()> {
    let shell = machine.command("sh")?.args(["-euc", script]);
    shell.succeed(Duration::from_mins(1)).await.context("the case's script").map(drop)
}

/// How the agent's configuration names the image.
pub fn image_reference(scene: &Scene, digest: &str) -> Result<String> {
    let scene: MachineScene = read("[scene.machine]", &scene.machine)?;
    Ok(match scene.image {
        Image::Loaded | Image::ByTag | Image::FromFile => format!("{REPOSITORY}:{TAG}"),
        Image::ByDigest => format!("{REPOSITORY}@{digest}"),
    })
}

/// The image of the stand-in, or the archive that the user named.
pub fn server_image(programs: &Programs, directory: &Path) -> Result<ServerImage> {
    let image = if let Some(archive) = &programs.archive {
        crate::registry::Image::of_archive(archive)?
    } else {
        let path = &programs.server;
        let binary = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        crate::registry::Image::of_binary(&binary, &crate::registry::ImageOptions::default())?
    };
    // Under the name that the cases' configuration has, whatever its own is.
    let archive = directory.join("image.tar");
    image.archive(&archive, &format!("{REPOSITORY}:{TAG}"))?;
    Ok(ServerImage { archive, digest: image.digest().to_owned(), registry: image })
}
