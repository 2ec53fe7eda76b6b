//! The pure decisions as tables: choose, stage, refresh, and each difference as a sentence.

use super::super::choose::{Described, Facts as Found, Plan as Choosing, Sought, decide as choosing};
use super::super::elsewhere::{Share, Unshared};
use super::super::refresh::{Plan as Refreshing, decide as refreshing};
use super::super::stage::{Facts, Plan, Remembered, decide};
use super::super::verify::{Seen, compare, differences};
use super::*;
use crate::manifest::{Held, Origin, Pointer};
use crate::tests::rows::every_variant;
use crate::weaviate::Alias;
use crate::weaviate::descriptor::{release, tagged};

fn pointer(manifest: Manifest) -> Pointer {
    let etag = etag(&serde_json::to_vec(&manifest).expect("json"));
    Pointer { manifest, etag, key: POINTER.to_owned() }
}

fn some() -> Manifest {
    manifest(&["full-1"], Vec::new())
}

fn none() -> Manifest {
    Manifest { backup_id: None, ..some() }
}

#[test]
fn every_choice_has_its_row() {
    let facts = |pointer: Option<Manifest>, copy: bool, descriptor: Option<Described>| Found {
        pointer: pointer.map(self::pointer),
        copy: copy.then(|| self::pointer(some())),
        elsewhere: None,
        descriptor,
    };
    let known = || Some(Described::Known("prod/full-1/backup_config.json".into()));
    let whole = || Some(Described::Whole(Box::new(some())));
    let broken = || Some(Described::Broken("x".into()));
    let refuse = wish();
    let allow = Wish { unverified: Unverified::Allow, ..wish() };
    let empty = Wish { allow_empty: true, ..wish() };
    let tagged = Wish { initialized: true, ..empty.clone() };
    let marked = Manifest { unverified: true, ..some() };
    let unverified_copy = Found { copy: Some(self::pointer(marked.clone())), ..Found::default() };
    let source = super::source();
    let from = source.to_string();
    let wished = Wish { from: Some(source.clone()), ..empty.clone() };
    let tagged_wished = Wish { initialized: true, ..wished.clone() };
    let restored = Manifest { from: Some(Origin::default()), ..none() };
    let elsewhere = |pointer: Option<Manifest>, sought: Sought| Found {
        elsewhere: Some(sought),
        ..facts(pointer, false, None)
    };
    let latest = |manifest: Manifest| Sought::Latest(Box::new(self::pointer(manifest)));
    let share = Share::of(&source, &some().collections).expect("all of it");
    let of_source = |after| Choosing::UseSource { from: from.clone(), share: share.clone(), after };
    let picky = Source { include: vec!["None".to_owned()], ..source.clone() };
    let picky = Wish { from: Some(picky), ..empty.clone() };
    let rows = vec![
        (elsewhere(None, latest(some())), &wished, of_source(None)),
        (elsewhere(Some(none()), latest(some())), &wished, of_source(Some(4))),
        (elsewhere(Some(some()), latest(some())), &wished, Choosing::UsePointer),
        (
            elsewhere(None, latest(some())),
            &picky,
            Choosing::RefuseShare { backup: "full-1".to_owned(), why: Unshared::Unknown("None".to_owned()) },
        ),
        (elsewhere(Some(some()), latest(some())), &picky, Choosing::UsePointer),
        (elsewhere(None, latest(marked.clone())), &wished, Choosing::RefuseUnverified),
        // The tag says that there were backups of its own, or that it was restored from the source before.
        (elsewhere(None, latest(some())), &tagged_wished, Choosing::RefuseInitialized),
        (elsewhere(Some(none()), latest(some())), &tagged_wished, Choosing::RefuseInitialized),
        (elsewhere(Some(restored), latest(some())), &tagged_wished, of_source(Some(4))),
        // Never empty in its place, although that is allowed.
        (elsewhere(None, Sought::Nothing), &wished, Choosing::RefuseSource),
        (
            Found { copy: Some(self::pointer(some())), ..elsewhere(None, latest(some())) },
            &wished,
            Choosing::UseCopy,
        ),
        (facts(Some(some()), false, None), &refuse, Choosing::UsePointer),
        (facts(Some(marked.clone()), false, None), &refuse, Choosing::RefuseUnverified),
        (facts(Some(marked), false, None), &allow, Choosing::UsePointer),
        (facts(None, true, None), &refuse, Choosing::UseCopy),
        (unverified_copy.clone(), &refuse, Choosing::RefuseUnverified),
        (unverified_copy, &allow, Choosing::UseCopy),
        (facts(Some(none()), true, None), &empty, Choosing::UseCopy),
        (facts(None, false, known()), &refuse, Choosing::RefuseUnverified),
        (facts(None, false, known()), &empty, Choosing::RefuseUnverified),
        (facts(None, false, whole()), &allow, Choosing::UseUnverified),
        (facts(None, false, broken()), &allow, Choosing::RefuseBroken),
        (facts(None, false, None), &refuse, Choosing::RefuseEmpty),
        (facts(None, false, None), &tagged, Choosing::RefuseInitialized),
        (facts(None, false, None), &empty, Choosing::StartEmpty { after: None }),
        (facts(Some(none()), false, None), &empty, Choosing::StartEmpty { after: Some(4) }),
        (facts(Some(none()), false, None), &tagged, Choosing::RefuseInitialized),
    ];
    for (facts, wish, expected) in &rows {
        assert_eq!(choosing(facts, wish), *expected, "{facts:?} {wish:?}");
    }
    assert!(rows.iter().all(|(_, _, plan)| !plan.to_string().is_empty()));
    every_variant!(
        rows.into_iter().map(|(_, _, expected)| expected),
        crate::restore::ChoosePlan {
            UsePointer,
            UseCopy,
            UseUnverified,
            UseSource,
            StartEmpty,
            RefuseUnverified,
            RefuseBroken,
            RefuseInitialized,
            RefuseEmpty,
            RefuseSource,
            RefuseShare,
        }
    );
}

