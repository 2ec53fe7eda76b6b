//! What is believed of a manifest, and the fence against a fake S3: lost answers, conflicts, thieves.

use std::time::Duration;

use axum::http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::explain::{Class, Explain as _};
use crate::store::fake::{FakeS3, Trouble, etag};
use crate::store::{Condition, StoreError};

pub(super) const KEY: &str = "prod/latest_weaviate_backup.manifest.json";
pub(super) const SOON: Duration = Duration::from_secs(10);

pub(crate) fn object(key: &str) -> Object {
    Object {
        key: key.to_owned(),
        size: 7,
        sha256: "ab".repeat(32),
        etag: Some("e".to_owned()),
        version_id: None,
        other: serde_json::Map::new(),
    }
}

pub(crate) fn full_1() -> Manifest {
    let objects = vec![object("prod/full-1/backup_config.json"), object("prod/full-1/n/A/chunk-1")];
    Manifest {
        schema: 1,
        deployment: "acme".to_owned(),
        node: "n".to_owned(),
        generation: 4,
        owner: Some("i-old".to_owned()),
        nonce: Some("old".to_owned()),
        backup_id: Some("full-1".to_owned()),
        path: Some("prod/full-1".to_owned()),
        chain: vec!["full-1".to_owned()],
        checksum: Some(checksum(&objects)),
        objects,
        ..Manifest::default()
    }
}

pub(super) fn pointer(manifest: Manifest) -> Pointer {
    let etag = etag(&serde_json::to_vec(&manifest).expect("json"));
    Pointer { manifest, etag, key: KEY.to_owned() }
}

fn claim() -> Claim {
    Claim { instance_id: "i-new".to_owned(), nonce: "ours".to_owned() }
}

pub(super) fn ours(mut manifest: Manifest) -> Manifest {
    manifest.generation += 1;
    manifest.owner = Some("i-new".to_owned());
    manifest.nonce = Some("ours".to_owned());
    manifest
}

pub(super) fn taken_by(owner: &str, generation: u64) -> Manifest {
    Manifest { owner: Some(owner.to_owned()), nonce: Some(format!("of {owner}")), generation, ..full_1() }
}

#[test]
fn a_manifest_is_believed_only_if_every_word_fits() {
    type Spoil = fn(&mut Manifest);
    let rows: [(&str, Spoil); 14] = [
        ("another deployment", |m| m.deployment = "other".into()),
        ("another node", |m| m.node = "m".into()),
        ("an id with a dot", |m| m.backup_id = Some("full.1".into())),
        ("an id of ours", |m| m.backup_id = Some("manifests".into())),
        ("a chain that ends elsewhere", |m| m.chain.push("full-2".into())),
        ("a chain with a path in it", |m| m.chain.insert(0, "../x".into())),
        ("a path of another backup", |m| m.path = Some("prod/full-2".into())),
        ("no objects", |m| m.objects.clear()),
        ("unsorted objects", |m| m.objects.reverse()),
        ("an object outside", |m| m.objects[1].key = "prod/full-2/x".into()),
        ("an object that climbs out", |m| m.objects[1].key = "prod/full-1/../../etc/passwd".into()),
        ("an object without a hash", |m| m.objects[1].sha256.clear()),
        ("another size", |m| m.objects[1].size += 1),
        ("no checksum", |m| m.checksum = None),
    ];
    full_1().check("b", KEY, "acme", "n").expect("the control");
    for (name, spoil) in rows {
        let mut manifest = full_1();
        spoil(&mut manifest);
        let error = manifest.check("b", KEY, "acme", "n").expect_err(name);
        assert_eq!(error.class(), Class::Final, "{name}");
        assert!(error.to_string().contains("s3://b/prod/latest"), "{name}: {error}");
        let expected = match name {
            "another deployment" | "another node" => matches!(error, ManifestError::Foreign { .. }),
            "another size" => matches!(error, ManifestError::Checksum { .. }),
            _ => matches!(error, ManifestError::Malformed { .. } | ManifestError::Checksum { .. }),
        };
        assert!(expected, "{name}: {error:?}");
    }
}

#[test]
fn a_spoiled_list_is_refused_even_where_its_checksum_was_made_anew() {
    let mut manifest = full_1();
    manifest.objects[1].key = "prod/full-1/../x".to_owned();
    manifest.checksum = Some(checksum(&manifest.objects));
    assert!(matches!(manifest.check("b", KEY, "acme", "n"), Err(ManifestError::Malformed { .. })));
}

