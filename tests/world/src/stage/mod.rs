//! The world of one case, set up and running: cloud, store, VPC, machine, clients that knock, and the watchers
//! whose sights the judge reads.
//!
//! ```text
//! Scene ──▶ specs ──▶ cloud, store ──listen──▶ VPC ◀──hot-plug── cloud
//!                                              VPC ──▶ machine ──▶ engine, image, configuration
//!                     knockers, watchers ──▶ ledger
//! ```

mod agent;
mod planted;
mod scene;
mod server_log;
mod services;
mod watch;

pub use agent::{Agent, Ended};
pub use planted::Planted;
pub use scene::{Image, specs};
pub use server_log::ServerLog;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::case::Scene;
use crate::cloud::Cloud;
use crate::faults::Faults;
use crate::judge::START;
use crate::ledger::{Event, Ledger};
use crate::machine::Machine;
use crate::s3;
use crate::vpc::{Knockers, Vpc, VpcPlan};

/// The programs and the repository that a case needs.
#[derive(Clone, Debug)]
pub struct Programs {
    pub repository: PathBuf,
    pub agent: PathBuf,
    /// The static server that goes into the image.
    pub server: PathBuf,
    /// `WEAVIATE_IMAGE`: an archive made by `docker save`, instead of the server.
    pub archive: Option<PathBuf>,
}

/// A running world.
pub struct Stage {
    pub ledger: Arc<Ledger>,
    pub faults: Arc<Faults>,
    pub planted: Arc<Planted>,
    pub cloud: Cloud,
    pub store: s3::Store,
    pub vpc: Vpc,
    pub machine: Arc<Machine>,
    pub programs: Programs,
    /// What lies in the bucket, as it was counted when it was put there.
    pub published: Option<crate::fixtures::Published>,
    pub reader_key: String,
    scene: Scene,
    knockers: Option<Knockers>,
    _watch: watch::Watch,
    _services: services::Services,
    _directory: tempfile::TempDir,
}

impl Stage {
    /// Sets everything up; the machine has booted with its door closed, as the early unit does it.
    pub async fn set(programs: &Programs, scene: &Scene) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("world-").tempdir().context("a directory for the case")?;
        let ledger = Arc::new(Ledger::default());
        let planted = Arc::new(Planted::default());
        let faults = Arc::new(Faults::new(scene.faults.clone()));
        let made = specs(programs, scene, &planted)?;
        let cloud = Cloud::new(made.cloud, Arc::clone(&ledger), Arc::clone(&faults), made.policy);
        let vpc = Vpc::build(&VpcPlan::default()).await.context("building the VPC")?;
        let (store, services) =
            services::start(&cloud, &vpc, directory.path(), made.registry, &ledger, &faults).context("starting the services")?;
        let published = scene::fill_bucket(programs, scene, &store)?;
        let plugs = cloud.hotplug();
        let machine = Arc::new(Machine::boot(&vpc, &made.machine).await.context("booting the machine")?);
        let watch = watch::Watch::start(&machine, plugs, &made.enis, &ledger, &planted);
        cloud.start();
        let mut stage = Self {
            ledger,
            faults,
            planted,
            cloud,
            store,
            vpc,
            machine,
            programs: programs.clone(),
            published,
            reader_key: made.reader_key,
            scene: scene.clone(),
            knockers: None,
            _watch: watch,
            _services: services,
            _directory: directory,
        };
        stage.configure(&made.config)?;
        stage.wake().await?;
        let address = made.address;
        stage.knockers = Some(stage.vpc.knock(&stage.ledger, address.into(), &[8080, 50051]));
        Ok(stage)
    }

    /// What happens at every start of the machine before the agent runs: the early unit closes the door, Docker
    /// starts, the image is there if the AMI brought it.
    pub async fn wake(&self) -> Result<()> {
        self.ledger.record(Event::Mark { what: START.to_owned() });
        agent::close(self).await.context("closing the door early")?;
        scene::start_engine(self).await.context("starting the Docker Engine")
    }

    fn configure(&self, config: &toml::Table) -> Result<()> {
        let folder = self.machine.path("/etc/weaviate-provisioner");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("config.toml"), toml::to_string(config)?)?;
        Ok(())
    }

    pub const fn scene(&self) -> &Scene {
        &self.scene
    }

    /// Stops the clients; what they saw is in the ledger.
    pub async fn quiet(&mut self) {
        if let Some(knockers) = self.knockers.take() {
            knockers.stop().await;
        }
    }
}