#[test]
fn data_is_kept_only_while_owner_nonce_and_generation_are_ours() {
    let remembered = Remembered {
        backup_id: Some("full-1".into()),
        generation: 5,
        nonce: "ours".into(),
        verified: true,
        taken: true,
    };
    let ours = Facts {
        instance_id: "i-new".into(),
        remembered: Some(remembered.clone()),
        pointer: true,
        owner: Some("i-new".into()),
        nonce: Some("ours".into()),
        generation: 5,
        backup_id: Some("full-1".into()),
        refused: false,
    };
    let restore = Plan::Restore { backup: "full-1".into() };
    let unverified = Remembered { verified: false, ..remembered.clone() };
    let meant = Remembered { taken: false, ..remembered };
    let gone = Facts { pointer: false, owner: None, nonce: None, generation: 0, ..ours.clone() };
    let rows = [
        (ours.clone(), Plan::Keep { generation: 5 }),
        // A node that started empty, after its permission was withdrawn: its data is here.
        (Facts { backup_id: None, refused: true, ..ours.clone() }, Plan::Keep { generation: 5 }),
        (Facts { remembered: None, ..ours.clone() }, restore.clone()),
        (Facts { remembered: Some(unverified.clone()), ..ours.clone() }, restore.clone()),
        (Facts { owner: Some("i-other".into()), ..ours.clone() }, restore.clone()),
        (Facts { owner: None, ..ours.clone() }, restore.clone()),
        (Facts { nonce: Some("another".into()), ..ours.clone() }, restore.clone()),
        (Facts { generation: 6, ..ours.clone() }, restore.clone()),
        // The intent was written down, and the fence never taken.
        (
            Facts {
                generation: 4,
                owner: Some("i-old".into()),
                remembered: Some(meant.clone()),
                ..ours.clone()
            },
            restore.clone(),
        ),
        // Written, and the run was killed before it could say so.
        (Facts { remembered: Some(meant.clone()), ..ours.clone() }, Plan::Keep { generation: 5 }),
        // Somebody removed the manifest, or the prefix is another one: not for a copy, not for an empty start.
        (gone.clone(), Plan::RefuseGone { generation: 5 }),
        (Facts { backup_id: None, ..gone.clone() }, Plan::RefuseGone { generation: 5 }),
        (Facts { backup_id: None, refused: true, ..gone.clone() }, Plan::RefuseGone { generation: 5 }),
        // But an intent claims nothing.
        (Facts { remembered: Some(meant.clone()), ..gone.clone() }, restore.clone()),
        (Facts { remembered: Some(meant), backup_id: None, ..gone.clone() }, Plan::Empty),
        (Facts { remembered: Some(unverified.clone()), ..gone }, restore),
        (Facts { remembered: None, backup_id: None, ..ours.clone() }, Plan::Empty),
        (Facts { remembered: None, backup_id: None, refused: true, ..ours }, Plan::Refuse),
    ];
    for (facts, expected) in &rows {
        assert_eq!(decide(facts), *expected, "{facts:?}");
        assert!(!expected.to_string().is_empty());
    }
    every_variant!(
        rows.map(|(_, expected)| expected),
        crate::restore::StagePlan { Keep, Restore, Empty, Refuse, RefuseGone }
    );
}

