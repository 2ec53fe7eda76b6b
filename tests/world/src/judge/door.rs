//! No client reaches the server before the world itself saw, in this boot of the machine, that the counts were
//! read from the server and that the manifest's generation belongs to this instance.

use std::collections::BTreeSet;

use crate::ledger::{Client, Event, Seen};

/// What has been seen since the machine's last start.
#[derive(Default)]
struct Proof {
    counted: bool,
    /// The manifest's owner, as the last PUT of it said.
    owner: Option<String>,
    /// The instance that has read or written the manifest since the start.
    consulted: Option<String>,
    reported: BTreeSet<(Client, u16)>,
}

impl Proof {
    /// A generation in somebody else's name is not taken.
    fn taken(&self) -> bool {
        self.owner.is_some() && self.owner == self.consulted
    }
}

/// The mark that a case leaves when the machine starts: everything has to be proven again.
pub const START: &str = "machine-start";
/// A container started with data that was not counted yet has to be counted again.
const RESTORE: &str = "/restore";

/// One sentence for each client and port of each boot that got in too early.
pub fn too_early(events: &[Seen]) -> Vec<String> {
    let mut found = Vec::new();
    let mut proof = Proof::default();
    for Seen { at, event } in events {
        match event {
            Event::Mark { what } if what == START => {
                proof = Proof { owner: proof.owner.take(), ..Proof::default() }
            }
            Event::Server { method, path, status: 200, details } => {
                if method == "POST" && path.ends_with(RESTORE) {
                    proof.counted = false;
                } else if details.get("count").is_some() || path.starts_with("/v1/schema") {
                    proof.counted = true;
                }
            }
            Event::Call { service, operation, parameters, caller, status: 200, .. }
                if service == "s3"
                    && parameters
                        .get("Key")
                        .is_some_and(|key| key.ends_with("latest_weaviate_backup.manifest.json")) =>
            {
                if operation == "PutObject" {
                    proof.owner = parameters.get("Owner").cloned();
                }
                if caller.is_some() {
                    proof.consulted.clone_from(caller);
                }
            }
            Event::Reached { client, port } => {
                let early = if *client == Client::Stranger {
                    Some("its group is not allowed at all")
                } else if !proof.counted {
                    Some("the counts had not been read")
                } else if !proof.taken() {
                    Some("the generation had not been taken")
                } else {
                    None
                };
                if let Some(why) = early
                    && proof.reported.insert((*client, *port))
                {
                    found.push(
                        format!("door: a {client:?} client reached port {port} at {at} although {why}")
                            .to_lowercase(),
                    );
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn put(owner: &str) -> Event {
        let parameters = [("Key", "prod/latest_weaviate_backup.manifest.json"), ("Owner", owner)];
        Event::Call {
            service: "s3".to_owned(),
            operation: "PutObject".to_owned(),
            caller: Some(owner.to_owned()),
            parameters: parameters
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<BTreeMap<_, _>>(),
            status: 200,
            code: None,
        }
    }

    /// This instance writes a manifest that names another one.
    fn foreign() -> Event {
        match put("i-other") {
            Event::Call { service, operation, parameters, status, code, .. } => {
                Event::Call { service, operation, caller: Some("i-new".to_owned()), parameters, status, code }
            }
            other => other,
        }
    }

    fn count() -> Event {
        Event::Server {
            method: "POST".to_owned(),
            path: "/v1/graphql".to_owned(),
            status: 200,
            details: serde_json::json!({ "count": 3000 }),
        }
    }

    fn restore() -> Event {
        Event::Server {
            method: "POST".to_owned(),
            path: "/v1/backups/filesystem/full-1/restore".to_owned(),
            status: 200,
            details: serde_json::Value::Null,
        }
    }

    fn start() -> Event {
        Event::Mark { what: START.to_owned() }
    }

    fn knock(client: Client) -> Event {
        Event::Reached { client, port: 8080 }
    }

    #[test]
    fn a_client_may_come_in_after_both_proofs_and_not_before() {
        let rows = [
            ("both proofs", vec![start(), count(), put("i-new"), knock(Client::Near)], 0),
            ("no counts", vec![start(), put("i-new"), knock(Client::Far)], 1),
            ("no generation", vec![start(), count(), knock(Client::Far)], 1),
            ("a stranger", vec![start(), count(), put("i-new"), knock(Client::Stranger)], 1),
            (
                "a restore after the counts",
                vec![start(), count(), restore(), put("i-new"), knock(Client::Near)],
                1,
            ),
            (
                "counted again after a restore",
                vec![start(), restore(), count(), put("i-new"), knock(Client::Near)],
                0,
            ),
            (
                "a reboot without new proofs",
                vec![start(), count(), put("i-new"), start(), knock(Client::Near)],
                1,
            ),
            ("said once for each client", vec![start(), knock(Client::Near), knock(Client::Near)], 1),
            ("said for every client", vec![start(), knock(Client::Near), knock(Client::Far)], 2),
            ("a generation in another's name", vec![start(), count(), foreign(), knock(Client::Near)], 1),
        ];
        for (name, events, expected) in rows {
            let seen: Vec<Seen> =
                events.into_iter().map(|event| Seen { at: jiff::Timestamp::now(), event }).collect();
            assert_eq!(too_early(&seen).len(), expected, "{name}: {:?}", too_early(&seen));
        }
    }
}
