//! `plan` in the machine: what it says, and that nothing is other than before.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;

use super::{Stage, agent};
use crate::ledger::{Event, Seen};

/// What a command that only looks must leave as it is, as text by name.
const PLACES: &[(&str, &[&str])] = &[
    ("the rules", &["nft", "--stateless", "list", "ruleset"]),
    ("the addresses", &["ip", "address", "show"]),
    ("the routes", &["ip", "route", "show", "table", "all"]),
    ("the containers", &["docker", "ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.State}}"]),
    ("the networks", &["docker", "network", "ls", "--no-trunc", "--quiet"]),
    ("the images", &["docker", "images", "--no-trunc", "--quiet"]),
];

impl Stage {
    /// Runs `plan`; a sentence for each thing that it changed, failed in, or did not say.
    pub async fn plan(&self, says: &[String]) -> Result<Vec<String>> {
        let before = self.places().await?;
        let since = Timestamp::now();
        let output = agent::command(self, &["plan"])?.output(Duration::from_mins(1)).await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        self.planted.search("what `plan` prints", &output.stdout);
        self.planted.search("the log of `plan`", &output.stderr);
        let mut complaints = changes(&self.ledger.since(since));
        let after = self.places().await?;
        complaints.extend(
            before
                .iter()
                .filter(|(place, was)| after.get(*place) != Some(was))
                .map(|(place, was)| format!("plan changed {place}: {was:?}, now {:?}", after.get(place))),
        );
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            complaints.push(format!("plan ended with {}: {text}{words}", output.status));
        }
        let silent = says.iter().filter(|wanted| !text.contains(wanted.as_str()));
        complaints.extend(silent.map(|wanted| format!("plan does not say {wanted:?}: {text}")));
        Ok(complaints)
    }

    async fn places(&self) -> Result<BTreeMap<String, String>> {
        let mut places = BTreeMap::new();
        for (name, command) in PLACES {
            let run = self.machine.command(command[0])?.args(&command[1..]);
            // Two failures would look like nothing that has changed.
            places.insert((*name).to_owned(), run.succeed(Duration::from_secs(10)).await?);
        }
        for folder in ["/var/lib/weaviate-provisioner", "/etc/systemd/network"] {
            for entry in std::fs::read_dir(self.machine.path(folder)).into_iter().flatten().flatten() {
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                places
                    .insert(entry.path().display().to_string(), String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        Ok(places)
    }
}

/// Every call that is not a reading one, and every disk whose image changed.
fn changes(events: &[Seen]) -> Vec<String> {
    let reads = |service: &str, operation: &str| {
        // A token for the metadata service is asked for with PUT; it changes nothing.
        service == "imds"
            || ["Describe", "Get", "List", "Head"].iter().any(|verb| operation.starts_with(verb))
    };
    let sentence = |seen: &Seen| match &seen.event {
        Event::Call { service, operation, caller: Some(_), .. } if !reads(service, operation) => {
            Some(format!("plan called {service}:{operation}"))
        }
        Event::DiskTouched { serial, .. } => Some(format!("plan changed the disk {serial}")),
        _ => None,
    };
    events.iter().filter_map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(service: &str, operation: &str) -> Seen {
        let event = Event::Call {
            service: service.to_owned(),
            operation: operation.to_owned(),
            caller: Some("i-new".to_owned()),
            parameters: BTreeMap::new(),
            status: 200,
            code: None,
        };
        Seen { at: Timestamp::now(), event }
    }

    #[test]
    fn each_change_is_told_and_no_look_is() {
        let looks = [
            call("ec2", "DescribeNetworkInterfaces"),
            call("s3", "GetObject"),
            call("s3", "ListObjectsV2"),
            call("secretsmanager", "GetSecretValue"),
            call("imds", "PutToken"),
        ];
        assert!(changes(&looks).is_empty(), "{:?}", changes(&looks));
        let touched = Event::DiskTouched { serial: "AWS1".to_owned(), journalled: true };
        let acts = [
            call("ec2", "AttachNetworkInterface"),
            call("s3", "PutObject"),
            call("autoscaling", "RecordLifecycleActionHeartbeat"),
            call("sts", "AssumeRole"),
            Seen { at: Timestamp::now(), event: touched },
        ];
        assert_eq!(changes(&acts).len(), acts.len());
    }
}
