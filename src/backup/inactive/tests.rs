//! The tables of what is left out, and of what is done about it.

use super::*;
use crate::manifest::{Collection, Tenant};
use crate::weaviate::descriptor::Node;

fn tenants(rows: &[(&str, &str, &str)]) -> Tenants {
    let mut found = Tenants::new();
    for (class, tenant, status) in rows {
        found.entry((*class).to_owned()).or_default().insert((*tenant).to_owned(), (*status).to_owned());
    }
    found
}

#[test]
fn every_setting_has_its_plan_before_and_after() {
    let (none, some) = (Tenants::new(), tenants(&[("A", "t", "COLD")]));
    let rows = [
        (Inactive::Refuse, &none, Plan::GoOn, Plan::GoOn),
        (Inactive::Activate, &none, Plan::GoOn, Plan::GoOn),
        (Inactive::Accept, &none, Plan::GoOn, Plan::GoOn),
        (Inactive::Refuse, &some, Plan::Refuse, Plan::Refuse),
        // What was activated and is left out all the same: nobody can say why.
        (Inactive::Activate, &some, Plan::Activate, Plan::Refuse),
        (Inactive::Accept, &some, Plan::GoOn, Plan::GoOn),
    ];
    for (setting, left_out, first, last) in &rows {
        assert_eq!(before(*setting, left_out), *first, "{setting:?} {left_out:?}");
        assert_eq!(after(*setting, left_out), *last, "{setting:?} {left_out:?}");
    }
    crate::tests::rows::every_variant!(
        rows.map(|(_, _, plan, _)| plan),
        crate::backup::inactive::Plan { GoOn, Activate, Refuse }
    );
}

#[test]
fn what_a_server_will_leave_out_is_known_by_version_status_and_disk() {
    let rows = [
        ("1.36.23", "COLD", true, true),
        ("1.36.23", "INACTIVE", true, true),
        // Never active: there is nothing to leave out.
        ("1.36.23", "COLD", false, false),
        ("1.36.23", "HOT", true, false),
        ("1.36.23", "ACTIVE", true, false),
        ("1.37.0", "COLD", true, false),
        ("1.39.0", "COLD", true, false),
        // In another store, whatever the version.
        ("1.36.23", "FROZEN", false, true),
        ("1.39.0", "FROZEN", false, true),
        ("1.39.0", "FREEZING", true, true),
        ("1.39.0", "OFFLOADED", false, true),
        // The descriptor tells.
        ("a fork", "COLD", true, false),
    ];
    for (server, status, on_disk, expected) in rows {
        assert_eq!(will_leave_out(server, status, on_disk), expected, "{server} {status} {on_disk}");
    }
}

#[test]
fn the_descriptor_is_the_evidence() {
    let shards: Shards =
        [("A".to_owned(), ["in".to_owned()].into()), ("B".to_owned(), std::collections::BTreeSet::new())]
            .into();
    let there = tenants(&[
        ("A", "in", "HOT"),
        ("A", "out", "COLD"),
        ("A", "bare", "COLD"),
        ("A", "away", "FROZEN"),
        // It was active while it was counted, and not when its collection was taken.
        ("B", "brief", "HOT"),
        // Not in the order.
        ("C", "other", "COLD"),
    ]);
    let on_disk = |_: &str, tenant: &str| !matches!(tenant, "bare" | "away");
    let expected = tenants(&[("A", "out", "COLD"), ("A", "away", "FROZEN"), ("B", "brief", "HOT")]);
    assert_eq!(left_out(&there, &shards, on_disk), expected);
    let all: Shards =
        there.iter().map(|(class, tenants)| (class.clone(), tenants.keys().cloned().collect())).collect();
    assert_eq!(left_out(&there, &all, on_disk), Tenants::new());
    assert_eq!(names(&expected)["A"], ["away".to_owned(), "out".to_owned()].into());
}

#[test]
fn a_recorded_backup_holds_the_tenants_that_ever_held_anything() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/recordings/weaviate-1.39.0/backups/full-1/weaviate-0/backup.json"
    );
    let node: Node = serde_json::from_slice(&std::fs::read(path).expect("recorded")).expect("a descriptor");
    let shards = node.shards();
    assert_eq!(shards["Chunk"], ["alpha".to_owned(), "beta".to_owned()].into());
    // `cold` was made inactive, and never was anything else: it has no folder.
    let there = tenants(&[("Chunk", "alpha", "HOT"), ("Chunk", "beta", "HOT"), ("Chunk", "cold", "COLD")]);
    assert_eq!(left_out(&there, &shards, |_, tenant| tenant != "cold"), Tenants::new());
    assert_eq!(left_out(&there, &shards, |_, _| true), tenants(&[("Chunk", "cold", "COLD")]));
}

#[test]
fn only_who_is_in_both_counts_was_there_throughout() {
    let counted = |rows: &[(&str, &str)]| -> Collections {
        let tenant = |(name, status): &(&str, &str)| {
            ((*name).to_owned(), Tenant { status: Some((*status).to_owned()), ..Tenant::default() })
        };
        let tenants = rows.iter().map(tenant).collect();
        [("A".to_owned(), Collection { tenants, ..Collection::default() })].into()
    };
    let first = counted(&[("stays", "HOT"), ("goes", "HOT"), ("", "HOT")]);
    let last = counted(&[("stays", "COLD"), ("comes", "HOT"), ("", "HOT")]);
    assert_eq!(throughout(&first, &last), tenants(&[("A", "stays", "COLD")]));
    assert_eq!(throughout(&Collections::new(), &last), Tenants::new());
}

#[test]
fn a_sentence_names_collection_count_and_status() {
    let one = tenants(&[("A", "t", "COLD")]);
    assert_eq!(sentence(&one), "1 tenant of collection A (COLD)");
    let many = tenants(&[
        ("A", "s", "COLD"),
        ("A", "t", "FROZEN"),
        ("B", "t", "COLD"),
        ("C", "t", "COLD"),
        ("D", "t", "COLD"),
    ]);
    assert_eq!(
        sentence(&many),
        "2 tenants of collection A (COLD, FROZEN), 1 tenant of collection B (COLD), 1 tenant of collection C (COLD), \
         tenants of 1 more"
    );
}
