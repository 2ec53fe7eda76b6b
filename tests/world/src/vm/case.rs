//! `tests/vm/cases/*/case.toml`: read and checked.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use toml::Table;

use crate::case::Scene;

/// A case of a whole machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    #[serde(skip)]
    pub name: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// Played by `scripts/test` too, not only by `scripts/test vm`.
    #[serde(default)]
    pub always: bool,
    /// As in `tests/cases`; what is done to the machine has no meaning here.
    #[serde(default)]
    pub scene: Scene,
    #[serde(default)]
    pub machine: MachineCase,
    pub acts: Vec<Act>,
    #[serde(default)]
    pub expect: Expect,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MachineCase {
    /// What its clock says at first.
    pub clock: Option<String>,
    /// `/etc/docker/daemon.json`.
    pub docker: Table,
    /// A script that runs before the package is installed.
    pub prepare: Option<String>,
    /// It is a builder first, without user data of ours: an image is made of it.
    pub builder: bool,
}

/// What the case does, one after another.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// Until the unit is active, the clients count everything right, and the stranger gets nothing.
    Serving,
    /// Until the unit's status says this, while it is still starting: nobody gets in.
    Waiting { says: String },
    /// Nobody gets in for as long as this call has not been seen so often.
    ClosedUntil { call: String, times: u64 },
    /// An orderly reboot, asked for inside.
    Reboot,
    /// The power is cut, as soon as this call was seen so often in this life of the machine, and comes back.
    PowerCut {
        #[serde(default)]
        call: Option<String>,
        #[serde(default = "one")]
        times: u64,
    },
    /// Stopped and started by EC2: another host, blank instance stores.
    StopStart,
    /// A fresh root disk; the instance store stays.
    ReplaceRoot,
    /// What an administrator does inside.
    Inside { script: String },
    /// The same on a node that serves: no client's request fails meanwhile.
    Unnoticed { script: String },
    /// An administrator ends what is under the node: it goes down, and another run of the agent serves again.
    ComesBack { script: String },
    /// The package is upgraded on a node that serves: no client's request fails.
    Upgrade,
    /// The builder becomes an image by `packaging/ami.sh`, and a machine is started from that.
    MakeImage,
    /// The metadata service is silent from now on, until this long after somebody first asked it.
    MetadataSilent { seconds: u64 },
    /// The interface is taken out and put in again, as a flapping attachment looks from inside.
    Replug,
    /// The group has ended the instance.
    Ended,
}

const fn one() -> u64 {
    1
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// How the launch hook was answered by a call.
    pub lifecycle_action: Option<String>,
    /// What stands in the journal of the agent, in this order.
    pub journal: Vec<String>,
    /// What the console shows.
    pub console: Vec<String>,
    /// How often calls were made at most.
    pub at_most: BTreeMap<String, u64>,
}

/// All cases by their names.
pub fn load_all(folder: &Path) -> Result<BTreeMap<String, Case>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut cases = BTreeMap::new();
    for entry in entries {
        let file = entry?.path().join("case.toml");
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let mut case: Case =
            toml::from_str(&text).with_context(|| format!("understanding {}", file.display()))?;
        let name = file.parent().and_then(Path::file_name).context("a case has a folder")?;
        case.name = name.to_string_lossy().into_owned();
        ensure!(!case.acts.is_empty(), "{} does nothing", case.name);
        cases.insert(case.name.clone(), case);
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cases_are_understood_and_one_is_always_played() {
        let cases = load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../vm/cases")).expect("the cases");
        assert!(cases.values().any(|case| case.always), "scripts/test plays none");
        assert!(cases.values().any(|case| !case.always), "scripts/test plays all");
    }
}
