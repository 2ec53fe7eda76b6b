//! The world of one case, set up and running: cloud, store, VPC, machine, clients that knock, and the watchers
//! whose sights the judge reads.
//!
//! ```text
//! Scene ──▶ specs ──▶ cloud, store ──listen──▶ VPC ◀──hot-plug── cloud
//!                                              VPC ──▶ machine ──▶ engine, image, configuration
//!                     knockers, watchers ──▶ ledger
//! ```

mod agent;
mod disks;
mod looking;
mod observer;
mod planted;
mod scene;
mod search;
mod server_log;
mod services;
mod watch;

pub use agent::{Agent, Ended};
pub use disks::Disks;
pub use planted::Planted;
pub use scene::{Image, specs};
use server_log::ServerLog;
pub use services::Access;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::case::{Deed, Meanwhile, Scene};
use crate::cloud::Cloud;
use crate::cloud::spec::OLD;
use crate::faults::Faults;
use crate::judge::{Rule, START};
use crate::kill::{Gate, shim};
use crate::ledger::{Event, Ledger};
use crate::machine::{INSTANCE_STORE, Machine};
use crate::s3;
use crate::vpc::{Knockers, Vpc, VpcPlan};

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
    pub ledger: Arc<Ledger>,
    pub faults: Arc<Faults>,
    pub planted: Arc<Planted>,
    /// What every program that the agent runs passes; open unless a case kills.
    pub gate: Arc<Gate>,
    pub cloud: Cloud,
    pub store: s3::Store,
    pub vpc: Vpc,
    pub machine: Arc<Machine>,
    pub programs: Programs,
    pub image: ServerImage,
    pub published: Published,
    pub reader_key: String,
    scene: Scene,
    knockers: Option<Knockers>,
    /// The images of the disks that nobody may touch, before the agent ran.
    foreign: BTreeMap<String, String>,
    others: tokio::task::JoinSet<()>,
    watch: watch::Watch,
    shims: Mutex<Option<shim::Shims>>,
    /// The stand-in tells itself what it was asked.
    observer: Mutex<Option<observer::Observer>>,
    _services: services::Services,
    _directory: tempfile::TempDir,
}

impl Stage {
    /// Sets everything up; the machine has booted with its door closed, as the early unit does it.
    pub async fn set(programs: &Programs, scene: &Scene) -> Result<Self> {
        let directory =
            tempfile::Builder::new().prefix("world-").tempdir().context("a directory for the case")?;
        let ledger = Arc::new(Ledger::default());
        let planted = Arc::new(Planted::default());
        let faults = Arc::new(Faults::new(scene.faults.clone()));
        let image = scene::server_image(programs, directory.path())?;
        let mut made = specs(programs, scene, &planted)?;
        let reference = scene::image_reference(scene, &image.digest)?;
        if let Some(weaviate) = made.config.get_mut("weaviate").and_then(toml::Value::as_table_mut) {
            weaviate.insert("image".to_owned(), reference.into());
        }
        let cloud = Cloud::new(made.cloud, Arc::clone(&ledger), Arc::clone(&faults), made.policy);
        let vpc = Vpc::build(&VpcPlan::default()).await.context("building the VPC")?;
        let (store, services) =
            services::start(&cloud, &vpc, directory.path(), &image.registry, made.speed, &ledger, &faults)
                .context("starting the services")?;
        let published: Published =
            Arc::new(Mutex::new(scene::fill_bucket(programs, scene, &store, directory.path())?));
        scene::tell_published(&store, &ledger);
        let written = Arc::clone(&planted);
        store.inspect_writes(move |key, bytes| written.search(&format!("{key} in the bucket"), bytes));
        let plugs = cloud.hotplug();
        let machine = Arc::new(Machine::boot(&vpc, &made.machine).await.context("booting the machine")?);
        let blank: BTreeMap<String, String> = machine
            .disks()
            .iter()
            .map(|disk| Ok((disk.spec.serial.clone(), disk.sha256()?)))
            .collect::<Result<_>>()?;
        scene::prepare_disks(&machine, scene).await?;
        let log = ServerLog::new(&machine, &ledger, &planted, programs.archive.is_some());
        let watch = watch::Watch::start(&machine, plugs, &made.enis, &ledger, log, &planted, &cloud);
        cloud.start();
        let mut foreign = BTreeMap::new();
        for disk in machine.disks() {
            let (serial, now) = (disk.spec.serial.clone(), disk.sha256()?);
            if disk.spec.model != INSTANCE_STORE || blank.get(&serial) != Some(&now) {
                foreign.insert(serial, now);
            }
        }
        let mut stage = Self {
            ledger,
            faults,
            planted,
            gate: Arc::new(Gate::new(None)),
            cloud,
            store,
            vpc,
            machine,
            programs: programs.clone(),
            image,
            published,
            reader_key: made.reader_key,
            scene: scene.clone(),
            knockers: None,
            foreign,
            others: tokio::task::JoinSet::new(),
            watch,
            shims: Mutex::default(),
            observer: Mutex::default(),
            _services: services,
            _directory: directory,
        };
        stage.configure(&made.config)?;
        stage.wake().await?;
        scene::prepare_machine(&stage).await?;
        stage.knockers = Some(stage.vpc.knock(&stage.ledger, made.address.into(), &[8080, 50051]));
        for file in made.remove {
            stage.others.spawn(keep_away(Arc::clone(&stage.machine), file));
        }
        for deed in &scene.meanwhile {
            stage.others.spawn(meanwhile(deed.clone(), stage.deeds()));
        }
        Ok(stage)
    }

