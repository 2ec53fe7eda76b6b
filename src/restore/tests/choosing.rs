//! What is chosen from what lies in a bucket, and that denied is never empty.

use axum::http::Method;

use super::super::choose::{Plan, choose};
use super::super::elsewhere::{Elsewhere, Share};
use super::super::error::RestoreError;
use super::super::settings::Source;
use super::*;
use crate::explain::{Class, Explain as _};
use crate::manifest::{Held, ManifestError, Origin};
use crate::store::StoreError;
use crate::store::fake::Trouble;

fn allow_empty() -> Wish {
    Wish { allow_empty: true, ..wish() }
}

fn allow_unverified() -> Wish {
    Wish { unverified: Unverified::Allow, ..wish() }
}

/// Why nothing that was found may be used: said to the step that knows the volume.
async fn refusal(store: &crate::store::Store, wish: &Wish) -> RestoreError {
    choose(store, None, wish).await.expect("looks").refusal.expect("refuses")
}

#[tokio::test]
async fn the_manifest_is_followed_and_nothing_else_is_looked_for() {
    let fake = FakeS3::start().await;
    let objects = upload(&fake, &["full-1"]);
    publish(&fake, POINTER, &manifest(&["full-1"], objects));
    let choice = choose(&fake.store("prod"), None, &wish()).await.expect("chosen");
    assert_eq!(choice.plan, Plan::UsePointer);
    assert!(matches!(&choice.held, Held::Pointer(p) if p.manifest.generation == 4));
    assert_eq!(fake.calls(), [format!("GET {POINTER}")]);
}

#[tokio::test]
async fn without_a_manifest_the_newest_copy_is_followed() {
    let fake = FakeS3::start().await;
    let objects = upload(&fake, &["full-1"]);
    let newer = Manifest { owner: None, nonce: None, ..manifest(&["full-1"], objects.clone()) };
    let mut older =
        Manifest { generation: 9, completed: Some("2026-11-20T00:00:00Z".into()), ..newer.clone() };
    older.other.insert("mark".into(), "older".into());
    publish(&fake, "prod/manifests/a.json", &older);
    publish(&fake, "prod/manifests/full-1.json", &newer);
    let choice = choose(&fake.store("prod"), None, &wish()).await.expect("chosen");
    assert_eq!((choice.plan, choice.held), (Plan::UseCopy, Held::Nothing));
    assert_eq!(choice.manifest, newer);
    // The newest of all, which leaves out what the pointer was not to lose.
    let partial = Manifest {
        completed: Some("2999-01-01T00:00:00Z".into()),
        held_back: Some("it leaves out Chunk".into()),
        ..newer.clone()
    };
    publish(&fake, "prod/manifests/z.json", &partial);
    assert_eq!(choose(&fake.store("prod"), None, &wish()).await.expect("chosen").manifest, newer);
    let named = Manifest { held_back: None, ..partial };
    publish(&fake, "prod/manifests/z.json", &named);
    assert_eq!(
        choose(&fake.store("prod"), None, &wish()).await.expect("chosen").manifest,
        named,
        "the control"
    );
    fake.remove("prod/manifests/z.json");
    // A copy that cannot be read is not passed over: the older one would lose data in silence.
    fake.put("prod/manifests/full-1.json", b"{".to_vec());
    let error = choose(&fake.store("prod"), None, &wish()).await.expect_err("half");
    assert!(error.to_string().contains("prod/manifests/full-1.json is malformed"), "{error}");
}

