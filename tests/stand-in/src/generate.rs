//! Random backups in the layout of real ones, so that no test can know the counts beforehand.
//!
//! ```text
//! seed ─► classes, tenants, counts ─► a store in <out>/.generating-<id> ─► pack ─► <out>/<id>/ ─► counts as JSON
//! ```
//!
//! The same seed gives the same classes, tenants, counts, ids and vectors; shard names and times differ.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use futures_util::FutureExt;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::backup::archive::{self, Compression};
use crate::backup::backend::Place;
use crate::backup::create::{self, Base, Plan, Source};
use crate::backup::descriptor::{self, Global, PerNode, now};
use crate::backup::restore::fetches;
use crate::store::Store;
use crate::store::class::{Class, remove_dir};
use crate::store::object::Object;
use crate::store::shard::Shard;

#[derive(Clone, Debug, clap::Args)]
pub struct Request {
    /// The directory that gets the folder `<id>`.
    #[arg(long)]
    pub out: PathBuf,
    #[arg(long)]
    pub id: String,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Bytes before compression, about; filled up with data files that do not compress.
    #[arg(long, default_value_t = 1 << 20)]
    pub size: u64,
    #[arg(long, default_value = "zstd", value_parser = ["zstd", "gzip", "none"])]
    pub compression: String,
    /// Class names; random ones when absent. A name ending in `/` is multi-tenant.
    #[arg(long, value_delimiter = ',')]
    pub classes: Vec<String>,
    #[arg(long, default_value = "weaviate-0")]
    pub node: String,
    /// Makes an incremental backup on that one, found in `out`: its data and some objects more; `size`
    /// and `classes` mean nothing then.
    #[arg(long)]
    pub base: Option<String>,
}

/// Files of filling are at most this long, so that a restore has something to do in parallel.
const FILL: u64 = 32 << 20;

/// `class -> tenant or "" -> count`
type Counts = BTreeMap<String, BTreeMap<String, u64>>;

pub fn generate(request: &Request) -> io::Result<Value> {
    let scratch = request.out.join(format!(".generating-{}", request.id));
    remove_dir(&scratch)?;
    let outcome = fill_and_pack(request, &scratch);
    remove_dir(&scratch)?;
    outcome
}

fn fill_and_pack(request: &Request, scratch: &Path) -> io::Result<Value> {
    let mut rng = StdRng::seed_from_u64(request.seed);
    let store = Store::open(scratch, &request.node)?;
    let place = Place::Filesystem { root: request.out.clone() };
    let base = match &request.base {
        None => {
            populate(&mut rng, &store, request)?;
            None
        }
        Some(base) => Some(inherit(&mut rng, &store, request, &place, base)?),
    };
    let (active, inactive) = counts(&store)?;
    let compression =
        Compression::of_type(&request.compression).ok_or_else(|| io::Error::other("compression"))?;
    let plan = Plan {
        id: request.id.clone(),
        place,
        classes: store.read().classes.keys().cloned().collect(),
        compression,
        base,
        version: crate::VERSION.to_owned(),
    };
    let mut global = create::global(&plan, &request.node, &now());
    let source = Source { store: &store, min_chunk: 1 << 20, target_chunk: 10 << 20 };
    let bytes = create::pack(&source, &plan, &AtomicBool::new(false))?;
    create::finish(&mut global, &request.node, false, Ok(bytes));
    let home = request.out.join(&request.id);
    std::fs::write(home.join("backup_config.json"), serde_json::to_vec(&global)?)?;
    let (files, packed) = measure(&home)?;
    Ok(json!({
        "id": request.id, "node": request.node, "compression": request.compression,
        "collections": active, "inactive": inactive,
        "pre_compression_bytes": bytes, "bytes": packed, "files": files,
    }))
}

/// What the store holds: of tenants that are awake, and of those that sleep.
fn counts(store: &Store) -> io::Result<(Counts, Counts)> {
    let (mut active, mut inactive) = (Counts::new(), Counts::new());
    for class in store.read().classes.values() {
        for name in class.shard_names() {
            let counts = if class.is_active(&name) { &mut active } else { &mut inactive };
            let dir = class.dir().join(&name);
            let count = if dir.is_dir() { Shard::open(&dir)?.count() } else { 0 };
            let tenant = if class.is_multi_tenant() { name } else { String::new() };
            counts.entry(class.name().to_owned()).or_default().insert(tenant, count.unsigned_abs());
        }
    }
    Ok((active, inactive))
}

/// Restores the base into the store, its times too, and adds some objects to every shard that is awake.
fn inherit(
    rng: &mut StdRng,
    store: &Store,
    request: &Request,
    place: &Place,
    base: &str,
) -> io::Result<Base> {
    // A directory never makes anybody wait.
    let chain = create::base_chain(place, &request.node, base).now_or_never();
    let chain = chain.ok_or_else(|| io::Error::other("a directory that waits"))?.map_err(io::Error::other)?;
    let home = request.out.join(base);
    let global: Global = serde_json::from_slice(&std::fs::read(home.join("backup_config.json"))?)?;
    let own: PerNode = serde_json::from_slice(&std::fs::read(home.join(&request.node).join("backup.json"))?)?;
    let compression =
        Compression::of_type(&global.compression_type).ok_or_else(|| io::Error::other("compression"))?;
    let never = AtomicBool::new(false);
    for class in &own.classes {
        for (key, wanted) in fetches(base, &request.node, class) {
            archive::unpack(place.reader(&key)?, compression, &store.root, wanted.as_ref(), &never)?;
        }
    }
    for (path, (_, big)) in &chain.files {
        let at: jiff::Timestamp = big.modified_at.parse().map_err(io::Error::other)?;
        if let Ok(file) = std::fs::File::options().write(true).open(store.root.join(path)) {
            file.set_modified(at.into())?;
        }
    }
    for class in &own.classes {
        let corrupt = || io::Error::other(format!("descriptor of class {}", class.name));
        let schema = descriptor::decode(&class.schema).ok_or_else(corrupt)?;
        let sharding = descriptor::decode(&class.sharding_state).ok_or_else(corrupt)?;
        let mut opened = Class::open(&store.root, schema, sharding)?;
        for shard in opened.shards.values_mut() {
            for _ in 0..rng.random_range(1..50_u64) {
                shard.put(random_object(rng, &class.name))?;
            }
        }
        store.write().classes.insert(class.name.clone(), opened);
    }
    store.flush()?;
    Ok(chain)
}

