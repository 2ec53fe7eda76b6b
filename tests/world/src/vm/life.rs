//! Where the time of one life of a machine went, until it served: milestones of systemd, and the agent's own steps.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

use super::guest::Guest;

const LOOK_INSIDE: Duration = Duration::from_mins(2);

/// All times are seconds since the kernel started, as systemd keeps them; absent: it did not happen in this life.
#[derive(Clone, Debug, Serialize)]
pub struct Life {
    /// What began it: `first boot`, `reboot`.
    pub began: String,
    pub milestones: Vec<(String, Option<f64>)>,
    /// What the agent's processes have computed until they served, in seconds of one processor.
    pub computed_s: Option<f64>,
    /// As the agent reports them, in milliseconds since the run that serves started.
    pub steps: Value,
}

/// In the order in which they are reached: what they are called, of which unit, which property.
const MILESTONES: [(&str, &str, &str); 9] = [
    ("systemd starts", MANAGER, "UserspaceTimestampMonotonic"),
    ("the door is closed", "weaviate-provisioner-door.service", ENTERED),
    ("cloud-init knows the instance", "cloud-init-local.service", ENTERED),
    ("the network is there", "network-online.target", ENTERED),
    ("Docker is there", "docker.service", ENTERED),
    ("user data begin", "cloud-final.service", "InactiveExitTimestampMonotonic"),
    ("user data end", "cloud-final.service", ENTERED),
    ("the agent starts", AGENT, "ExecMainStartTimestampMonotonic"),
    ("the agent is ready", AGENT, ENTERED),
];
const ENTERED: &str = "ActiveEnterTimestampMonotonic";
const AGENT: &str = "weaviate-provisioner.service";
/// systemd itself has no id.
const MANAGER: &str = "";
const COMPUTED: &str = "CPUUsageNSec";

impl Life {
    /// Of a node that serves.
    pub async fn look(guest: &Guest, began: &str) -> Result<Self> {
        let (mut units, mut properties) = (BTreeSet::new(), BTreeSet::from(["Id", COMPUTED]));
        for (_, unit, property) in MILESTONES {
            units.insert(unit);
            properties.insert(property);
        }
        let (units, properties) = (joined(units, " "), joined(properties, ","));
        // Twice in all, not once for each: a question asked inside is a second of an emulated processor.
        let script = format!(
            "systemctl show --property={properties}\necho\nsystemctl show --property={properties} {units}"
        );
        let shown = guest.succeed(&script, LOOK_INSIDE).await?;
        let (milestones, computed_s) = understand(&shown);
        let report = guest.succeed("cat /var/lib/weaviate-provisioner/report.json", LOOK_INSIDE).await?;
        let report: Value = serde_json::from_str(&report).context("understand the agent's report")?;
        Ok(Self { began: began.to_owned(), milestones, computed_s, steps: report["steps"].clone() })
    }
}

fn joined(words: BTreeSet<&str>, by: &str) -> String {
    words.into_iter().collect::<Vec<_>>().join(by)
}

/// Blocks of `Property=value`, an empty line between them, as `systemctl show` prints them.
fn understand(shown: &str) -> (Vec<(String, Option<f64>)>, Option<f64>) {
    let number = |unit: &str, property: &str| {
        let value = |block: &str, name: &str| {
            block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
        };
        let block = shown.split("\n\n").find(|block| value(block, "Id").unwrap_or_default() == unit)?;
        // What has not happened is 0, what is not known is in words.
        value(block, property)?.parse::<f64>().ok().filter(|number| *number > 0.0)
    };
    let milestones = MILESTONES
        .iter()
        .map(|(name, unit, property)| ((*name).to_owned(), number(unit, property).map(|n| n / 1e6)));
    (milestones.collect(), number(AGENT, COMPUTED).map(|nanoseconds| nanoseconds / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_happen_is_absent_and_the_rest_are_seconds() {
        let shown = "UserspaceTimestampMonotonic=1500000\n\n\
            Id=docker.service\nCPUUsageNSec=7\nActiveEnterTimestampMonotonic=0\n\n\
            Id=weaviate-provisioner.service\nCPUUsageNSec=2500000000\n\
            ExecMainStartTimestampMonotonic=7000000\nActiveEnterTimestampMonotonic=8000000\n";
        let (milestones, computed) = understand(shown);
        assert_eq!(milestones[0], ("systemd starts".to_owned(), Some(1.5)));
        assert_eq!(milestones[4], ("Docker is there".to_owned(), None));
        assert_eq!(milestones[7].1, Some(7.0));
        assert_eq!(milestones[8].1, Some(8.0));
        assert_eq!(computed, Some(2.5));
        // Accounting is off.
        assert_eq!(understand(&shown.replace("2500000000", "[not set]")).1, None);
    }
}