    fn deeds(&self) -> Deeds {
        Deeds {
            ledger: Arc::clone(&self.ledger),
            cloud: self.cloud.clone(),
            store: self.store.clone(),
            programs: self.programs.clone(),
            published: Arc::clone(&self.published),
        }
    }

    /// What happens at every start of the machine before the agent runs: the early unit closes the door, Docker
    /// starts, the image is there if the AMI brought it.
    pub async fn wake(&self) -> Result<()> {
        self.ledger.record(Event::Mark { what: START.to_owned() });
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

    /// Waits until the agent's report says that it serves.
    pub async fn until_serving(&self, agent: &mut Agent, patience: Duration) -> Result<()> {
        let end = tokio::time::Instant::now() + patience;
        loop {
            if self.report().is_ok_and(|report| report["outcome"] == "serving") {
                return Ok(());
            }
            if let Some(status) = agent.process.ended() {
                bail!("the agent ended with {status} before it served:\n{}", self.agent_log());
            }
            if tokio::time::Instant::now() > end {
                bail!("the agent did not serve within {patience:?}:\n{}", self.agent_log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many bytes the published backups have.
    pub fn bytes(&self) -> u64 {
        let published = self.published.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let objects = published.values().filter_map(|manifest| manifest["objects"].as_array()).flatten();
        objects.filter_map(|object| object["size"].as_u64()).sum()
    }

    /// Disks that are not the agent's and have changed.
    pub fn foreign_disks(&self) -> Vec<String> {
        let now = |serial: &String| self.machine.disk(serial).and_then(|disk| disk.sha256()).ok();
        let changed = self.foreign.iter().filter(|(serial, before)| now(serial).as_ref() != Some(before));
        changed.map(|(serial, _)| format!("{}: {serial} was changed", Rule::ForeignDisk)).collect()
    }

    /// Stops the clients and judges what was seen so far: one sentence for each forbidden act.
    pub async fn verdict(&mut self) -> Vec<String> {
        self.quiet().await;
        self.watch.look();
        self.search_everywhere().await;
        let mut forbidden = crate::judge::forbidden(&self.ledger.events());
        forbidden.extend(self.foreign_disks());
        forbidden.extend(self.planted.found());
        forbidden
    }

    /// Takes everything down; an error is something that could not be taken away.
    pub async fn strike(mut self) -> Result<()> {
        self.quiet().await;
        self.others.shutdown().await;
        self.machine.power_cut().await.context("switching the machine off")
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

/// What the deeds of others need.
struct Deeds {
    ledger: Arc<Ledger>,
    cloud: Cloud,
    store: s3::Store,
    programs: Programs,
    published: Published,
}

/// Waits until the world has seen the call often enough, and does the deed.
async fn meanwhile(what: Meanwhile, deeds: Deeds) {
    let Meanwhile { after, with, times, then } = what;
    let seen_enough = || {
        let matching = deeds.ledger.events().into_iter().filter(|seen| match &seen.event {
            Event::Call { service, operation, parameters, .. } => {
                format!("{service}:{operation}") == after
                    && with.iter().all(|(name, text)| {
                        parameters.get(name).is_some_and(|value| value.contains(text.as_str()))
                    })
            }
            _ => false,
        });
        u64::try_from(matching.count()).unwrap_or(u64::MAX) >= times
    };
    while !seen_enough() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    match then {
        Deed::Publish { backup } => match scene::publish_later(&deeds.programs, &deeds.store, &backup, 7) {
            Ok(manifest) => {
                scene::tell_published(&deeds.store, &deeds.ledger);
                deeds
                    .published
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .insert(backup, manifest);
            }
            Err(error) => deeds.ledger.record(Event::Mark { what: format!("the world failed: {error:#}") }),
        },
        Deed::TerminateOldOwner => {
            deeds.cloud.terminate(OLD);
        }
    }
}