#[test]
fn what_moved_while_we_waited_is_restored_again() {
    let held = || Held::Pointer(Box::new(pointer(some())));
    let restore = Plan::Restore { backup: "full-1".into() };
    let keep = Plan::Keep { generation: 4 };
    let newer = Manifest { backup_id: Some("full-2".into()), ..some() };
    let taken = Manifest { generation: 5, owner: Some("i-mid".into()), ..some() };
    let rows = [
        (Held::Nothing, None, &restore, Refreshing::Unchanged),
        (held(), Some(pointer(some())), &restore, Refreshing::Unchanged),
        (held(), Some(pointer(some())), &keep, Refreshing::Unchanged),
        (held(), Some(pointer(newer.clone())), &restore, Refreshing::Again),
        (Held::Nothing, Some(pointer(newer)), &restore, Refreshing::Again),
        // Somebody took it and wrote nothing new: the bytes are the same.
        (held(), Some(pointer(taken.clone())), &restore, Refreshing::Follow),
        // But kept data is no copy of any backup.
        (held(), Some(pointer(taken)), &keep, Refreshing::Again),
        (held(), None, &restore, Refreshing::Vanished),
    ];
    for (held, now, plan, expected) in &rows {
        assert_eq!(refreshing(held, now.as_ref(), plan, &some()), *expected, "{now:?}");
    }
    every_variant!(
        rows.map(|(.., expected)| expected),
        crate::restore::RefreshPlan { Unchanged, Follow, Again, Vanished }
    );
}

#[test]
fn every_difference_is_a_sentence() {
    type Change = fn(&mut Collections);
    let rows: [(Change, &str); 9] = [
        (|c| drop(c.remove("Empty")), "collection Empty is missing"),
        (|c| drop(c.insert("New".into(), collection(&[]))), "there is a collection New besides"),
        (
            |c| c.get_mut("Article").unwrap().tenants.get_mut("").unwrap().objects = Some(2999),
            "collection Article has 2999 objects, not 3000",
        ),
        (
            |c| c.get_mut("Article").unwrap().tenants.get_mut("").unwrap().objects = None,
            "collection Article cannot be counted, and has 3000 objects",
        ),
        (
            |c| drop(c.get_mut("Chunk").unwrap().tenants.remove("beta")),
            "tenant beta of collection Chunk is missing",
        ),
        (
            |c| drop(c.get_mut("Chunk").unwrap().tenants.insert("x".into(), tenant(None, "COLD"))),
            "there is a tenant x of collection Chunk besides",
        ),
        (
            |c| c.get_mut("Chunk").unwrap().tenants.get_mut("alpha").unwrap().objects = Some(99),
            "tenant alpha of collection Chunk has 99 objects, not 100",
        ),
        (
            |c| c.get_mut("Chunk").unwrap().tenants.get_mut("cold").unwrap().status = Some("HOT".into()),
            "tenant cold of collection Chunk is HOT, not COLD",
        ),
        (
            |c| c.get_mut("Empty").unwrap().tenants.get_mut("").unwrap().objects = Some(1),
            "collection Empty has 1 objects, not 0",
        ),
    ];
    assert_eq!(differences(&collections(), &collections()), Vec::<String>::new());
    for (change, expected) in rows {
        let mut seen = collections();
        change(&mut seen);
        assert_eq!(differences(&collections(), &seen), [expected]);
        let error = compare(&some(), &Seen { collections: seen, aliases: Vec::new() }).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let alias = Alias { alias: "Current".into(), class: "Article".into() };
    let seen = Seen { collections: collections(), aliases: vec![alias.clone()] };
    let error = compare(&some(), &seen).expect_err("an alias too many");
    assert!(error.to_string().contains("alias Current of collection Article is there besides"), "{error}");
    compare(&Manifest { aliases: vec![(&alias).into()], ..some() }, &seen).expect("the control");
}

#[test]
fn of_a_backup_without_a_manifest_the_names_are_compared() {
    let named = collections().into_keys().map(|name| (name, collection(&[]))).collect();
    let bare = Manifest { unverified: true, collections: named, ..some() };
    let seen = |collections| Seen { collections, aliases: Vec::new() };
    compare(&bare, &seen(collections())).expect("how much each holds, nobody said");
    let mut fewer = collections();
    fewer.remove("Chunk");
    let error = compare(&bare, &seen(fewer)).expect_err("one is missing").to_string();
    assert!(
        error.contains("descriptor of full-1") && error.contains("collection Chunk is missing"),
        "{error}"
    );
}

#[test]
fn versions_are_read_where_they_stand() {
    assert_eq!(release("1.39.0-rc.1"), Some((1, 39)));
    assert_eq!(release("latest"), None);
    for (version, expected) in [("1.23.13", (1, 23, 13)), ("1.24", (1, 24, 0)), ("v1.39.0-rc.1", (1, 39, 0))]
    {
        assert_eq!(crate::weaviate::descriptor::patch(version), Some(expected), "{version}");
    }
    for (image, expected) in [
        ("cr.weaviate.io/semitechnologies/weaviate:1.39.0", Some("1.39.0")),
        ("weaviate:1.39.0@sha256:00", Some("1.39.0")),
        ("weaviate@sha256:00", None),
        ("10.0.8.10:5000/weaviate", None),
        ("weaviate:latest", None),
    ] {
        assert_eq!(tagged(image), expected, "{image}");
    }
}
