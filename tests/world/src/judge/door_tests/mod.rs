//! The table of who may come in when.

mod two_machines;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::door::too_early;
use super::pointer::{facts, moves};
use super::{Rule, START};
use crate::ledger::{Client, Event, Seen};

const KEY: &str = "prod/latest_weaviate_backup.manifest.json";

fn manifest(owner: &str, generation: u64, backup: Option<&str>) -> BTreeMap<String, String> {
    let collections = match backup {
        Some(_) => json!({ "Article": { "tenants": { "": { "objects": 3, "status": "HOT" } } },
                           "Chunk": { "tenants": { "alpha": { "objects": 1, "status": "HOT" } } } }),
        None => json!({}),
    };
    let text = json!({
        "generation": generation, "owner": owner, "backup_id": backup, "collections": collections,
    });
    facts(text.to_string().as_bytes())
}

fn s3(operation: &str, status: u16, more: BTreeMap<String, String>) -> Event {
    let mut parameters = more;
    parameters.insert("Key".to_owned(), KEY.to_owned());
    Event::Call {
        service: "s3".to_owned(),
        operation: operation.to_owned(),
        caller: Some("i-new".to_owned()),
        parameters,
        status,
        code: None,
    }
}

/// A conditional write that took effect, whatever its answer.
fn put_as(owner: &str, generation: u64, backup: Option<&str>, status: u16) -> Event {
    let mut parameters = manifest(owner, generation, backup);
    parameters.insert("ETag".to_owned(), "e".to_owned());
    parameters.insert("IfMatch".to_owned(), "before".to_owned());
    s3("PutObject", status, parameters)
}

fn put(owner: &str) -> Event {
    put_as(owner, 2, Some("full-1"), 200)
}

/// The same backup, of which it names nothing.
fn silent_put() -> Event {
    match put("i-new") {
        Event::Call { service, operation, caller, mut parameters, status, code } => {
            parameters.remove("Shards");
            Event::Call { service, operation, caller, parameters, status, code }
        }
        other => other,
    }
}

fn refused_put() -> Event {
    s3("PutObject", 412, manifest("i-new", 2, Some("full-1")))
}

fn read() -> Event {
    s3("GetObject", 200, BTreeMap::new())
}

/// Somebody else's publication.
fn published(owner: &str, generation: u64) -> Event {
    Event::Published { key: KEY.to_owned(), parameters: manifest(owner, generation, Some("full-1")) }
}

/// The same with one tenant more.
fn published_more(owner: &str, generation: u64) -> Event {
    let Event::Published { key, mut parameters } = published(owner, generation) else {
        unreachable!("a publication")
    };
    let shards = json!([["Article", ""], ["Chunk", "alpha"], ["Chunk", "beta"]]);
    parameters.insert("BackupId".to_owned(), "incr-1".to_owned());
    parameters.insert("Shards".to_owned(), shards.to_string());
    Event::Published { key, parameters }
}

fn server(method: &str, path: &str, details: serde_json::Value) -> Event {
    let (of, method, path) = ("i-new".to_owned(), method.to_owned(), path.to_owned());
    Event::Server { of, method, path, status: 200, details }
}

fn count(class: &str, tenant: Option<&str>) -> Event {
    server("POST", "/v1/graphql", json!({ "class": class, "tenant": tenant, "count": 3 }))
}

fn both() -> Event {
    let two = json!([{ "class": "Article", "tenant": null, "count": 3 }, { "class": "Chunk", "tenant": "alpha", "count": 1 }]);
    server("POST", "/v1/graphql", two)
}

fn schema() -> Event {
    server("GET", "/v1/schema", json!({ "classes": ["Article"] }))
}

fn restore() -> Event {
    server("POST", "/v1/backups/filesystem/full-1/restore", serde_json::Value::Null)
}

fn objects() -> Event {
    server("GET", "/v1/objects", json!({ "class": "Article", "tenant": null, "count": 3 }))
}

fn start() -> Event {
    Event::Mark { what: START.to_owned() }
}

fn restarted() -> Event {
    Event::ServerStart { of: "i-new".to_owned() }
}

fn knock(client: Client) -> Event {
    Event::Reached { client, port: 8080 }
}

/// One second apart.
fn seen(events: Vec<Event>) -> Vec<Seen> {
    let mut at = Timestamp::UNIX_EPOCH;
    events
        .into_iter()
        .map(|event| {
            at += SignedDuration::from_secs(1);
            Seen { at, event }
        })
        .collect()
}

/// Both proofs, and a client that came in by right.
fn open() -> Vec<Event> {
    vec![published("i-old", 1), start(), both(), put("i-new"), knock(Client::Near)]
}

fn and(mut events: Vec<Event>, more: Vec<Event>) -> Vec<Event> {
    events.extend(more);
    events
}

/// Each row's sentences are of these rules.
fn judged(rows: Vec<(&str, Vec<Event>, Vec<Rule>)>) {
    for (name, events, expected) in rows {
        let found = too_early(&seen(events));
        let rules: Vec<&str> = found.iter().filter_map(|sentence| sentence.split(": ").next()).collect();
        let expected: Vec<&str> = expected.into_iter().map(Rule::name).collect();
        assert_eq!(rules, expected, "{name}: {found:?}");
    }
}

