//! Ranges, conditions and errors against a fake S3 that misbehaves on demand.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::Method;

use super::fake::{FakeS3, Trouble, etag, sha256};
use super::*;
use crate::config::SecretReference;
use crate::explain::{Class, Explain as _};
use crate::tests::make::noise;

const QUICK: Limits = Limits {
    connections: 4,
    first: 4,
    range: 1 << 20,
    stall: Duration::from_millis(200),
    answer: Duration::from_secs(2),
    tries: 3,
    pause: Duration::from_millis(5),
};

pub(super) fn tree(directory: &tempfile::TempDir) -> Tree {
    let owner = Owner { uid: nix::unistd::getuid().as_raw(), gid: nix::unistd::getgid().as_raw() };
    Tree::open(directory.path(), owner).expect("opens")
}

fn wanted(key: &str, bytes: &[u8]) -> Wanted {
    Wanted {
        key: key.to_owned(),
        size: bytes.len() as u64,
        sha256: Some(sha256(bytes)),
        etag: None,
        path: PathBuf::from(key.trim_start_matches("prod/")),
    }
}

async fn run(fake: &FakeS3, directory: &tempfile::TempDir, wanted: &[Wanted]) -> Result<u64, StoreError> {
    let moved = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&moved);
    let told = move |n| {
        count.fetch_add(n, Ordering::Relaxed);
    };
    fetch(&fake.store("prod"), &tree(directory), wanted, QUICK, told).await?;
    Ok(moved.load(Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_arrives_in_ranges_under_its_name() {
    let (fake, directory) = (FakeS3::start().await, tempfile::tempdir().expect("a directory"));
    let (big, small, empty) = (noise(3_500_000), noise(100), Vec::new());
    let mut all = Vec::new();
    for (key, bytes) in
        [("prod/full-1/n/A/chunk-1", &big), ("prod/full-1/n/A/chunk-2", &small), ("prod/e", &empty)]
    {
        fake.put(key, bytes.clone());
        all.push(wanted(key, bytes));
    }
    let moved = run(&fake, &directory, &all).await.expect("arrives");
    assert_eq!(moved, 3_500_100);
    assert_eq!(std::fs::read(directory.path().join("full-1/n/A/chunk-1")).expect("there"), big);
    assert_eq!(std::fs::read(directory.path().join("full-1/n/A/chunk-2")).expect("there"), small);
    assert_eq!(std::fs::read(directory.path().join("e")).expect("there"), empty);
    let ranges = fake.calls().iter().filter(|c| c.contains("chunk-1 bytes=")).count();
    assert_eq!(ranges, 4, "{:?}", fake.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_on_the_way_is_survived_and_a_cut_body_goes_on_at_its_byte() {
    let bytes = noise(900_000);
    let rows = [
        (Trouble::Refuse(503, "SlowDown"), "bytes=0-899999"),
        (Trouble::Refuse(500, "InternalError"), "bytes=0-899999"),
        // A proxy's, without a word of the store's.
        (Trouble::Refuse(429, ""), "bytes=0-899999"),
        (Trouble::Refuse(408, ""), "bytes=0-899999"),
        (Trouble::Cut(600_000), "bytes=600000-899999"),
        (Trouble::Stall(300_000), "bytes=300000-899999"),
        (Trouble::Cut(0), "bytes=0-899999"),
    ];
    for (trouble, second) in rows {
        let (fake, directory) = (FakeS3::start().await, tempfile::tempdir().expect("a directory"));
        fake.put("prod/x", bytes.clone());
        fake.trouble(Method::GET, "prod/x", trouble.clone());
        run(&fake, &directory, &[wanted("prod/x", &bytes)]).await.expect("arrives");
        assert_eq!(std::fs::read(directory.path().join("x")).expect("there"), bytes, "{trouble:?}");
        assert!(fake.calls()[1].ends_with(second), "{trouble:?}: {:?}", fake.calls());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_told_apart_and_named() {
    type Expected = fn(&StoreError) -> bool;
    type Row = (&'static str, Vec<u8>, Option<Trouble>, Class, Expected);
    let bytes = noise(500_000);
    let mut flipped = bytes.clone();
    flipped[123_456] ^= 1;
    let rows: [Row; 7] = [
        ("refused", bytes.clone(), Some(Trouble::Refuse(400, "InvalidRequest")), Class::Final, |e| {
            matches!(e, StoreError::Refused { .. })
        }),
        ("denied", bytes.clone(), Some(Trouble::Refuse(403, "AccessDenied")), Class::Final, |e| {
            matches!(e, StoreError::Denied { .. })
        }),
        ("absent", bytes.clone(), Some(Trouble::Refuse(404, "NoSuchKey")), Class::Final, |e| {
            matches!(e, StoreError::Absent { .. })
        }),
        (
            "flipped",
            flipped,
            None,
            Class::Final,
            |e| matches!(e, StoreError::Corrupt { what, .. } if what.contains("SHA-256")),
        ),
        (
            "shorter",
            bytes[..400_000].to_vec(),
            None,
            Class::Final,
            |e| matches!(e, StoreError::Corrupt { what, .. } if what.contains("400000 bytes, not the 500000")),
        ),
        ("longer", noise(600_000), None, Class::Final, |e| matches!(e, StoreError::Corrupt { .. })),
        ("empty", Vec::new(), None, Class::Final, |e| matches!(e, StoreError::Corrupt { .. })),
    ];
    for (name, stored, trouble, class, expected) in rows {
        let (fake, directory) = (FakeS3::start().await, tempfile::tempdir().expect("a directory"));
        fake.put("prod/full-1/x", stored);
        if let Some(trouble) = trouble {
            fake.trouble(Method::GET, "prod/full-1/x", trouble);
        }
        let error = run(&fake, &directory, &[wanted("prod/full-1/x", &bytes)]).await.expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
        assert_eq!(error.class(), class, "{name}");
        assert!(error.to_string().contains("s3://backups/prod/full-1/x"), "{error}");
        assert!(!directory.path().join("full-1/x").exists(), "{name}: must not get its name");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_never_comes_is_given_up() {
    let (fake, directory) = (FakeS3::start().await, tempfile::tempdir().expect("a directory"));
    let bytes = noise(1000);
    fake.put("prod/x", bytes.clone());
    for _ in 0..QUICK.tries {
        fake.trouble(Method::GET, "prod/x", Trouble::Refuse(503, "SlowDown"));
    }
    let error = run(&fake, &directory, &[wanted("prod/x", &bytes)]).await.expect_err("three in vain");
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Retry);
    // A store that answers, and whose bodies never begin.
    for _ in 0..QUICK.tries {
        fake.trouble(Method::GET, "prod/x", Trouble::Stall(0));
    }
    let error = run(&fake, &directory, &[wanted("prod/x", &bytes)]).await.expect_err("three stall");
    assert!(matches!(error, StoreError::Interrupted { at: 0, .. }), "{error:?}");
    assert_eq!(error.class(), Class::Retry);
    // The control: one fewer, and it arrives.
    let (fake, directory) = (FakeS3::start().await, tempfile::tempdir().expect("a directory"));
    fake.put("prod/x", bytes.clone());
    for _ in 1..QUICK.tries {
        fake.trouble(Method::GET, "prod/x", Trouble::Refuse(503, "SlowDown"));
    }
    run(&fake, &directory, &[wanted("prod/x", &bytes)]).await.expect("the third comes");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_ranges_are_asked_for_at_a_time_as_are_allowed() {
    let (fake, directory) = (FakeS3::start().await, tempfile::tempdir().expect("a directory"));
    // Two objects of four ranges each: `restore.connections` is shared by all of them.
    let bytes = noise(4 << 20);
    let all = ["prod/x", "prod/y"].map(|key| {
        fake.put(key, bytes.clone());
        wanted(key, &bytes)
    });
    // None is answered before as many as are allowed have asked.
    fake.answers_in_groups_of(QUICK.connections);
    run(&fake, &directory, &all).await.expect("arrives");
    assert_eq!(fake.most_at_a_time(), QUICK.connections);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_asks_only_for_what_is_missing() {
    let (fake, directory) = (FakeS3::start().await, tempfile::tempdir().expect("a directory"));
    let bytes = noise(4 << 20);
    fake.put("prod/x", bytes.clone());
    fake.trouble(Method::GET, "prod/x", Trouble::Refuse(403, "AccessDenied"));
    // A killed run: the second range is there, the others are not.
    let part = std::fs::File::create(directory.path().join("x.part")).expect("creates");
    part.set_len(bytes.len() as u64).expect("grows");
    std::os::unix::fs::FileExt::write_all_at(&part, &bytes[1 << 20..2 << 20], 1 << 20).expect("writes");
    drop(part);
    run(&fake, &directory, &[wanted("prod/x", &bytes)]).await.expect_err("denied once");
    fake.forget_calls();
    run(&fake, &directory, &[wanted("prod/x", &bytes)]).await.expect("the rest arrives");
    assert_eq!(std::fs::read(directory.path().join("x")).expect("there"), bytes);
    assert!(!fake.calls().iter().any(|c| c.contains("bytes=1048576-")), "{:?}", fake.calls());
    fake.forget_calls();
    let moved = run(&fake, &directory, &[wanted("prod/x", &bytes)]).await.expect("all is there");
    assert_eq!((fake.calls(), moved), (Vec::<String>::new(), 4 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_run_left_wrong_is_fetched_anew() {
    let (fake, directory) = (FakeS3::start().await, tempfile::tempdir().expect("a directory"));
    let bytes = noise(2 << 20);
    fake.put("prod/x", bytes.clone());
    let mut wrong = bytes.clone();
    wrong[5] ^= 1;
    for name in ["x", "x.part"] {
        std::fs::write(directory.path().join(name), &wrong).expect("writes");
    }
    run(&fake, &directory, &[wanted("prod/x", &bytes)]).await.expect("arrives");
    assert_eq!(std::fs::read(directory.path().join("x")).expect("there"), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_link_is_not_followed() {
    let (fake, directory) = (FakeS3::start().await, tempfile::tempdir().expect("a directory"));
    let outside = tempfile::tempdir().expect("a directory");
    let bytes = noise(100);
    fake.put("prod/full-1/x", bytes.clone());
    std::os::unix::fs::symlink(outside.path(), directory.path().join("full-1")).expect("links");
    let error = run(&fake, &directory, &[wanted("prod/full-1/x", &bytes)]).await.expect_err("a link");
    assert!(matches!(error, StoreError::Local { .. }), "{error:?}");
    assert_eq!(std::fs::read_dir(outside.path()).expect("reads").count(), 0);
    tree(&directory).remove(Path::new("full-1")).expect("the link goes, not what it leads to");
    run(&fake, &directory, &[wanted("prod/full-1/x", &bytes)]).await.expect("the control");
}

#[tokio::test]
async fn a_write_keeps_its_condition() {
    let fake = FakeS3::start().await;
    let store = fake.store("prod");
    let first = store.put("m", b"1".to_vec(), &Condition::IfAbsent).await.expect("there is none");
    assert_eq!(first, etag(b"1"));
    let again = store.put("m", b"2".to_vec(), &Condition::IfAbsent).await.expect_err("there is one");
    assert!(matches!(again, StoreError::Precondition { .. }), "{again:?}");
    store.put("m", b"2".to_vec(), &Condition::IfMatch(first.clone())).await.expect("unchanged");
    let stale = store.put("m", b"3".to_vec(), &Condition::IfMatch(first)).await.expect_err("changed");
    assert!(matches!(stale, StoreError::Precondition { .. }), "{stale:?}");
    fake.trouble(Method::PUT, "m", Trouble::Refuse(409, "ConditionalRequestConflict"));
    let conflict = store.put("m", b"3".to_vec(), &Condition::Always).await.expect_err("met another");
    assert!(matches!(conflict, StoreError::Conflict { .. }) && conflict.class() == Class::Retry);
    assert_eq!(fake.get("m").expect("there"), b"2");
}

#[tokio::test]
async fn listings_have_pages_and_folders() {
    let fake = FakeS3::start().await;
    fake.pages_of(2);
    for key in ["prod/a/1", "prod/a/2", "prod/a/3", "prod/b/1", "prod/m.json", "other/x"] {
        fake.put(key, b"1".to_vec());
    }
    let store = fake.store("prod");
    let keys: Vec<String> = store.list("prod/").await.expect("lists").into_iter().map(|o| o.key).collect();
    assert_eq!(keys, ["prod/a/1", "prod/a/2", "prod/a/3", "prod/b/1", "prod/m.json"]);
    let mut folders = store.folders("prod/").await.expect("lists");
    folders.dedup();
    assert_eq!(folders, ["a", "b"]);
}

#[tokio::test]
async fn denied_is_not_absent_and_both_name_the_object() {
    let fake = FakeS3::start().await;
    let store = fake.store("prod");
    let absent = store.get("prod/m").await.expect_err("none");
    assert_eq!(absent.to_string(), "there is no object s3://backups/prod/m");
    fake.trouble(Method::GET, "prod/m", Trouble::Refuse(403, "AccessDenied"));
    let denied = store.get("prod/m").await.expect_err("denied");
    assert_eq!(denied.to_string(), "s3:GetObject on s3://backups/prod/m is not allowed");
    assert!(denied.remedy().contains("s3:ListBucket"));
    fake.put("prod/m", b"1".to_vec());
    assert_eq!(store.get("prod/m").await.expect("the control").bytes, b"1"[..]);
}

#[tokio::test]
async fn keys_of_the_configuration_are_not_blamed_on_the_role() {
    let fake = FakeS3::start().await;
    let reference = |name: &str| SecretReference::Parameter { name: name.to_owned() };
    let keys = StaticCredentials { access_key: reference("/access"), secret_key: reference("/secret") };
    let settings = Settings { credentials: Some(keys), ..fake.settings("prod") };
    let (roles, keyed) = (fake.store("prod"), Store::new(&fake.store("prod").client, &settings));
    for _ in 0..2 {
        fake.trouble(Method::GET, "prod/m", Trouble::Refuse(403, "InvalidAccessKeyId"));
    }
    let error = keyed.get("prod/m").await.expect_err("not known");
    assert!(matches!(error, StoreError::Keys { .. }) && error.class() == Class::Final, "{error:?}");
    let error = roles.get("prod/m").await.expect_err("not known");
    assert!(matches!(error, StoreError::Unreachable { .. }) && error.class() == Class::Retry, "{error:?}");
}

#[tokio::test]
async fn half_a_listing_and_what_no_manifest_is_are_refused() {
    let fake = FakeS3::start().await;
    for n in 0..5 {
        fake.put(&format!("prod/{n}"), b"x".to_vec());
    }
    fake.pages_of(2);
    let store = fake.store("prod");
    assert_eq!(store.list("prod/").await.expect("whole").len(), 5);
    fake.loses_tokens();
    let error = store.list("prod/").await.expect_err("half");
    assert!(matches!(error, StoreError::HalfListed { .. }), "{error:?}");

    fake.put("prod/big", vec![0; 3 << 20]);
    store.get_at_most("prod/big", 3 << 20).await.expect("fits");
    let error = store.get_at_most("prod/big", 2 << 20).await.expect_err("too large");
    assert!(matches!(error, StoreError::TooLarge { mib: 3, most: 2, .. }), "{error:?}");
}