#[test]
fn an_unknown_schema_is_refused_and_unknown_fields_are_kept() {
    let mut value = serde_json::to_value(full_1()).expect("json");
    value["new field"] = json!({ "a": [1, 2] });
    value["collections"] =
        json!({ "A": { "tenants": { "": { "objects": 3, "status": "HOT", "more": 1 } }, "samples": null } });
    value["objects"][0]["storage class"] = json!("GLACIER");
    value["aliases"] = json!([{ "alias": "Current", "class": "A", "since": 7 }]);
    let manifest = Manifest::parse("b", KEY, value.to_string().as_bytes()).expect("parses");
    let again = serde_json::to_value(&manifest).expect("json");
    assert_eq!(again["new field"], value["new field"]);
    assert_eq!(again["collections"], value["collections"]);
    assert_eq!(again["objects"], value["objects"]);
    assert_eq!(again["aliases"], value["aliases"]);
    for schema in [json!(2), json!(0), json!(1.5)] {
        value["schema"] = schema;
        let error = Manifest::parse("b", KEY, value.to_string().as_bytes()).expect_err("another");
        assert!(matches!(error, ManifestError::Schema { .. }), "{error}");
    }
    for text in ["", "{", "{}", "[]", "{\"schema\":\"1\"}"] {
        let error = Manifest::parse("b", KEY, text.as_bytes()).expect_err(text);
        assert!(matches!(error, ManifestError::Malformed { .. }), "{text}: {error}");
    }
}

#[test]
fn an_empty_prefix_has_its_folders_at_the_top() {
    let mut manifest = full_1();
    manifest.path = Some("full-1".to_owned());
    for object in &mut manifest.objects {
        object.key = object.key.trim_start_matches("prod/").to_owned();
    }
    manifest.checksum = Some(checksum(&manifest.objects));
    manifest.check("b", KEY, "acme", "n").expect("fits");
    assert_eq!((manifest.root(), manifest.relative("full-1/n/x")), ("", "full-1/n/x"));
    assert_eq!((full_1().root(), full_1().relative("prod/full-1/n/x")), ("prod", "full-1/n/x"));
}

#[test]
fn the_fence_has_a_decision_for_every_case() {
    let held = || Held::Pointer(Box::new(pointer(full_1())));
    let moved = |m: &Manifest| Decision::Moved {
        generation: m.generation,
        backup: m.backup_id.clone().unwrap_or_else(|| "none".into()),
    };
    let next = Manifest { backup_id: Some("full-2".to_owned()), ..full_1() };
    let lost = Decision::Lost { owner: "i-thief".to_owned(), generation: 5 };
    let mine = pointer(ours(full_1()));
    let owned = Decision::Owned { etag: mine.etag.clone(), generation: 5 };
    let rows = [
        (Held::Nothing, None, Decision::Write(Condition::IfAbsent)),
        (held(), Some(pointer(full_1())), Decision::Write(Condition::IfMatch(pointer(full_1()).etag))),
        (held(), Some(mine.clone()), owned.clone()),
        (Held::Nothing, Some(mine), owned),
        (held(), Some(pointer(taken_by("i-thief", 5))), lost.clone()),
        (Held::Nothing, Some(pointer(taken_by("i-thief", 5))), lost),
        // The old owner's last backup: same generation, another pointer.
        (held(), Some(pointer(next.clone())), moved(&next)),
        // An earlier nonce of this same instance.
        (held(), Some(pointer(taken_by("i-new", 5))), moved(&taken_by("i-new", 5))),
        (held(), None, Decision::Vanished),
    ];
    for (held, now, expected) in &rows {
        assert_eq!(decide(held, now.as_ref(), &claim()), *expected, "{held:?} {now:?}");
    }
    crate::tests::rows::every_variant!(
        rows.map(|(.., expected)| expected),
        crate::manifest::Decision { Owned, Write, Lost, Moved, Vanished }
    );
}

async fn take(fake: &FakeS3, held: &Held) -> Result<Claimed, ManifestError> {
    publish(&fake.store("prod"), KEY, held, &ours(full_1()), &claim(), SOON).await
}

pub(super) fn in_the_bucket(fake: &FakeS3) -> Value {
    serde_json::from_slice(&fake.get(KEY).expect("there")).expect("json")
}

