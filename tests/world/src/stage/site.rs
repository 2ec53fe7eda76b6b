//! Everything of a case but the machine: cloud, store, services, VPC, and what lies in the bucket.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;

use super::scene::{self, Specs};
use super::source::Source;
use super::{Planted, Programs, Published, ServerImage, beside, services, specs};
use crate::case::Scene;
use crate::cloud::Cloud;
use crate::faults::Faults;
use crate::fixtures;
use crate::iam::Policy;
use crate::ledger::{Client, Ledger};
use crate::s3;
use crate::vpc::{Vpc, VpcPlan};

/// How long one answer to a client may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a machine is put.
pub struct Site {
    pub ledger: Arc<Ledger>,
    pub faults: Arc<Faults>,
    pub planted: Arc<Planted>,
    pub cloud: Cloud,
    pub store: s3::Store,
    pub vpc: Vpc,
    pub programs: Programs,
    pub image: ServerImage,
    pub published: Published,
    pub reader_key: String,
    pub writer_key: String,
    /// Where clients find the node.
    pub address: Ipv4Addr,
    /// Of the node's backups in the bucket; may be empty.
    pub(super) prefix: String,
    /// Another environment's bucket, where the case has one.
    pub(super) source: Option<Source>,
    /// Whose store has the bucket.
    pub(super) shop: beside::Shop,
    _services: services::Services,
    directory: tempfile::TempDir,
}

impl Site {
    /// Sets it up; what else was specified is for the machine. `more`: a second policy of the instance's role.
    pub async fn open(programs: &Programs, scene: &Scene, more: Option<Policy>) -> Result<(Self, Specs)> {
        let directory =
            tempfile::Builder::new().prefix("world-").tempdir().context("a directory for the case")?;
        let ledger = Arc::new(Ledger::default());
        let planted = Arc::new(Planted::default());
        let faults = Arc::new(Faults::new(scene.faults.clone()));
        // Hashing and packing keep a worker busy for long, while the doubles of other worlds have to answer.
        let image = tokio::task::block_in_place(|| scene::server_image(programs, directory.path()))?;
        let mut made = specs(programs, scene, &planted)?;
        let reference = scene::image_reference(scene, &image.digest)?;
        if let Some(weaviate) = made.config.get_mut("weaviate").and_then(toml::Value::as_table_mut) {
            weaviate.insert("image".to_owned(), reference.into());
        }
        let policy = made.policy.clone();
        let policy = if let Some(more) = more { policy.and(more) } else { policy };
        let cloud = Cloud::new(made.cloud.clone(), Arc::clone(&ledger), Arc::clone(&faults), policy);
        let plan = VpcPlan { hop_limit: made.hop_limit, ..VpcPlan::default() };
        let vpc = Vpc::build(&plan).await.context("building the VPC")?;
        let (store, services) = services::start(
            &cloud,
            &vpc,
            directory.path(),
            &image.registry,
            services::Stores { speed: made.speed.clone(), other: made.other.as_ref() },
            &ledger,
            &faults,
        )
        .context("starting the services")?;
        let published = tokio::task::block_in_place(|| {
            scene::fill_bucket(programs, scene, &made.prefix, &store, directory.path(), &ledger)
        })?;
        let published: Published = Arc::new(Mutex::new(published));
        scene::tell_published(&store, &ledger);
        let source = made.source.as_ref().map(|bucket| Source::look(&store, bucket));
        let (written, known) = (Arc::clone(&planted), Arc::clone(&published));
        store.inspect_writes(move |key, bytes| {
            written.search(&format!("{key} in the bucket"), bytes);
            learn(&known, key, bytes);
        });
        let site = Self {
            ledger,
            faults,
            planted,
            cloud,
            store,
            vpc,
            programs: programs.clone(),
            image,
            published,
            reader_key: made.reader_key.clone(),
            writer_key: made.writer_key.clone(),
            address: made.address,
            prefix: made.prefix.clone(),
            source,
            shop: if made.other.is_some() { beside::Shop::Other } else { beside::Shop::Amazon },
            _services: services,
            directory,
        };
        Ok((site, made))
    }

    /// A directory of the case's own, which goes with it.
    pub fn scratch(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// A key of the node's own in the bucket.
    pub(super) fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }

    /// How many bytes the published backups have.
    pub fn bytes(&self) -> u64 {
        let published = self.published.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let objects = published.values().filter_map(|manifest| manifest["objects"].as_array()).flatten();
        objects.filter_map(|object| object["size"].as_u64()).sum()
    }

    /// What a client is answered who asks with the reader's key.
    pub async fn ask(&self, client: Client, method: &str, path: &str, body: Bytes) -> Result<(u16, Bytes)> {
        let bearer = format!("Bearer {}", self.reader_key);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let url = format!("http://{}:8080{path}", self.address);
        self.vpc.request(client, method, &url, &headers, body, PATIENCE).await
    }

    /// What each client gets when it asks for the schema: near, far, stranger; 0 where no connection comes about.
    pub async fn look(&self) -> (u16, u16, u16) {
        let ask = |client| async move {
            let answer = self.ask(client, "GET", "/v1/schema", Bytes::new()).await;
            answer.map_or(0, |(status, _)| status)
        };
        tokio::join!(ask(Client::Near), ask(Client::Far), ask(Client::Stranger))
    }

    /// What a client counts of everything that the backup holds.
    pub async fn count(&self, client: Client, held: &Counts) -> Result<Counts> {
        self.answer(client, held).await?.map_err(|answer| anyhow!(answer))
    }

    /// The same, with what was answered and is no count told apart from no answer: an error of the server is none.
    pub async fn answer(&self, client: Client, held: &Counts) -> Result<Result<Counts, String>> {
        let mut counts = Counts::new();
        for (collection, tenants) in held {
            for tenant in tenants.keys() {
                let of = if tenant.is_empty() { String::new() } else { format!("(tenant: {tenant:?})") };
                let query = format!("{{ Aggregate {{ {collection}{of} {{ meta {{ count }} }} }} }}");
                let body = serde_json::json!({ "query": query }).to_string();
                let (status, answer) = self.ask(client, "POST", "/v1/graphql", body.into()).await?;
                ensure!(status == 200, "{client:?} is answered {status}");
                let answer: serde_json::Value = serde_json::from_slice(&answer)?;
                let objects = answer["data"]["Aggregate"][collection][0]["meta"]["count"].as_u64();
                let Some(objects) = objects else {
                    return Ok(Err(format!("{client:?} counts {collection}{of}: {answer}")));
                };
                counts.entry(collection.clone()).or_default().insert(tenant.clone(), objects);
            }
        }
        Ok(Ok(counts))
    }

    /// What the last backup holds; none where nothing was published.
    pub fn held(&self) -> Option<Counts> {
        let published = self.published.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        published.values().next_back().map(crate::case::counts)
    }
}

/// A copy of a manifest is of a backup that the agent has made: what clients must find from then on.
fn learn(published: &Published, key: &str, bytes: &[u8]) {
    let is_copy = key.rsplit('/').nth(1) == Some(fixtures::COPIES);
    let Some(manifest) = is_copy.then(|| serde_json::from_slice::<serde_json::Value>(bytes).ok()).flatten()
    else {
        return;
    };
    if let Some(id) = manifest["backup_id"].as_str() {
        let mut published = published.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Of a backup that is adopted more is known than its copy says.
        published.entry(id.to_owned()).or_insert_with(|| manifest.clone());
    }
}

/// Collection → tenant, or "" → objects.
pub type Counts = BTreeMap<String, BTreeMap<String, u64>>;
