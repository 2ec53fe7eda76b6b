//! An owner who writes again: a backup, or once more what it had kept.

use axum::http::Method;

use super::tests::{KEY, SOON, full_1, in_the_bucket, object, ours, pointer, taken_by};
use super::*;
use crate::store::Condition;
use crate::store::fake::{FakeS3, Trouble, etag};

fn full_2() -> Manifest {
    let objects = vec![object("prod/full-2/backup_config.json")];
    Manifest {
        backup_id: Some("full-2".into()),
        path: Some("prod/full-2".into()),
        chain: vec!["full-2".into()],
        checksum: Some(checksum(&objects)),
        objects,
        ..ours(full_1())
    }
}

#[test]
fn an_owner_who_publishes_again_has_a_decision_for_every_case() {
    let own = pointer(ours(full_1()));
    let renewed = pointer(Manifest { renewed: 1, ..ours(full_1()) });
    let another_of_ours = Manifest { backup_id: Some("full-3".into()), ..ours(full_1()) };
    let rows = [
        (Some(own.clone()), Decision::Write(Condition::IfMatch(own.etag.clone()))),
        // The answer was lost.
        (Some(pointer(full_2())), Decision::Owned { etag: pointer(full_2()).etag, generation: 5 }),
        (
            Some(pointer(taken_by("i-thief", 6))),
            Decision::Lost { owner: "i-thief".to_owned(), generation: 6 },
        ),
        // An earlier run of this same instance is another owner.
        (
            Some(pointer(Manifest { nonce: Some("earlier".into()), ..ours(full_1()) })),
            Decision::Lost { owner: "i-new".to_owned(), generation: 5 },
        ),
        (Some(pointer(another_of_ours)), Decision::Moved { generation: 5, backup: "full-3".to_owned() }),
        (None, Decision::Vanished),
    ];
    for (now, expected) in rows {
        assert_eq!(decide_again(&own, now.as_ref(), &full_2()), expected, "{now:?}");
    }
    // What names nothing new is written all the same, and known by its other bytes.
    let rows = [
        (&own, Decision::Write(Condition::IfMatch(own.etag.clone()))),
        (&renewed, Decision::Owned { etag: renewed.etag.clone(), generation: 5 }),
        (&pointer(full_2()), Decision::Moved { generation: 5, backup: "full-2".to_owned() }),
    ];
    for (now, expected) in rows {
        assert_eq!(decide_again(&own, Some(now), &renewed.manifest), expected, "{now:?}");
    }
}

/// A bucket with our own manifest, whose first conditional write meets this.
async fn in_trouble(trouble: Option<&Trouble>) -> (FakeS3, Pointer) {
    let fake = FakeS3::start().await;
    let own = pointer(ours(full_1()));
    fake.put(KEY, serde_json::to_vec(&own.manifest).expect("json"));
    if let Some(trouble) = trouble {
        for _ in 0..2 {
            fake.trouble(Method::PUT, ".manifest.json.tmp", Trouble::Meanwhile("x".into(), vec![]));
        }
        fake.trouble(Method::PUT, "manifest.json", trouble.clone());
    }
    (fake, own)
}

#[tokio::test]
async fn what_was_kept_is_written_once_more_and_whoever_read_it_before_cannot_take_it() {
    for trouble in [None, Some(Trouble::Lie(500, "InternalError")), Some(Trouble::Refuse(503, "SlowDown"))] {
        let (fake, own) = in_trouble(trouble.as_ref()).await;
        let store = fake.store("prod");
        let done = renew(&store, &own, SOON).await.expect("still ours");
        assert_eq!((done.generation, &done.etag), (5, &etag(&fake.get(KEY).expect("there"))), "{trouble:?}");
        assert_ne!(done.etag, own.etag, "{trouble:?}");
        assert_eq!(in_the_bucket(&fake)["renewed"], 1, "{trouble:?}");
        // A successor that read it before.
        let thief = Claim { instance_id: "i-thief".to_owned(), nonce: "theirs".to_owned() };
        let next = Manifest { nonce: Some(thief.nonce.clone()), ..taken_by("i-thief", 6) };
        let held = Held::Pointer(Box::new(own));
        let error = publish(&store, KEY, &held, &next, &thief, SOON).await.expect_err("too late");
        assert!(matches!(error, ManifestError::Moved { generation: 5, .. }), "{error:?}");
        assert_eq!(in_the_bucket(&fake)["owner"], "i-new", "{trouble:?}");
        let now = read(&store, KEY, "acme", "n").await.expect("reads").expect("there");
        let held = Held::Pointer(Box::new(now));
        publish(&store, KEY, &held, &next, &thief, SOON).await.expect("the control: it was read again");
    }
}

#[tokio::test]
async fn what_was_kept_is_not_shown_where_another_took_it() {
    let fake = FakeS3::start().await;
    let (store, own) = (fake.store("prod"), pointer(ours(full_1())));
    let thief = serde_json::to_vec(&taken_by("i-thief", 6)).expect("json");
    fake.put(KEY, thief.clone());
    let error = renew(&store, &own, SOON).await.expect_err("another's");
    assert!(matches!(&error, ManifestError::Lost { owner, .. } if owner == "i-thief"), "{error:?}");
    assert_eq!(fake.get(KEY), Some(thief), "must not be overwritten");
    fake.remove(KEY);
    let error = renew(&store, &own, SOON).await.expect_err("gone");
    assert!(matches!(error, ManifestError::Vanished { .. }), "{error:?}");
    assert_eq!(fake.get(KEY), None);
}

#[tokio::test]
async fn publishing_again_survives_lost_answers_and_never_overwrites_another() {
    for trouble in [None, Some(Trouble::Lie(500, "InternalError")), Some(Trouble::Refuse(503, "SlowDown"))] {
        let (fake, own) = in_trouble(trouble.as_ref()).await;
        let store = fake.store("prod");
        let done = publish_again(&store, &own, &full_2(), SOON).await.expect("published");
        assert_eq!((done.generation, done.etag), (5, etag(&fake.get(KEY).expect("there"))), "{trouble:?}");
        assert_eq!(in_the_bucket(&fake)["backup_id"], "full-2", "{trouble:?}");
    }
    let fake = FakeS3::start().await;
    let thief = serde_json::to_vec(&taken_by("i-thief", 6)).expect("json");
    fake.put(KEY, thief.clone());
    let (store, own) = (fake.store("prod"), pointer(ours(full_1())));
    let error = publish_again(&store, &own, &full_2(), SOON).await.expect_err("lost");
    assert!(matches!(&error, ManifestError::Lost { owner, .. } if owner == "i-thief"), "{error}");
    assert_eq!(fake.get(KEY), Some(thief));
}
