//! `case.toml`: read and checked.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use toml::Table;

use super::sights::{Heard, Sight};
use crate::cloud::Order;
use crate::faults::Fault;
use crate::ledger::Client;

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

/// A deed of somebody else, done when the world has seen a call for the n-th time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meanwhile {
    /// `service:Operation`, with parameters that must contain these texts.
    pub after: String,
    #[serde(default)]
    pub with: BTreeMap<String, String>,
    #[serde(default = "once")]
    pub times: u64,
    pub then: Deed,
}

const fn once() -> u64 {
    1
}

/// The generation of a backup that an owner publishes who has published before: above all that the scenes begin with.
pub const LATER: u64 = 7;

const fn later() -> u64 {
    LATER
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Deed {
    /// The old owner publishes this backup, as this generation.
    Publish {
        backup: String,
        #[serde(default = "later")]
        generation: u64,
    },
    /// Somebody writes an object into the bucket.
    PutObject { key: String, text: String },
    /// Somebody removes an object of the bucket.
    RemoveObject { key: String },
    /// Somebody runs a script on the machine.
    Script { script: String },
    /// The old owner is terminated: it shuts down, and the ENI becomes free.
    TerminateOldOwner,
    /// The group ends the old owner, which publishes this backup and answers its own hook before it goes.
    RetireOldOwner { backup: Option<String> },
    /// The credentials that the instance has are revoked; the metadata service has new ones.
    RevokeCredentials,
    /// The group, which was slow, comes to the hook of the new instance.
    BeginHook,
}

/// When an agent that stays has done what the next acts wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    #[default]
    Serving,
    Prepared,
}

impl Until {
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Prepared => "prepared",
        }
    }
}

/// What happens, in order.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// The agent runs as a service manager would run it: again after 75, until it serves or refuses.
    Run {
        /// What its report must say, where it is not the last run.
        ends: Option<String>,
        /// Calls that it must not have made.
        #[serde(default)]
        without: Vec<String>,
    },
    /// `plan`, which must change nothing and say these texts.
    Plan {
        #[serde(default)]
        says: Vec<String>,
    },
    /// The same as `run`, without `--once`; it stays while the next acts happen.
    Stay {
        #[serde(default)]
        until: Until,
    },
    /// The agent that stays ends by itself, to be tried again; it is started again, and stays once it serves.
    Restarted,
    /// The agent that stays gets SIGTERM, as from `systemctl stop`: it says so to systemd, and ends with 0.
    Stop,
    /// Mains off; the disks and the root volume stay. Boots again, door closed early as the unit does.
    PowerCut,
    /// An orderly reboot.
    Reboot,
    /// Somebody stops and starts the instance by EC2: another host, a blank instance store.
    StopStart,
    /// EC2's root volume replacement: a fresh root volume, the disks stay.
    ReplaceRoot,
    /// The group takes the instance out of its warm pool, once it rests there.
    PutToWork,
    /// The group replaces the old owner by the new instance; in the order `launch-first` the old one stays until
    /// somebody else ends it.
    Replace {
        order: Order,
        /// The old owner's last backup, in the order `terminate-first`.
        backup: Option<String>,
    },
    /// The clients look: their statuses must be these (0: no connection).
    Look { near: u16, far: u16, stranger: u16 },
    /// Somebody else's deed, done to its end before the next act.
    Deed { deed: Deed },
    /// Waits until everything that others were to do meanwhile is done.
    DeedsDone,
    /// Waits until the world has seen the call, with parameters that contain these texts, so often since the last run
    /// began.
    Await {
        call: String,
        #[serde(default)]
        with: BTreeMap<String, String>,
        times: u64,
    },
    /// What one client gets from the server.
    Ask {
        client: Client,
        path: String,
        /// With the reader's key, or without any.
        #[serde(default = "yes")]
        key: bool,
        status: u16,
        /// Texts in the body.
        #[serde(default)]
        holds: Vec<String>,
    },
    /// Whether one client's connection to the port of the fixed address is accepted.
    Knock { client: Client, port: u16, open: bool },
    /// What Docker shows of the container: values by JSON pointer (`/HostConfig/NetworkMode`).
    Inspect { is: BTreeMap<String, toml::Value> },
    /// Every command that only looks, as text and as JSON, on a node that serves; and a configuration that is refused.
    Commands,
    /// One command of the agent's program beside the one that stays: how it must end, and what it must print.
    Command {
        arguments: Vec<String>,
        #[serde(default)]
        exit: i32,
        #[serde(default)]
        says: Vec<String>,
        /// Numbers of its JSON that may not be larger.
        #[serde(default)]
        at_most: BTreeMap<String, u64>,
    },
    /// A client writes so many objects with the writer's key; the first one's number makes their ids and vectors.
    Write {
        client: Client,
        class: String,
        tenant: Option<String>,
        #[serde(default)]
        first: u64,
        objects: u64,
    },
    /// Every object of a backup that the agent has made is one of a manifest's copy, each of those is there, and the
    /// pointer names one of them.
    WholeBackups,
    /// What both clients count of a collection, or of one of its tenants.
    Count {
        class: String,
        #[serde(default)]
        tenant: String,
        objects: u64,
    },
    /// A script in the machine, which must end well and print these texts.
    Shell {
        script: String,
        #[serde(default)]
        says: Vec<String>,
    },
    /// Docker is stopped, as by an upgrade of its package.
    StopDocker,
    /// It is started again, with the same arguments.
    StartDocker,
    /// From now on systemd is told a line with this text so often.
    Hear { line: String, times: usize },
    /// Nothing of the agent runs for this long while the clients keep knocking.
    Wait { ms: u64 },
}

const fn yes() -> bool {
    true
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