#[tokio::test]
async fn taking_over_survives_lost_answers_and_conflicts() {
    let bytes = serde_json::to_vec(&full_1()).expect("json");
    let rows = [
        None,
        Some(Trouble::Refuse(409, "ConditionalRequestConflict")),
        Some(Trouble::Refuse(503, "SlowDown")),
        // The write was done, and the answer says that it was not.
        Some(Trouble::Lie(500, "InternalError")),
        Some(Trouble::Lie(412, "PreconditionFailed")),
    ];
    for trouble in rows {
        let fake = FakeS3::start().await;
        fake.put(KEY, bytes.clone());
        if let Some(trouble) = &trouble {
            // The third PUT is the final key's; the first two are of the `.tmp`, which shows that conditions count.
            for _ in 0..2 {
                fake.trouble(Method::PUT, ".manifest.json.tmp", Trouble::Meanwhile("x".into(), vec![]));
            }
            fake.trouble(Method::PUT, "manifest.json", trouble.clone());
        }
        let held = Held::Pointer(Box::new(pointer(full_1())));
        let claimed = take(&fake, &held).await.unwrap_or_else(|e| panic!("{trouble:?}: {e}"));
        assert_eq!(claimed.generation, 5, "{trouble:?}");
        assert_eq!(claimed.etag, etag(&fake.get(KEY).expect("there")), "{trouble:?}");
        assert_eq!(in_the_bucket(&fake)["owner"], "i-new", "{trouble:?}");
        let own = format!("PUT {KEY}");
        let tried = fake.calls().iter().filter(|call| **call == own).count();
        let wanted = if matches!(trouble, Some(Trouble::Refuse(..))) { 2 } else { 1 };
        assert_eq!(tried, wanted, "{trouble:?}: the trouble is the final key's");
        assert!(fake.calls().iter().position(|c| c.contains(".json.tmp")) < Some(2), "{:?}", fake.calls());
    }
}

/// The owner's next backup.
#[tokio::test]
async fn what_is_not_stored_as_it_was_sent_is_not_published() {
    let fake = FakeS3::start().await;
    let temporary = format!("{KEY}.tmp");
    fake.trouble(Method::GET, &temporary, Trouble::Meanwhile(temporary.clone(), b"another's".to_vec()));
    let error = take(&fake, &Held::Nothing).await.expect_err("it reads back otherwise");
    assert!(matches!(&error, ManifestError::ReadBack { key, .. } if *key == temporary), "{error:?}");
    assert_eq!((error.class(), fake.get(KEY)), (Class::Retry, None));
    take(&fake, &Held::Nothing).await.expect("the control");
}

#[tokio::test]
async fn a_store_that_always_has_a_conflict_is_given_up_at_the_deadline() {
    let fake = FakeS3::start().await;
    let store = fake.store("prod");
    let publish = async |deadline| {
        fake.trouble(Method::PUT, KEY, Trouble::Refuse(409, "ConditionalRequestConflict"));
        publish(&store, KEY, &Held::Nothing, &ours(full_1()), &claim(), deadline).await
    };
    let error = publish(Duration::ZERO).await.expect_err("no second try");
    assert!(matches!(&error, ManifestError::Deadline { key, .. } if key == KEY), "{error:?}");
    assert_eq!((error.class(), fake.get(KEY)), (Class::Retry, None));
    publish(SOON).await.expect("the control: the second try takes it");
}

#[tokio::test]
async fn who_loses_the_fence_does_not_write() {
    type Expected = fn(&ManifestError) -> bool;
    let rows: [(Manifest, Expected, Class); 2] = [
        (
            taken_by("i-thief", 5),
            |e| matches!(e, ManifestError::Lost { owner, .. } if owner == "i-thief"),
            Class::Final,
        ),
        (
            Manifest { backup_id: Some("full-2".into()), chain: vec!["full-2".into()], ..full_1() },
            |e| matches!(e, ManifestError::Moved { backup, .. } if backup == "full-2"),
            Class::Retry,
        ),
    ];
    for (mut other, expected, class) in rows {
        if other.backup_id.as_deref() == Some("full-2") {
            other.path = Some("prod/full-2".to_owned());
            for object in &mut other.objects {
                object.key = object.key.replace("full-1", "full-2");
            }
            other.checksum = Some(checksum(&other.objects));
        }
        let fake = FakeS3::start().await;
        fake.put(KEY, serde_json::to_vec(&full_1()).expect("json"));
        let bytes = serde_json::to_vec(&other).expect("json");
        fake.trouble(Method::PUT, ".tmp", Trouble::Meanwhile(KEY.to_owned(), bytes.clone()));
        let error =
            take(&fake, &Held::Pointer(Box::new(pointer(full_1())))).await.expect_err("somebody else wrote");
        assert!(expected(&error), "{error:?}");
        assert_eq!(error.class(), class);
        assert_eq!(fake.get(KEY).expect("there"), bytes, "must not be overwritten");
    }
}

#[tokio::test]
async fn the_very_first_is_taken_only_if_there_is_none() {
    let fake = FakeS3::start().await;
    take(&fake, &Held::Nothing).await.expect("there is none");
    assert_eq!(in_the_bucket(&fake)["generation"], 5);
    let fake = FakeS3::start().await;
    fake.put(KEY, serde_json::to_vec(&taken_by("i-thief", 1)).expect("json"));
    let error = take(&fake, &Held::Nothing).await.expect_err("there is one");
    assert!(matches!(error, ManifestError::Lost { .. }), "{error:?}");
    fake.remove(KEY);
    let error = take(&fake, &Held::Pointer(Box::new(pointer(full_1())))).await.expect_err("gone");
    assert!(matches!(error, ManifestError::Vanished { .. }), "{error:?}");
    assert_eq!(fake.get(KEY), None);
}