#[tokio::test]
async fn denied_unreachable_and_malformed_are_never_empty() {
    type Expected = fn(&RestoreError) -> bool;
    let denied: Expected = |e| {
        matches!(
            e,
            RestoreError::Store(StoreError::Denied { .. })
                | RestoreError::Manifest(ManifestError::Store(StoreError::Denied { .. }))
        )
    };
    let rows: [(&str, Trouble, Expected, Class); 5] = [
        ("manifest.json", Trouble::Refuse(403, "AccessDenied"), denied, Class::Final),
        ("manifests", Trouble::Refuse(403, "AccessDenied"), denied, Class::Final),
        ("delimiter", Trouble::Refuse(403, "AccessDenied"), denied, Class::Final),
        (
            "manifest.json",
            Trouble::Refuse(503, "SlowDown"),
            |e| matches!(e, RestoreError::Manifest(ManifestError::Store(StoreError::Unreachable { .. }))),
            Class::Retry,
        ),
        (
            "manifest.json",
            Trouble::Refuse(404, "NoSuchBucket"),
            |e| matches!(e, RestoreError::Manifest(ManifestError::Store(StoreError::NoBucket { .. }))),
            Class::Final,
        ),
    ];
    for (key, trouble, expected, class) in rows {
        let fake = FakeS3::start().await;
        fake.trouble(Method::GET, key, trouble.clone());
        let error = choose(&fake.store("prod"), None, &allow_empty()).await.expect_err(key);
        assert!(expected(&error), "{key} {trouble:?}: {error:?}");
        assert_eq!(error.class(), class, "{key}");
        assert!(error.to_string().contains("backups"), "the bucket is named: {error}");
    }
    let fake = FakeS3::start().await;
    let choice = choose(&fake.store("prod"), None, &allow_empty()).await.expect("the control");
    assert_eq!(choice.plan, Plan::StartEmpty { after: None });
}

#[tokio::test]
async fn empty_needs_permission_and_an_interface_that_never_had_data() {
    let fake = FakeS3::start().await;
    let store = fake.store("prod");
    let refused = refusal(&store, &wish()).await;
    assert!(matches!(refused, RestoreError::EmptyNotAllowed { .. }), "{refused:?}");
    let tagged = Wish { initialized: true, ..allow_empty() };
    let refused = refusal(&store, &tagged).await;
    assert!(refused.to_string().contains("eni-1 is tagged weaviate:initialized"), "{refused}");
    assert!(refused.remedy().contains("weaviate:initialized"));
    // Its predecessor started empty too, and made no backup.
    let mut before = manifest(&["full-1"], Vec::new());
    before.backup_id = None;
    before.collections.clear();
    publish(&fake, POINTER, &before);
    let choice = choose(&store, None, &allow_empty()).await.expect("allowed");
    assert_eq!(choice.plan, Plan::StartEmpty { after: Some(4) });
    // The refusal waits for the volume: this may be a reboot of that very node.
    let choice = choose(&store, None, &wish()).await.expect("deferred");
    assert!(matches!(choice.refusal, Some(RestoreError::EmptyNotAllowed { .. })));
}

#[tokio::test]
async fn a_backup_without_checksums_needs_permission_and_must_be_whole() {
    let fake = FakeS3::start().await;
    upload(&fake, &["full-1", "incr-1"]);
    fake.put("prod/full-1/restore_config.json", b"{}".to_vec());
    let store = fake.store("prod");
    let refused = refusal(&store, &wish()).await;
    assert!(refused.to_string().contains("prod/incr-1/backup_config.json has no manifest"), "{refused}");
    let choice = choose(&store, None, &allow_unverified()).await.expect("allowed");
    assert_eq!(choice.plan, Plan::UseUnverified);
    assert_eq!(choice.manifest.chain, ["full-1", "incr-1"]);
    assert!(choice.manifest.unverified && choice.manifest.objects.len() == 16);
    choice.manifest.check("backups", "x", "acme", "weaviate-0").expect("what we make, we can read");
    // A chunk of the newest is missing: the one before is whole.
    fake.remove("prod/incr-1/weaviate-0/Article/chunk-1");
    let choice = choose(&store, None, &allow_unverified()).await.expect("the older one");
    assert_eq!(choice.manifest.backup_id.as_deref(), Some("full-1"));
    // The descriptor's own list of collections is what can be compared.
    let named: Vec<&String> = choice.manifest.collections.keys().collect();
    assert_eq!(named, ["Article", "Chunk", "Empty"]);
    // And a chunk of the base: none is.
    fake.remove("prod/full-1/weaviate-0/Article/chunk-2");
    let refused = refusal(&store, &Wish { allow_empty: true, ..allow_unverified() }).await;
    assert!(matches!(&refused, RestoreError::NoneUsable { why, .. } if why.contains("chunk")), "{refused:?}");
}

