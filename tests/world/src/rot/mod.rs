//! Bit rot: every object of a chain altered in turn by one bit, with its size and ETag as before. The agent must refuse
//! each by its name; beside it stands what the server alone makes of the same bytes.
//!
//! ```text
//! untouched play: serves ─▶ the objects that the manifest names ─▶ for each of them a new stage:
//!   one bit of what the store holds ─┬─▶ a boot ─▶ refused, and the object named
//!                                    └─▶ the same bytes beside a server alone ─▶ its answer
//! ```
//! To add another kind of rot: beside [`Bit`], with what it does to the store in [`attempt`].

mod alone;

use std::fmt;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::case::{Case, Expect, Played, perform};
use crate::fixtures::POINTER;
use crate::s3::{ObjectInfo, Store};
use crate::stage::{BUCKET, Programs, Stage};
use alone::Answer;

/// `[rot]` of a case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Which bit of each object.
    pub seed: u64,
    /// What must come of each play; the reason must hold the object's key too.
    pub expect: Expect,
}

/// One bit of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bit {
    byte: usize,
    bit: u8,
}

impl fmt::Display for Bit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.byte, self.bit)
    }
}

impl Bit {
    /// Anywhere in the object, and the same for the same seed.
    fn of(seed: u64, key: &str, size: u64) -> Self {
        let digest = Sha256::digest(format!("{seed} {key}"));
        let mut number = [0; 8];
        number.copy_from_slice(&digest[..8]);
        let byte = u64::from_be_bytes(number) % size.max(1);
        Self { byte: usize::try_from(byte).unwrap_or(usize::MAX), bit: digest[8] % 8 }
    }
}

/// What the manifest names.
#[derive(Clone, Debug)]
struct Chain {
    backup: String,
    node: String,
    /// What stands before each backup's id in the keys.
    root: String,
    objects: Vec<ObjectInfo>,
}

impl Chain {
    fn read(store: &Store) -> Result<Self> {
        let pointer = store.keys(BUCKET, "").into_iter().find(|object| object.key.ends_with(POINTER));
        let pointer = store.read(BUCKET, &pointer.context("there is no manifest")?.key);
        let manifest: serde_json::Value = serde_json::from_slice(&pointer.unwrap_or_default())?;
        let text =
            |field: &str| manifest[field].as_str().map(str::to_owned).with_context(|| field.to_owned());
        let (backup, path) = (text("backup_id")?, text("path")?);
        let named = manifest["objects"].as_array().into_iter().flatten();
        let objects: Vec<ObjectInfo> = named
            .map(|object| {
                let key = object["key"].as_str().context("an object without a key")?;
                store.info(BUCKET, key).with_context(|| format!("{key} is not there"))
            })
            .collect::<Result<_>>()?;
        // One bit of nothing is nothing.
        ensure!(!objects.is_empty() && objects.iter().all(|object| object.size > 0), "{objects:?}");
        let root = path.strip_suffix(&backup).unwrap_or_default().to_owned();
        Ok(Self { backup, node: text("node")?, root, objects })
    }

    /// What a server alone makes of the bytes that the store holds now.
    async fn alone(&self, stage: &Stage) -> Result<Answer> {
        let folder = stage.scratch().join("alone");
        let backups = folder.join("backups");
        for ObjectInfo { key, .. } in &self.objects {
            let file = backups.join(key.strip_prefix(&self.root).unwrap_or(key));
            std::fs::create_dir_all(file.parent().unwrap_or(Path::new("/")))?;
            std::fs::write(&file, stage.store.read(BUCKET, key).context("an object")?)?;
        }
        alone::restore(&stage.programs.server, &folder, &self.node, &self.backup).await
    }
}

/// What came of one altered object.
struct Tried {
    key: String,
    bit: Bit,
    played: Played,
    alone: Answer,
}

/// Plays the case untouched, and then once for each object; the untouched outcome with all complaints, and a table.
pub async fn play(
    case: &Case,
    spec: &Spec,
    programs: &Programs,
    slots: &Arc<Semaphore>,
) -> Result<(Played, String)> {
    let began = Instant::now();
    let (mut played, chain) = {
        let _slot = slots.acquire().await?;
        untouched(case, programs).await.context("the untouched play")?
    };
    let mut trying = JoinSet::new();
    for object in chain.objects {
        let (programs, slots) = (programs.clone(), Arc::clone(slots));
        let (case, seed) = (of_object(case, spec, &object.key), spec.seed);
        trying.spawn(async move {
            let _slot = slots.acquire_owned().await;
            let bit = Bit::of(seed, &object.key, object.size);
            (object.key.clone(), attempt(&case, &programs, &object, bit).await)
        });
    }
    let mut all = Vec::new();
    while let Some(done) = trying.join_next().await {
        let (key, tried) = done.context("a play panicked")?;
        match tried {
            Ok(tried) => all.push(tried),
            Err(error) => played.complaints.push(format!("{key} altered: {error:#}")),
        }
    }
    all.sort_by(|a, b| a.key.cmp(&b.key));
    for Tried { key, bit: _, played: one, alone: _ } in &all {
        let complaints = one.complaints.iter();
        played.complaints.extend(complaints.map(|complaint| format!("{key} altered: {complaint}")));
        if !one.complaints.is_empty() {
            let _ = write!(played.log, "\n==== {key} altered\n{}", one.log);
            let _ = write!(played.ledger, "==== {key} altered\n{}", one.ledger);
        }
    }
    if !all.iter().any(|tried| tried.alone.is_success()) {
        played
            .complaints
            .push("the server alone takes none of them: it shows nothing beside the agent".into());
    }
    Ok((played, table(&case.name, &all, began.elapsed().as_secs_f64())))
}

