//! `case.toml`: read and checked.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use toml::Table;

use super::script::{Act, Meanwhile};
use super::sights::{Heard, Sight};
use crate::faults::Fault;

/// What is there: the base of every case, over which a case and its trouble lay their own tables.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scene {
    /// Laid over the base configuration of the agent.
    pub config: Table,
    /// Keys of the base configuration that this case does without: `network.eni.private_ip`.
    pub unset: Vec<String>,
    /// Laid over the base specification of the cloud.
    pub cloud: Table,
    /// What lies in the bucket; see `fixtures`.
    pub bucket: Table,
    /// The machine: who configures the ENI, how Docker is started, whether the image is there.
    pub machine: Table,
    /// Secrets by name (`weaviate/admin-key`), instead of the planted ones; an empty text takes one away.
    pub secrets: BTreeMap<String, String>,
    /// The state of the instance that has the ENI when the case starts; absent: nobody has it.
    pub old_owner: Option<String>,
    /// The new instance is not launched yet; `replace` does that.
    pub unlaunched: bool,
    /// Laid over the fixed-address ENI, and over the Auto Scaling group (`absent = true`: there is none).
    pub eni: Table,
    pub group: Table,
    #[serde(rename = "fault")]
    pub faults: Vec<Fault>,
    /// What others do while the agent works.
    pub meanwhile: Vec<Meanwhile>,
    /// No agent of ours: nobody closes the door early, and the role may do everything. For benchmarks.
    #[serde(skip)]
    pub unmanaged: bool,
}

/// What must come of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub outcome: String,
    /// Texts that the reason must contain: the object, the permission or the owner.
    #[serde(default)]
    pub reason: Vec<String>,
    /// Texts that the details must contain.
    #[serde(default)]
    pub details: Vec<String>,
    /// Texts that the report's warnings must contain.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Texts that none of them may contain.
    #[serde(default)]
    pub not_warned: Vec<String>,
    /// What the server must have been asked before the first client got in: details of its own log.
    #[serde(default)]
    pub asked: Vec<BTreeMap<String, serde_json::Value>>,
    /// `CONTINUE`, `ABANDON`, or absent: no answer.
    pub lifecycle_action: Option<String>,
    /// Absent: nothing restored, or an empty database.
    pub backup_id: Option<String>,
    pub mode: Option<String>,
    /// Steps and their status in the last run.
    #[serde(default)]
    pub steps: BTreeMap<String, String>,
    /// Calls that the world must have seen exactly so often in the last run: `"ec2:AttachNetworkInterface" = 0`.
    #[serde(default)]
    pub calls: BTreeMap<String, u64>,
    /// Calls that the world must have seen in the last run, by name, parameter and moment.
    #[serde(default)]
    pub seen: Vec<Sight>,
    /// What systemd must have heard of the last run.
    pub systemd: Option<Heard>,
    /// The longest time from the end of the server's process to the report of the failure.
    pub ms_after_exit: Option<u64>,
    /// The report of the last boot lies in the bucket, as it lies on the machine.
    #[serde(default)]
    pub bucket_report: bool,
    /// What the world must have seen in this order, other things between: `call ec2:AttachNetworkInterface`,
    /// `reached` (a client got in), `asked POST /v1/…` (the server), `i-… terminated` or `weaviate-0/i-… InService`
    /// (a state).
    #[serde(default)]
    pub order: Vec<String>,
    /// The group ends the instance: its system stops, its power goes, EC2 calls it terminated.
    #[serde(default)]
    pub ends: bool,
    /// With how many of the instance's credentials S3 was called in the last run, at least.
    pub credentials: Option<usize>,
    /// How often the last `run` started the agent; absent: as often as it wanted.
    pub runs: Option<u32>,
    /// Of the manifest's pointer, at the end.
    pub generation: Option<u64>,
    /// Users write all the time: there is what the backup holds, and more.
    #[serde(default)]
    pub written: bool,
}