#[tokio::test]
async fn another_nodes_or_a_newer_servers_backup_is_refused() {
    let fake = FakeS3::start().await;
    let objects = upload(&fake, &["full-1"]);
    let store = fake.store("prod");
    let other = Wish { node: "weaviate-1".to_owned(), ..allow_unverified() };
    let refused = choose(&store, None, &other).await.expect_err("of another node");
    assert_eq!(refused.to_string(), "the backup full-1 is of node weaviate-0, not of \"weaviate-1\"");
    let of_two = br#"{"id":"full-1","status":"SUCCESS","version":"2.1","completedAt":"2026-11-21T02:30:17Z",
        "nodes":{"weaviate-0":{"status":"SUCCESS"},"weaviate-1":{"status":"SUCCESS"}}}"#;
    fake.put("prod/full-1/backup_config.json", of_two.to_vec());
    let refused = choose(&store, None, &allow_unverified()).await.expect_err("of two nodes");
    assert!(refused.to_string().contains("of nodes weaviate-0, weaviate-1"), "{refused}");

    publish(&fake, POINTER, &manifest(&["full-1"], objects));
    for (image, allowed) in
        [(Some("1.38.11"), false), (Some("1.39.7"), true), (Some("1.40.0"), true), (None, true)]
    {
        let wish = Wish { image: image.map(str::to_owned), ..wish() };
        let choice = choose(&store, None, &wish).await;
        assert_eq!(choice.is_ok(), allowed, "{image:?}");
        if let Err(error) = choice {
            assert_eq!(error.remedy(), "Set `weaviate.image` to 1.39.0 or later.");
        }
    }
}

/// A backup of the other environment, below `live/`.
fn publish_elsewhere(fake: &FakeS3, change: impl FnOnce(&mut Manifest)) -> Manifest {
    let mut objects = upload(fake, &["full-1"]);
    for object in &mut objects {
        object.key = object.key.replacen("prod/", "live/", 1);
    }
    // Its own prefix holds nothing of this node's.
    for object in &objects {
        fake.remove(&object.key.replacen("live/", "prod/", 1));
    }
    let mut other = Manifest {
        deployment: "acme-live".to_owned(),
        path: Some("live/full-1".to_owned()),
        ..manifest(&["full-1"], objects)
    };
    change(&mut other);
    publish(fake, ELSEWHERE, &other);
    other
}

const ELSEWHERE: &str = "live/latest_weaviate_backup.manifest.json";

#[tokio::test]
async fn another_environments_backup_is_chosen_only_without_one_of_its_own() {
    let fake = FakeS3::start().await;
    let (store, wish) = (fake.store("prod"), Wish { from: Some(source()), ..allow_empty() });
    let elsewhere = Elsewhere::new(fake.store("live"), source());
    let refused = choose(&store, Some(&elsewhere), &wish).await.expect("looks");
    assert!(matches!(refused.refusal, Some(RestoreError::NoSource { .. })), "{refused:?}");
    let other = publish_elsewhere(&fake, |_| ());
    let choice = choose(&store, Some(&elsewhere), &wish).await.expect("chosen");
    assert_eq!((choice.plan.clone(), &choice.manifest), (of_source(None), &other));
    assert!(choice.refusal.is_none() && choice.held == Held::Nothing);
    assert_eq!(elsewhere.origin(&other, &Share::default()).expect("a backup").backup_id, "full-1");
    // Without a manifest its newest copy.
    fake.remove(ELSEWHERE);
    publish(&fake, "live/manifests/full-1.json", &Manifest { owner: None, nonce: None, ..other.clone() });
    let choice = choose(&store, Some(&elsewhere), &wish).await.expect("chosen");
    assert_eq!(choice.plan, of_source(None));
    // One of its own: the other is not even asked for.
    let objects = upload(&fake, &["full-1"]);
    publish(&fake, POINTER, &manifest(&["full-1"], objects));
    fake.trouble(Method::GET, "live", Trouble::Refuse(403, "AccessDenied"));
    let choice = choose(&store, Some(&elsewhere), &wish).await.expect("its own");
    assert_eq!(choice.plan, Plan::UsePointer);
}

