//! The world of one case, set up and running: cloud, store, VPC, machine, clients that knock, and the watchers
//! whose sights the judge reads.
//!
//! ```text
//! Scene ──▶ specs ──▶ site: cloud, store ──listen──▶ VPC ◀──hot-plug── cloud
//!                                              VPC ──▶ machine ──▶ engine, image, configuration
//!                     knockers, watchers ──▶ ledger
//! ```

mod agent;
mod beside;
mod commands;
mod deeds;
mod disks;
mod groups;
mod looking;
mod metadata;
mod notify;
mod observer;
mod planted;
mod scene;
mod search;
mod server_log;
mod services;
mod site;
mod source;
mod succession;
mod users;
mod verdict;
mod watch;

pub use agent::{Agent, Ended, RESTART, TRY_AGAIN};
pub use disks::Disks;
pub use metadata::TRIED;
pub use notify::WATCHDOG;
pub use planted::Planted;
pub use scene::{Image, specs};
use server_log::ServerLog;
pub use services::Access;
pub use site::{Counts, Site};
pub use succession::Former;
use succession::Switchboard;
use watch::Steady;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::case::Scene;
use crate::cloud::spec::NEW;
use crate::faults::held::Conditions;
use crate::judge::START;
use crate::kill::{Gate, shim};
use crate::ledger::Event;
use crate::machine::Machine;
use crate::vpc::{EniPlan, Knockers};

/// The only bucket of a case.
pub const BUCKET: &str = "acme-weaviate";

/// The programs and the repository that a case needs.
#[derive(Clone, Debug)]
pub struct Programs {
    pub repository: PathBuf,
    pub agent: PathBuf,
    /// The static server that goes into the image.
    pub server: PathBuf,
    /// `WEAVIATE_IMAGE`: an archive made by `docker save`, instead of the server. Nothing is expected of its log: what
    /// it is asked is seen on the network, and its starts in the engine's files.
    pub archive: Option<PathBuf>,
}

/// The server's image: in the registry, and as an archive.
#[derive(Clone, Debug)]
pub struct ServerImage {
    pub archive: PathBuf,
    pub digest: String,
    registry: crate::registry::Image,
}

/// What lies in the bucket: each published backup's manifest, by its id.
pub type Published = Arc<Mutex<BTreeMap<String, serde_json::Value>>>;

/// A running world.
pub struct Stage {
    site: Site,
    /// What every program that the agent runs passes; open unless a case kills.
    pub gate: Arc<Gate>,
    pub machine: Arc<Machine>,
    /// Held, the machine's power stays as it is.
    pub steady: Steady,
    scene: Scene,
    knockers: Vec<Knockers>,
    /// The images of the disks that nobody may touch, before the agent ran.
    foreign: BTreeMap<String, String>,
    others: tokio::task::JoinSet<()>,
    to_come: Arc<deeds::ToCome>,
    users: BTreeMap<String, users::User>,
    /// The machine has been started before.
    woken: AtomicBool,
    watch: watch::Watch,
    ear: Mutex<Option<notify::Ear>>,
    shims: Mutex<Option<shim::Shims>>,
    /// The stand-in tells itself what it was asked.
    observer: Mutex<Option<observer::Observer>>,
    /// The instance that was there before, with its machine.
    former: Option<Former>,
    switchboard: Switchboard,
    /// How each interface is wired where it is attached.
    enis: BTreeMap<String, EniPlan>,
}

/// A stage is a site with a machine on it.
impl Deref for Stage {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Stage {
    /// Sets everything up; the machine has booted with its door closed, as the early unit does it.
    pub async fn set(programs: &Programs, scene: &Scene) -> Result<Self> {
        let (site, made) = Site::open(programs, scene, None).await?;
        let cloud = &site.cloud;
        let mut others = tokio::task::JoinSet::new();
        let switchboard = Switchboard::start(cloud.hotplug(), &mut others);
        let first = Former::boot(&site, scene, &made.machine, &made.enis, &switchboard).await?;
        let Former { gate, machine, steady, foreign, woken, watch, ear, shims, observer } = first;
        cloud.house(NEW);
        for eni in cloud.interfaces_of(NEW) {
            if let Some(plan) = made.enis.get(eni.eni()) {
                machine.plug(plan).await.context("plugging what the instance has already")?;
            }
        }
        let mut stage = Self {
            site,
            gate,
            machine,
            steady,
            scene: scene.clone(),
            knockers: Vec::new(),
            foreign,
            others,
            to_come: Arc::default(),
            users: BTreeMap::new(),
            woken,
            watch,
            ear,
            shims,
            observer,
            former: None,
            switchboard,
            enis: made.enis.clone(),
        };
        stage.faults.watch(Conditions { ledger: Arc::clone(&stage.ledger), deeds: stage.to_come.left() });
        stage.configure(&made.config)?;
        if scene.unlaunched {
            stage.machine.power_cut().await.context("a machine for later")?;
            stage.cloud.powered(NEW, false);
        } else {
            stage.begin().await?;
        }
        // Its clocks run from here: a hook's patience is not for the setting of a stage.
        stage.cloud.start();
        stage.let_knock(&made.walls).await?;
        for file in made.remove {
            stage.others.spawn(keep_away(Arc::clone(&stage.machine), file));
        }
        stage.expect_deeds();
        Ok(stage)
    }

    /// From here on the clients try the door, and the walls where no group keeps them from these.
    async fn let_knock(&mut self, walls: &[SocketAddr]) -> Result<()> {
        self.knockers.push(self.vpc.knock(&self.ledger, self.address.into(), &[8080, 50051]));
        if !walls.is_empty() {
            self.vpc.admit(walls).await.context("widening the security groups")?;
            self.knockers.push(self.vpc.knock_at_walls(&self.ledger, walls));
        }
        Ok(())
    }

    /// What happens at every start of the machine before the agent runs: the early unit closes the door, Docker
    /// starts, the image is there if the AMI brought it.
    pub async fn wake(&self) -> Result<()> {
        if self.woken.swap(true, Ordering::Relaxed) {
            // Before the disks are watched anew: what somebody does to them meanwhile is not the agent's.
            scene::between(self).await?;
        }
        self.watch.begin()?;
        self.ledger.record(Event::Mark { what: format!("{START} {}", self.machine.spec().instance_id) });
        let ear = notify::Ear::open(&self.machine, &self.ledger, &self.planted)?;
        *self.ear.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(ear);
        // /run is another after each start.
        let shims = shim::place(&self.machine, &self.gate, &self.planted, self.watch.disks())?;
        *self.shims.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(shims);
        if self.programs.archive.is_some() {
            let observer = observer::Observer::start(&self.machine, &self.ledger).await?;
            *self.observer.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(observer);
        }
        if !self.scene.unmanaged {
            agent::close(self).await.context("closing the door early")?;
        }
        scene::start_engine(self).await.context("starting the Docker Engine")
    }

    /// The agent's configuration, as it lies on the machine.
    pub fn configuration(&self) -> Result<toml::Table> {
        let file = self.machine.path("/etc/weaviate-provisioner/config.toml");
        Ok(std::fs::read_to_string(file).context("the agent's configuration")?.parse()?)
    }

    pub fn configure(&self, config: &toml::Table) -> Result<()> {
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
        for knockers in self.knockers.drain(..) {
            knockers.stop().await;
        }
    }

    /// Does something beside the case, until its end.
    pub fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.others.spawn(work);
    }
}

/// Removes the file whenever it is there.
async fn keep_away(machine: Arc<Machine>, file: PathBuf) {
    loop {
        // Mostly it is not there.
        let _ = std::fs::remove_file(machine.path(&file));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