/// The case as it must end for this object.
fn of_object(case: &Case, spec: &Spec, key: &str) -> Case {
    let mut expect = spec.expect.clone();
    expect.reason.push(format!("s3://{BUCKET}/{key} "));
    Case { expect, ..case.clone() }
}

async fn untouched(case: &Case, programs: &Programs) -> Result<(Played, Chain)> {
    let mut stage = Stage::set(programs, &case.whole()).await.context("setting the stage")?;
    let played = async {
        let chain = Chain::read(&stage.store)?;
        let mut played = perform(case, &mut stage).await;
        let alone = chain.alone(&stage).await?;
        if !alone.is_success() {
            played.complaints.push(format!("the server alone answers {alone} to the untouched chain"));
        }
        Ok::<_, anyhow::Error>((played, chain))
    };
    let played = Box::pin(played).await;
    let struck = stage.strike().await.context("taking the stage down");
    let (mut played, chain) = played?;
    played.complaints.extend(struck.err().map(|error| format!("{error:#}")));
    Ok((played, chain))
}

async fn attempt(case: &Case, programs: &Programs, object: &ObjectInfo, bit: Bit) -> Result<Tried> {
    let mut stage = Stage::set(programs, &case.whole()).await.context("setting the stage")?;
    let tried = async {
        let chain = Chain::read(&stage.store)?;
        stage.store.flip_bit(BUCKET, &object.key, bit.byte, bit.bit)?;
        // Nothing but the bytes themselves tells.
        ensure!(stage.store.info(BUCKET, &object.key).as_ref() == Some(object), "{} shows", object.key);
        let played = perform(case, &mut stage).await;
        let alone = chain.alone(&stage).await?;
        Ok::<_, anyhow::Error>(Tried { key: object.key.clone(), bit, played, alone })
    };
    let tried = Box::pin(tried).await;
    let struck = stage.strike().await.context("taking the stage down");
    let mut tried = tried?;
    tried.played.complaints.extend(struck.err().map(|error| format!("{error:#}")));
    Ok(tried)
}

fn table(name: &str, all: &[Tried], seconds: f64) -> String {
    let refused = all.iter().filter(|tried| tried.played.outcome.outcome == "refused").count();
    let taken = all.iter().filter(|tried| tried.alone.is_success()).count();
    let mut lines = vec![
        format!(
            "{name}: {} objects, one bit of each: {refused} refused by the agent, {taken} restored by the server \
             alone, {seconds:.0} s",
            all.len()
        ),
        format!("  {:<44} {:>9}  {:<8} {}", "object", "byte.bit", "agent", "the server alone"),
    ];
    lines.extend(all.iter().map(|Tried { key, bit, played, alone }| {
        format!("  {key:<44} {:>9}  {:<8} {alone}", bit.to_string(), played.outcome.outcome)
    }));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_lies_in_its_object_and_is_the_same_again() {
        let sizes = [1, 2, 220, 426, 728_728];
        for size in sizes {
            let bit = Bit::of(7, "prod/full-1/a", size);
            assert!(bit.byte < usize::try_from(size).expect("small") && bit.bit < 8, "{bit:?} of {size}");
            assert_eq!(bit, Bit::of(7, "prod/full-1/a", size));
        }
        let of = |seed, key| Bit::of(seed, key, 1 << 20);
        assert!(of(7, "a") != of(8, "a") && of(7, "a") != of(7, "b"));
    }

    #[test]
    fn the_object_itself_must_be_named() {
        let text = "about = 'x'\n[rot]\nseed = 1\n[rot.expect]\noutcome = 'refused'\nreason = ['corrupt']\n\
                    [expect]\noutcome = 'serving'\n";
        let case: Case = toml::from_str(text).expect("a case");
        let spec = case.rot.clone().expect("rot");
        let expect = of_object(&case, &spec, "prod/full-1/a").expect;
        assert_eq!(expect.outcome, "refused");
        assert_eq!(expect.reason, ["corrupt", "s3://acme-weaviate/prod/full-1/a "]);
    }
}
