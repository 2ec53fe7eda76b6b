//! Where the time of one life of a machine went, until it served: milestones of systemd, and the agent's own steps.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
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
    ("systemd starts", "", "UserspaceTimestampMonotonic"),
    ("the door is closed", "weaviate-provisioner-door.service", "ActiveEnterTimestampMonotonic"),
    ("cloud-init knows the instance", "cloud-init-local.service", "ActiveEnterTimestampMonotonic"),
    ("the network is there", "network-online.target", "ActiveEnterTimestampMonotonic"),
    ("Docker is there", "docker.service", "ActiveEnterTimestampMonotonic"),
    ("user data begin", "cloud-final.service", "InactiveExitTimestampMonotonic"),
    ("user data end", "cloud-final.service", "ActiveEnterTimestampMonotonic"),
    ("the agent starts", "weaviate-provisioner.service", "ExecMainStartTimestampMonotonic"),
    ("the agent is ready", "weaviate-provisioner.service", "ActiveEnterTimestampMonotonic"),
];

impl Life {
    /// Of a node that serves.
    pub async fn look(guest: &Guest, began: &str) -> Result<Self> {
        let asked: Vec<String> = MILESTONES
            .iter()
            .map(|(_, unit, property)| format!("systemctl show --property={property} --value {unit}"))
            .collect();
        let script = format!(
            "{}\nsystemctl show --property=CPUUsageNSec --value weaviate-provisioner.service",
            asked.join("\n")
        );
        let shown = guest.succeed(&script, LOOK_INSIDE).await?;
        let (milestones, computed_s) = understand(&shown)?;
        let report = guest.succeed("cat /var/lib/weaviate-provisioner/report.json", LOOK_INSIDE).await?;
        let report: Value = serde_json::from_str(&report).context("understand the agent's report")?;
        Ok(Self { began: began.to_owned(), milestones, computed_s, steps: report["steps"].clone() })
    }
}

fn understand(shown: &str) -> Result<(Vec<(String, Option<f64>)>, Option<f64>)> {
    let lines: Vec<&str> = shown.lines().collect();
    ensure!(lines.len() == MILESTONES.len() + 1, "systemd shows other values than were asked for: {shown}");
    let number = |line: &str, unit: f64| line.parse::<f64>().ok().filter(|n| *n > 0.0).map(|n| n / unit);
    let named =
        MILESTONES.iter().zip(&lines).map(|((name, ..), line)| ((*name).to_owned(), number(line, 1e6)));
    Ok((named.collect(), number(lines[MILESTONES.len()], 1e9)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_happen_is_absent_and_the_rest_are_seconds() {
        let shown = "1500000\n0\n2\n3\n4\n5\n6\n7\n8000000\n2500000000\n";
        let (milestones, computed) = understand(shown).expect("ten values");
        assert_eq!(milestones[0], ("systemd starts".to_owned(), Some(1.5)));
        assert_eq!(milestones[1].1, None);
        assert_eq!(milestones[8].1, Some(8.0));
        assert_eq!(computed, Some(2.5));
        // Accounting is off.
        assert_eq!(understand(&shown.replace("2500000000", "[not set]")).expect("ten lines").1, None);
        assert!(understand("1\n2\n").is_err());
    }
}