#[tokio::test]
async fn only_a_missing_manifest_is_none() {
    let fake = FakeS3::start().await;
    let store = fake.store("prod");
    assert_eq!(read(&store, KEY, "acme", "n").await.expect("absent"), None);
    fake.trouble(Method::GET, KEY, Trouble::Refuse(403, "AccessDenied"));
    let denied = read(&store, KEY, "acme", "n").await.expect_err("denied");
    assert!(matches!(&denied, ManifestError::Store(StoreError::Denied { .. })), "{denied:?}");
    fake.put(KEY, b"{".to_vec());
    let malformed = read(&store, KEY, "acme", "n").await.expect_err("half");
    assert!(matches!(malformed, ManifestError::Malformed { .. }), "{malformed:?}");
    fake.put(KEY, serde_json::to_vec(&full_1()).expect("json"));
    let foreign = read(&store, KEY, "acme", "weaviate-1").await.expect_err("another node's");
    assert!(foreign.to_string().contains("node \"n\" of deployment \"acme\""), "{foreign}");
    let found = read(&store, KEY, "acme", "n").await.expect("the control").expect("there");
    assert_eq!(found.manifest, full_1());
}

proptest! {
    /// Whatever a key looks like, it is followed only if it stays below a folder of the chain.
    #[test]
    fn no_key_leads_out_of_the_chain(key in "[a-z./\\\\-]{0,24}") {
        let mut manifest = full_1();
        manifest.objects = vec![object(&format!("prod/{key}"))];
        manifest.checksum = Some(checksum(&manifest.objects));
        if manifest.check("b", KEY, "acme", "n").is_ok() {
            let path = std::path::Path::new(manifest.relative(&manifest.objects[0].key)).to_owned();
            prop_assert!(path.starts_with("full-1"));
            prop_assert!(path.components().all(|c| matches!(c, std::path::Component::Normal(_))));
        }
    }
}

#[tokio::test]
async fn a_store_without_conditions_is_found_out_before_the_fence_depends_on_it() {
    let fake = FakeS3::start().await;
    let store = fake.store("prod");
    let publish = || async { publish(&store, KEY, &Held::Nothing, &ours(full_1()), &claim(), SOON).await };
    fake.forgets_conditions();
    let error = publish().await.expect_err("it overwrites");
    assert!(matches!(&error, ManifestError::Store(StoreError::Unconditional { .. })), "{error:?}");
    assert_eq!(fake.get(KEY), None, "the manifest itself was not touched");
    publish_control().await;
}

#[tokio::test]
async fn a_store_without_conditions_is_taken_where_that_is_allowed_and_compared_here() {
    let fake = FakeS3::start().await;
    fake.forgets_conditions();
    let store = fake.unfenced("prod");
    publish(&store, KEY, &Held::Nothing, &ours(full_1()), &claim(), SOON).await.expect("taken");
    let own = read(&store, KEY, "acme", "n").await.expect("reads").expect("there");
    // Who comes later has read something else, and overwrites nothing.
    let thief = Claim { instance_id: "i-thief".to_owned(), nonce: "theirs".to_owned() };
    let next = Manifest { nonce: Some(thief.nonce.clone()), ..taken_by("i-thief", 6) };
    let error = publish(&store, KEY, &Held::Nothing, &next, &thief, SOON).await.expect_err("there is one");
    assert!(matches!(&error, ManifestError::Lost { .. }), "{error:?}");
    assert_eq!(in_the_bucket(&fake)["owner"], "i-new");
    publish_again(&store, &own, &full_1_again(&own), SOON).await.expect("its owner goes on");
}

fn full_1_again(own: &Pointer) -> Manifest {
    Manifest { backup_id: Some("full-3".into()), ..own.manifest.clone() }
}

/// The same store, honouring conditions.
async fn publish_control() {
    let fake = FakeS3::start().await;
    publish(&fake.store("prod"), KEY, &Held::Nothing, &ours(full_1()), &claim(), SOON).await.expect("taken");
}

#[test]
fn who_is_unprotected_is_named_in_few_words() {
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let none: super::Unprotected = [("A".to_owned(), of(&[]))].into();
    assert_eq!((super::listed(&none), super::listed(&super::Unprotected::new())), (None, None));
    let some = [("A".to_owned(), of(&["b"])), ("B".to_owned(), of(&["1", "2", "3", "4", "5", "6"]))].into();
    let expected = "1 of collection A (b), 6 of collection B (1, 2, 3, 4, 5, \u{2026})";
    assert_eq!(super::listed(&some).as_deref(), Some(expected));
}
