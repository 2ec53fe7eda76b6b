//! The manifest's pointer: what it says, and how it moved.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Rule;
use crate::fixtures::POINTER;
use crate::ledger::{Event, Seen};

/// A collection, and a tenant of it or nothing.
pub type Shard = (String, String);

/// What a manifest says of ownership and of what has to be counted; a manifest that cannot be read says so. Flat, as
/// the ledger has it.
pub fn facts(manifest: &[u8]) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let Ok(manifest) = serde_json::from_slice::<Value>(manifest) else {
        return BTreeMap::from([("Manifest".to_owned(), "unreadable".to_owned())]);
    };
    for (name, field) in
        [("Generation", "generation"), ("Owner", "owner"), ("Nonce", "nonce"), ("BackupId", "backup_id")]
    {
        match &manifest[field] {
            Value::Null => {}
            Value::String(text) => drop(facts.insert(name.to_owned(), text.clone())),
            other => drop(facts.insert(name.to_owned(), other.to_string())),
        }
    }
    let mut shards: Vec<Shard> = Vec::new();
    for (collection, about) in manifest["collections"].as_object().into_iter().flatten() {
        let tenants = about["tenants"].as_object().into_iter().flatten();
        // A tenant that is not active cannot be counted.
        let active = tenants.filter(|(_, tenant)| tenant["status"] != "COLD");
        shards.extend(active.map(|(tenant, _)| (collection.clone(), tenant.clone())));
    }
    facts.insert("Shards".to_owned(), serde_json::json!(shards).to_string());
    facts
}

/// The pointer, as it was written last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pointer {
    pub owner: Option<String>,
    pub generation: u64,
    nonce: Option<String>,
    backup: Option<String>,
    /// Everything that has to be counted by who serves it.
    pub shards: BTreeSet<Shard>,
}

impl Pointer {
    /// As the facts say, where `before` lay. Who takes the same backup over cannot take less of it.
    fn after(before: Option<&Self>, facts: &BTreeMap<String, String>) -> Self {
        let shards = facts.get("Shards").and_then(|text| serde_json::from_str(text).ok());
        let mut now = Self {
            owner: facts.get("Owner").cloned(),
            generation: facts.get("Generation").and_then(|text| text.parse().ok()).unwrap_or_default(),
            nonce: facts.get("Nonce").cloned(),
            backup: facts.get("BackupId").cloned(),
            shards: shards.unwrap_or_default(),
        };
        if let Some(before) = before.filter(|before| before.backup == now.backup) {
            now.shards.extend(before.shards.iter().cloned());
        }
        now
    }
}

/// A write of the pointer that took effect.
pub struct Write<'a> {
    pub caller: Option<&'a str>,
    conditional: bool,
    pub now: Pointer,
}

/// The write that this event tells of, where `before` lay. The answer may have been lost: whether something was
/// stored is what counts.
pub fn write<'a>(before: Option<&Pointer>, event: &'a Event) -> Option<Write<'a>> {
    match event {
        Event::Call { service, operation, caller, parameters, status, .. }
            if service == "s3" && is_pointer(parameters.get("Key")) =>
        {
            let stored = match operation.as_str() {
                "PutObject" => parameters.contains_key("ETag"),
                "CopyObject" | "CompleteMultipartUpload" => *status == 200,
                _ => false,
            };
            // Whatever is there matches `*`: such a write looks at nothing before it overwrites.
            let matches = parameters.get("IfMatch").is_some_and(|etag| etag != "*");
            let conditional = matches || parameters.contains_key("IfNoneMatch");
            stored.then(|| Write {
                caller: caller.as_deref(),
                conditional,
                now: Pointer::after(before, parameters),
            })
        }
        Event::Published { key, parameters } if is_pointer(Some(key)) => {
            Some(Write { caller: None, conditional: true, now: Pointer::after(before, parameters) })
        }
        _ => None,
    }
}

pub fn is_pointer(key: Option<&String>) -> bool {
    key.is_some_and(|key| key.rsplit('/').next() == Some(POINTER))
}

impl Pointer {
    /// A generation is an owner's: who has it publishes one backup after the other in it, and nobody else does.
    fn may_follow(&self, last: Option<&Self>) -> bool {
        let Some(last) = last else { return self.generation > 0 };
        let same = self.nonce.is_some() && (&self.owner, &self.nonce) == (&last.owner, &last.nonce);
        self.generation > last.generation || same && self.generation == last.generation
    }
}

/// One sentence for each write of an instance that had no condition, or went into a generation that is not its own.
pub fn moves(events: &[Seen]) -> Vec<String> {
    let mut found = Vec::new();
    let mut last: Option<Pointer> = None;
    for Seen { at, event } in events {
        let Some(Write { caller, conditional, now }) = write(last.as_ref(), event) else { continue };
        if let Some(caller) = caller {
            if !conditional {
                found.push(format!(
                    "{}: {caller} wrote the manifest without a condition at {at}",
                    Rule::PointerUnconditional
                ));
            }
            let before = last.as_ref().map_or(0, |last| last.generation);
            if !now.may_follow(last.as_ref()) {
                found.push(format!(
                    "{}: {caller} wrote generation {} over {before} at {at}",
                    Rule::PointerLowered,
                    now.generation
                ));
            }
        }
        last = Some(now);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_its_owners() {
        let of = |generation, owner: &str, nonce: Option<&str>| Pointer {
            generation,
            owner: Some(owner.to_owned()),
            nonce: nonce.map(str::to_owned),
            ..Pointer::default()
        };
        let last = of(4, "i-1", Some("n"));
        let rows = [
            (of(5, "i-2", Some("m")), true),
            (of(4, "i-1", Some("n")), true),
            // An earlier run of the same instance, another instance, and a manifest that is nobody's.
            (of(4, "i-1", Some("m")), false),
            (of(4, "i-2", Some("n")), false),
            (of(4, "i-1", None), false),
            (of(3, "i-1", Some("n")), false),
        ];
        for (now, expected) in rows {
            assert_eq!(now.may_follow(Some(&last)), expected, "{now:?}");
        }
        assert!(of(1, "i-1", Some("n")).may_follow(None) && !of(0, "i-1", Some("n")).may_follow(None));
        assert!(!of(4, "i-1", None).may_follow(Some(&of(4, "i-1", None))), "no nonce is nobody's");
    }

    #[test]
    fn what_must_be_counted_is_every_collection_and_every_active_tenant() {
        let manifest = serde_json::json!({
            "generation": 4, "owner": "i-1", "nonce": null, "backup_id": "full-1",
            "collections": {
                "Article": { "tenants": { "": { "objects": 3, "status": "HOT" } } },
                "Chunk": { "tenants": {
                    "alpha": { "objects": 1, "status": "HOT" },
                    "cold": { "objects": null, "status": "COLD" },
                } },
            },
        });
        let facts = facts(manifest.to_string().as_bytes());
        let pointer = Pointer::after(None, &facts);
        let shard = |collection: &str, tenant: &str| (collection.to_owned(), tenant.to_owned());
        assert_eq!((pointer.owner.as_deref(), pointer.generation), (Some("i-1"), 4));
        assert_eq!(pointer.shards, BTreeSet::from([shard("Article", ""), shard("Chunk", "alpha")]));
        assert!(!facts.contains_key("Nonce"));

        let less = BTreeMap::from([("BackupId".to_owned(), "full-1".to_owned())]);
        assert_eq!(Pointer::after(Some(&pointer), &less).shards, pointer.shards, "not less of the same");
        assert!(Pointer::after(Some(&pointer), &BTreeMap::new()).shards.is_empty(), "of another");
    }
}