#[test]
fn a_client_may_come_in_after_both_proofs_and_not_before() {
    use Rule::{DoorStranger, DoorUncounted, DoorUntaken};
    let (near, far, stranger) = (knock(Client::Near), knock(Client::Far), knock(Client::Stranger));
    let rows: Vec<(&str, Vec<Event>, Vec<Rule>)> = vec![
        ("both proofs", open(), vec![]),
        (
            "counted one by one",
            vec![start(), count("Article", None), count("Chunk", Some("alpha")), put("i-new"), near.clone()],
            vec![],
        ),
        (
            "the answer of the write was lost",
            { vec![start(), both(), put_as("i-new", 2, Some("full-1"), 0), near.clone()] },
            vec![],
        ),
        ("no counts", vec![start(), put("i-new"), far.clone()], vec![DoorUncounted]),
        ("only the schema", vec![start(), schema(), put("i-new"), far.clone()], vec![DoorUncounted]),
        ("only objects", vec![start(), objects(), put("i-new"), far.clone()], vec![DoorUncounted]),
        (
            "one of several counts",
            vec![start(), schema(), count("Article", None), put("i-new"), far.clone()],
            vec![DoorUncounted],
        ),
        (
            "a manifest that names less of the same backup",
            vec![published("i-old", 1), start(), schema(), silent_put(), near.clone()],
            vec![DoorUncounted],
        ),
        ("an empty database", vec![start(), schema(), put_as("i-new", 1, None, 200), near.clone()], vec![]),
        (
            "an empty database unseen",
            vec![start(), put_as("i-new", 1, None, 200), near.clone()],
            vec![DoorUncounted],
        ),
        ("no generation", vec![published("i-old", 1), start(), both(), far.clone()], vec![DoorUntaken]),
        (
            "a write that was refused",
            vec![published("i-old", 1), start(), both(), refused_put(), far.clone()],
            vec![DoorUntaken],
        ),
        ("a stranger", vec![start(), both(), put("i-new"), stranger], vec![DoorStranger]),
        (
            "a restore after the counts",
            vec![start(), both(), restore(), put("i-new"), near.clone()],
            vec![DoorUncounted],
        ),
        ("counted again", vec![start(), restore(), both(), put("i-new"), near.clone()], vec![]),
        ("what came back beside what is served", and(open(), vec![restore(), near.clone()]), vec![]),
        (
            "a restore into another server in the same boot",
            and(open(), vec![restarted(), both(), restarted(), restore(), near.clone()]),
            vec![DoorUncounted],
        ),
        (
            "another server in the same boot",
            and(open(), vec![restarted(), near.clone()]),
            vec![DoorUncounted],
        ),
        ("another server, counted", and(open(), vec![restarted(), both(), near.clone()]), vec![]),
        ("a reboot without new proofs", and(open(), vec![start(), near.clone()]), vec![DoorUncounted]),
        ("a reboot, counted, and read", and(open(), vec![start(), both(), read(), near.clone()]), vec![]),
        ("said once for each client", vec![start(), near.clone(), near.clone()], vec![DoorUncounted]),
        ("said for every client", vec![start(), near.clone(), far], vec![DoorUncounted, DoorUncounted]),
        (
            "a generation in another's name",
            vec![start(), both(), put("i-other"), near.clone()],
            vec![DoorUntaken],
        ),
    ];
    judged(rows);
}

#[test]
fn who_is_told_that_the_fence_is_lost_has_a_moment_to_close() {
    use Rule::{DoorLost, DoorUncounted, DoorUntaken};
    let near = knock(Client::Near);
    let long = || vec![schema(); 6];
    judged(vec![
        (
            "the fence was lost before anybody came",
            vec![start(), both(), put("i-new"), published("i-old", 7), near.clone()],
            vec![DoorUntaken],
        ),
        (
            "the fence was lost, and nobody has told",
            and(open(), and(vec![published("i-old", 7)], and(long(), vec![near.clone()]))),
            vec![],
        ),
        (
            "the fence was lost to one with another tenant, and nobody has told",
            and(open(), vec![published_more("i-old", 7), near.clone()]),
            vec![],
        ),
        (
            "the same, and the server was started again",
            and(open(), vec![published_more("i-old", 7), restarted(), near.clone()]),
            vec![DoorUncounted],
        ),
        (
            "the same, and the fence was taken back without a count",
            and(
                open(),
                vec![
                    published_more("i-old", 7),
                    read(),
                    put_as("i-new", 8, Some("incr-1"), 200),
                    near.clone(),
                ],
            ),
            vec![DoorUncounted],
        ),
        (
            "the fence was lost, and it has just been told",
            and(open(), vec![published("i-old", 7), read(), near.clone()]),
            vec![],
        ),
        (
            "the fence was lost, and it was told long ago",
            and(open(), and(vec![published("i-old", 7), read()], and(long(), vec![near.clone()]))),
            vec![DoorLost],
        ),
        (
            "told by a refused write",
            and(open(), and(vec![published("i-old", 7), refused_put()], and(long(), vec![near.clone()]))),
            vec![DoorLost],
        ),
        (
            "taken back in time",
            and(open(), vec![published("i-old", 7), read(), put_as("i-new", 8, Some("full-1"), 200), near]),
            vec![],
        ),
    ]);
}