fn populate(rng: &mut StdRng, store: &Store, request: &Request) -> io::Result<()> {
    let classes = plan_classes(rng, &request.classes);
    let mut filled = Vec::new();
    for (name, tenants) in classes {
        let schema = json!({
            "class": name, "vectorizer": "none", "multiTenancyConfig": {"enabled": !tenants.is_empty()},
            "properties": [{"name": "title", "dataType": ["text"]}, {"name": "source", "dataType": ["text"]}],
        });
        let mut class = Class::create(&store.root, &store.node, &schema)?;
        for tenant in &tenants {
            class.set_tenant(&store.node, tenant, "HOT")?;
        }
        let shards = class.shard_names();
        for (n, shard) in shards.iter().enumerate() {
            let tenant = tenants.iter().find(|tenant| *tenant == shard).cloned();
            let count = rng.random_range(0..400_u64);
            for _ in 0..count {
                let object = random_object(rng, &name);
                class.shard_mut(tenant.as_deref()).map_err(io::Error::other)?.put(object)?;
            }
            filled.push(class.dir().join(shard));
            // The last of several tenants sleeps: a backup takes it along all the same.
            let asleep = n > 0 && n + 1 == shards.len();
            if asleep {
                class.set_tenant(&store.node, shard, "COLD")?;
            }
        }
        store.write().classes.insert(name, class);
    }
    store.flush()?;
    fill(rng, &filled, request.size)
}

/// Names, and the tenants of those that have any.
fn plan_classes(rng: &mut StdRng, asked: &[String]) -> Vec<(String, Vec<String>)> {
    let mut names = asked.to_vec();
    if names.is_empty() {
        for n in 0..rng.random_range(2..5_u32) {
            let many = if rng.random_bool(0.5) { "/" } else { "" };
            names.push(format!("{}{n}{many}", random_word(rng, true)));
        }
    }
    names
        .into_iter()
        .map(|name| match name.strip_suffix('/') {
            Some(name) => {
                let tenants =
                    (0..rng.random_range(2..5_u32)).map(|n| format!("{}-{n}", random_word(rng, false)));
                (name.to_owned(), tenants.collect())
            }
            None => (name, Vec::new()),
        })
        .collect()
}

fn random_word(rng: &mut StdRng, capital: bool) -> String {
    let mut word = String::new();
    for n in 0..rng.random_range(2..4_u32) {
        let consonant = b"bdfgklmnprst"[rng.random_range(0..12)];
        let first = char::from(consonant);
        word.push(if capital && n == 0 { first.to_ascii_uppercase() } else { first });
        word.push(char::from(b"aeiou"[rng.random_range(0..5)]));
    }
    word
}

fn random_object(rng: &mut StdRng, class: &str) -> Object {
    let mut id = [0; 16];
    rng.fill_bytes(&mut id);
    let properties = json!({"source": "generated", "title": format!("title {}", random_word(rng, false))});
    let moment = jiff::Timestamp::now().as_millisecond();
    Object {
        id: Uuid::from_bytes(id),
        doc: 0,
        class: class.to_owned(),
        created: moment,
        updated: moment,
        properties: properties.as_object().cloned().unwrap_or_default(),
        vector: (0..8).map(|_| rng.random_range(0.0..1.0)).collect(),
    }
}

/// Adds files of random bytes to the shards, in turn, until the wanted size is there.
fn fill(rng: &mut StdRng, shards: &[PathBuf], size: u64) -> io::Result<()> {
    let mut missing = size;
    for shard in shards {
        missing = missing.saturating_sub(measure(shard)?.1);
    }
    let mut block = vec![0; 1 << 20];
    for (n, shard) in shards.iter().cycle().enumerate() {
        if missing == 0 {
            break;
        }
        let log = shard.join("main.hnsw.commitlog.d");
        std::fs::create_dir_all(&log)?;
        let mut file = io::BufWriter::new(std::fs::File::create(log.join(format!("{n:04}.snapshot")))?);
        let mut left = missing.min(FILL);
        missing -= left;
        while left > 0 {
            let length = left.min(block.len() as u64);
            let part = &mut block[..usize::try_from(length).map_err(io::Error::other)?];
            rng.fill_bytes(part);
            file.write_all(part)?;
            left -= length;
        }
        file.flush()?;
    }
    Ok(())
}

/// Files and bytes below a directory.
fn measure(dir: &Path) -> io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let (below, size) =
            if entry.file_type()?.is_dir() { measure(&entry.path())? } else { (1, entry.metadata()?.len()) };
        files += below;
        bytes += size;
    }
    Ok((files, bytes))
}