/// A case as it stands in its folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    #[serde(skip)]
    pub name: String,
    pub about: String,
    #[serde(default)]
    pub scene: Scene,
    /// What is wrong. The control is the same case without it.
    pub trouble: Option<Scene>,
    #[serde(default = "run_once", rename = "act")]
    pub acts: Vec<Act>,
    /// The case is played once for each kill point.
    pub kill: Option<crate::kill::Spec>,
    /// The case is played once more for each object of what it restores, with one bit of that altered.
    pub rot: Option<crate::rot::Spec>,
    pub expect: Expect,
    /// What the control must do; by default: serve, with CONTINUE.
    pub control: Option<Expect>,
}

fn run_once() -> Vec<Act> {
    vec![Act::Run { ends: None, without: Vec::new() }]
}

impl Case {
    pub fn load(folder: &Path) -> Result<Self> {
        let file = folder.join("case.toml");
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let mut case: Self =
            toml::from_str(&text).with_context(|| format!("understanding {}", file.display()))?;
        let name = folder.file_name().and_then(|name| name.to_str()).context("a case has a name")?;
        name.clone_into(&mut case.name);
        ensure!(case.kill.is_none() || case.rot.is_none(), "{}: [kill] and [rot] are two cases", case.name);
        match case.expect.outcome.as_str() {
            "serving" | "prepared" => {}
            "refused" | "held" | "failed" => {
                ensure!(
                    case.trouble.is_some(),
                    "{}: a refusal needs its trouble in [trouble], so that it has a control",
                    case.name
                );
                ensure!(
                    !case.expect.reason.is_empty(),
                    "{}: a refusal must name what it is about",
                    case.name
                );
            }
            other => bail!("{}: no such outcome: {other}", case.name),
        }
        Ok(case)
    }

    /// The control: the same without the trouble, which must serve.
    pub fn control(&self) -> Option<Self> {
        self.trouble.as_ref()?;
        let expect = self.control.clone().unwrap_or_else(|| Expect {
            outcome: "serving".to_owned(),
            lifecycle_action: Some("CONTINUE".to_owned()),
            backup_id: Some("full-1".to_owned()),
            ..Expect::default()
        });
        Some(Self { name: format!("{}~control", self.name), trouble: None, expect, ..self.clone() })
    }

    /// Scene and trouble together.
    pub fn whole(&self) -> Scene {
        let mut scene = self.scene.clone();
        if let Some(trouble) = &self.trouble {
            lay(&mut scene.config, &trouble.config);
            scene.unset.extend(trouble.unset.iter().cloned());
            lay(&mut scene.cloud, &trouble.cloud);
            lay(&mut scene.bucket, &trouble.bucket);
            lay(&mut scene.machine, &trouble.machine);
            lay(&mut scene.eni, &trouble.eni);
            lay(&mut scene.group, &trouble.group);
            scene.secrets.extend(trouble.secrets.clone());
            scene.old_owner = trouble.old_owner.clone().or(scene.old_owner);
            scene.unlaunched |= trouble.unlaunched;
            scene.meanwhile.extend(trouble.meanwhile.iter().cloned());
            scene.faults.extend(trouble.faults.iter().cloned());
        }
        scene
    }
}

/// Lays `over` on `under`: tables are merged, everything else is replaced.
pub fn lay(under: &mut Table, over: &Table) {
    for (key, value) in over {
        match (under.get_mut(key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay(below, above),
            _ => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Takes the key with these dotted names away, which must be there.
pub fn take_away(table: &mut Table, name: &str) -> Result<()> {
    let mut inner = table;
    let mut parts = name.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            inner.remove(part).with_context(|| format!("{name} is not there to be unset"))?;
            return Ok(());
        }
        inner = inner
            .get_mut(part)
            .and_then(toml::Value::as_table_mut)
            .with_context(|| format!("{name} is not there to be unset: {part} is no table"))?;
    }
    Ok(())
}

/// All cases of `tests/cases`, by name.
pub fn load_all(folder: &Path) -> Result<BTreeMap<String, Case>> {
    let mut cases = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            let case = Case::load(&path)?;
            cases.insert(case.name.clone(), case);
        }
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_of_the_repository_can_be_read_and_every_refusal_has_a_control() {
        let cases = load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases")).expect("the cases");
        assert!(cases.contains_key("first-boot"));
        for case in
            cases.values().filter(|case| !["serving", "prepared"].contains(&case.expect.outcome.as_str()))
        {
            assert_eq!(case.control().expect("a control").expect.outcome, "serving", "{}", case.name);
        }
    }
}
