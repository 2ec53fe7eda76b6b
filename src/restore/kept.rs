//! Data that was kept over a reboot: is it what this volume's record says?
//!
//! ```text
//! clean_stop ─────────────────────────────▶ Same │ Changed (refused: nobody may have written since)
//! the process that was exposed runs on ───▶ Unbroken
//! another one, the old ended in order ────▶ Replaced │ Lost
//! another one, for whatever reason ───────▶ Unclean (said) │ Lost (refused: nothing is left of what was restored)
//! ```
//!
//! That a container was adopted says nothing: a run that came to no end may have started it after a power cut.
//!
//! After an unclean stop clients may have written, and deleted, since the last count: a collection or tenant that is
//! missing is no fault by itself, and refusing it would end an instance whose disk holds the only copy of what was
//! written since the last backup. A server without any of its collections has lost its schema, and is refused.

use std::collections::BTreeMap;

use super::verify::differences;
use crate::disk::{Record, ServerProcess, TenantRecord};
use crate::manifest::{Collection, Collections, Tenant};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The server was not stopped since it was exposed.
    Unbroken,
    /// This program ended it in order, for a container of another specification.
    Replaced,
    /// As it was counted at the last clean stop.
    Same,
    /// Not as it was counted at the last clean stop.
    Changed(Vec<String>),
    /// Stopped in some other way; what differs from the count after the restore.
    Unclean(Vec<String>),
    /// Stopped in some other way, and none of the recorded collections is there.
    Lost(Vec<String>),
}

pub fn decide(record: &Record, runs: &ServerProcess, seen: &Collections) -> Kept {
    if let Some(counts) = &record.clean_stop {
        let found = differences(&from_record(counts), seen);
        return if found.is_empty() { Kept::Same } else { Kept::Changed(found) };
    }
    if record.served.as_ref() == Some(runs) {
        return Kept::Unbroken;
    }
    let recorded = record.restored.as_ref().map(|r| from_record(&r.collections)).unwrap_or_default();
    let found = differences(&recorded, seen);
    if !recorded.is_empty() && !recorded.keys().any(|name| seen.contains_key(name)) {
        return Kept::Lost(found);
    }
    if record.ended_in_order { Kept::Replaced } else { Kept::Unclean(found) }
}

/// Collection → tenant (or "") → what was counted, as the volume's record has it.
pub type Recorded = BTreeMap<String, BTreeMap<String, TenantRecord>>;

pub fn to_record(collections: &Collections) -> Recorded {
    let tenant = |t: &Tenant| TenantRecord { objects: t.objects, status: t.status.clone() };
    let tenants = |c: &Collection| c.tenants.iter().map(|(name, t)| (name.clone(), tenant(t))).collect();
    collections.iter().map(|(name, c)| (name.clone(), tenants(c))).collect()
}

fn from_record(recorded: &Recorded) -> Collections {
    let tenant =
        |t: &TenantRecord| Tenant { objects: t.objects, status: t.status.clone(), ..Tenant::default() };
    let collection = |tenants: &BTreeMap<String, TenantRecord>| {
        let tenants = tenants.iter().map(|(name, t)| (name.clone(), tenant(t))).collect();
        Collection { tenants, ..Collection::default() }
    };
    recorded.iter().map(|(name, tenants)| (name.clone(), collection(tenants))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Restored;

    fn counts(objects: u64) -> Recorded {
        let tenant = TenantRecord { objects: Some(objects), status: Some("HOT".to_owned()) };
        [("Article", objects), ("Chunk", 1)]
            .map(|(name, objects)| {
                let tenant = TenantRecord { objects: Some(objects), ..tenant.clone() };
                (name.to_owned(), BTreeMap::from([(String::new(), tenant)]))
            })
            .into()
    }

    fn record(restored: Recorded, clean_stop: Option<Recorded>) -> Record {
        let restored = Restored {
            backup_id: Some("full-1".to_owned()),
            from: None,
            generation: 5,
            nonce: "ours".to_owned(),
            mode: "staged".to_owned(),
            bytes: 7,
            collections: restored,
            verified: true,
            taken: true,
        };
        Record {
            schema: 1,
            deployment: "acme".to_owned(),
            node: "weaviate-0".to_owned(),
            instance_id: "i-new".to_owned(),
            uuid: "u".to_owned(),
            serials: Vec::new(),
            nonce: "n".to_owned(),
            restored: Some(restored),
            clean_stop,
            served: Some(process("exposed")),
            ended_in_order: false,
        }
    }

    fn process(started: &str) -> ServerProcess {
        ServerProcess { container: "c".to_owned(), started: started.to_owned() }
    }

    #[test]
    fn what_was_kept_is_judged_by_how_it_was_stopped() {
        let seen = |objects| from_record(&counts(objects));
        let differs = || vec!["collection Article has 2999 objects, not 3000".to_owned()];
        let clean = record(counts(2), Some(counts(3000)));
        let unclean = record(counts(3000), None);
        let in_order = Record { served: None, ended_in_order: true, ..unclean.clone() };
        let (same, other) = (process("exposed"), process("after the power cut"));
        let mut smaller = seen(3000);
        smaller.remove("Chunk");
        let missing = || vec!["collection Chunk is missing".to_owned()];
        let all =
            || vec!["collection Article is missing".to_owned(), "collection Chunk is missing".to_owned()];
        let rows = [
            (&clean, &other, seen(3000), Kept::Same),
            (&clean, &other, seen(2999), Kept::Changed(differs())),
            (&clean, &other, smaller.clone(), Kept::Changed(missing())),
            (&unclean, &same, seen(2999), Kept::Unbroken),
            (&unclean, &other, seen(3000), Kept::Unclean(Vec::new())),
            (&unclean, &other, seen(2999), Kept::Unclean(differs())),
            // Somebody may have deleted it before the power went.
            (&unclean, &other, smaller, Kept::Unclean(missing())),
            // Started by a run that did not come to its end, and adopted by this one.
            (&unclean, &other, Collections::new(), Kept::Lost(all())),
            (&in_order, &other, seen(2999), Kept::Replaced),
            (&in_order, &other, Collections::new(), Kept::Lost(all())),
            (&record(Recorded::new(), None), &other, Collections::new(), Kept::Unclean(Vec::new())),
        ];
        for (record, runs, seen, expected) in &rows {
            assert_eq!(decide(record, runs, seen), *expected, "{seen:?}");
        }
        crate::tests::rows::every_variant!(
            rows.map(|(.., expected)| expected),
            crate::restore::kept::Kept { Unbroken, Replaced, Same, Changed, Unclean, Lost }
        );
        assert_eq!(to_record(&seen(3000)), counts(3000));
    }
}