fn of_source(after: Option<u64>) -> Plan {
    let share = Share::of(&source(), &manifest(&["full-1"], Vec::new()).collections).expect("all of it");
    Plan::UseSource { from: source().to_string(), share, after }
}

#[tokio::test]
async fn what_is_not_taken_of_another_environments_backup_is_not_in_what_is_restored() {
    let fake = FakeS3::start().await;
    let store = fake.store("prod");
    let of = |include: &[&str], exclude: &[&str]| {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Source { include: list(include), exclude: list(exclude), ..source() }
    };
    let other = publish_elsewhere(&fake, |m| {
        let names = ["Article", "Chunk", "Empty"].map(|name| (name.to_owned(), <_>::default()));
        m.collections = names.into();
    });
    let choose_of = async |source: Source, wish: Wish| {
        let elsewhere = Elsewhere::new(fake.store("live"), source.clone());
        choose(&store, Some(&elsewhere), &Wish { from: Some(source), ..wish }).await.expect("looks")
    };
    let choice = choose_of(of(&["A*", "Empty"], &[]), wish()).await;
    assert_eq!(
        choice.plan.to_string(),
        "restore the latest of s3://backups/live (deployment acme-live, node weaviate-0) without Chunk"
    );
    assert!(choice.manifest.collections.keys().eq(["Article", "Empty"]));
    let keys = |manifest: &Manifest, class: &str| {
        manifest.objects.iter().filter(|object| object.key.contains(&format!("/{class}/"))).count()
    };
    assert!(
        keys(&other, "Chunk") > 0 && keys(&choice.manifest, "Chunk") == 0,
        "the control is in the source"
    );
    assert_eq!(keys(&choice.manifest, "Article"), keys(&other, "Article"));
    let all = choose_of(of(&["*"], &["Scratch"]), wish()).await;
    assert_eq!(all.manifest, other, "nothing is left out");
    // What is refused waits for the volume: the data may lie there.
    for (source, sentence) in [
        (
            of(&["Chunks"], &[]),
            "has no collection Chunks, which `restore.from.include` names: it has Article, Chunk",
        ),
        (of(&[], &["*"]), "`restore.from` leaves nothing of the backup full-1 of s3://backups/live"),
    ] {
        let refusal = choose_of(source, allow_empty()).await.refusal.expect("refused");
        assert!(refusal.to_string().contains(sentence), "{refusal}");
        assert_eq!(refusal.class(), Class::Final);
    }
}

#[tokio::test]
async fn a_source_that_is_another_denied_or_newer_is_said_and_waits_for_the_volume_where_one_was_taken() {
    type Change = fn(&mut Manifest);
    type Expected = fn(&RestoreError) -> bool;
    let foreign: Expected = |e| matches!(e, RestoreError::Manifest(ManifestError::Foreign { .. }));
    let malformed: Expected = |e| matches!(e, RestoreError::Manifest(ManifestError::Malformed { .. }));
    let newer: Expected = |e| matches!(e, RestoreError::NewerServer { .. });
    let rows: [(Change, Expected); 4] = [
        (|m| m.deployment = "acme-staging".to_owned(), foreign),
        (|m| m.node = "weaviate-1".to_owned(), foreign),
        (|m| m.path = None, malformed),
        (|m| m.server.version = "1.40.0".to_owned(), newer),
    ];
    for (change, expected) in rows {
        let fake = FakeS3::start().await;
        let (store, wish) = (fake.store("prod"), Wish { from: Some(source()), ..wish() });
        let elsewhere = Elsewhere::new(fake.store("live"), source());
        publish_elsewhere(&fake, change);
        let error = match choose(&store, Some(&elsewhere), &wish).await {
            Ok(choice) => choice.refusal.expect("refused"),
            Err(error) => error,
        };
        assert!(expected(&error), "{error:?}");
        // This prefix was taken over before, and it may be a reboot: the volume's record decides first.
        let mut before = manifest(&["full-1"], Vec::new());
        (before.backup_id, before.from) = (None, Some(Origin::default()));
        publish(&fake, POINTER, &before);
        let choice = choose(&store, Some(&elsewhere), &wish).await.expect("deferred");
        assert!(choice.refusal.as_ref().is_some_and(expected), "{:?}", choice.refusal);
    }
}
