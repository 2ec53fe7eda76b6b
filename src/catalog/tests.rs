//! What a bucket is worth, what stays of it, and what is read and removed, against an S3 on loopback.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::http::Method;
use jiff::Timestamp;

use super::*;
use crate::explain::{Class, Explain as _};
use crate::manifest::{self, Manifest, Object, checksum};
use crate::restore::Lease;
use crate::store::fake::{FakeS3, Trouble, etag};
use crate::store::{Limits, Listed, StoreError};
use crate::tests::make::object;

const NOW: &str = "2026-03-31T12:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// A backup with one chunk, built on those before it in `chain`.
fn backup(chain: &[&str], completed: &str) -> (Manifest, Vec<(String, Vec<u8>)>) {
    let id = chain.last().expect("itself");
    let file = |of: &str, name: &str| (format!("prod/{of}/{name}"), format!("{of}'s {name}").into_bytes());
    let mut files: Vec<_> = chain.iter().map(|link| file(link, "n/A/chunk-1")).collect();
    files.push(file(id, "backup_config.json"));
    files.sort();
    let objects: Vec<Object> = files.iter().map(|(key, bytes)| object(key, bytes)).collect();
    let manifest = Manifest {
        schema: 1,
        deployment: "acme".to_owned(),
        node: "n".to_owned(),
        generation: 4,
        backup_id: Some((*id).to_owned()),
        path: Some(format!("prod/{id}")),
        completed: Some(completed.to_owned()),
        chain: chain.iter().map(|link| (*link).to_owned()).collect(),
        checksum: Some(checksum(&objects)),
        objects,
        ..Manifest::default()
    };
    (manifest, files)
}

struct Bucket {
    fake: FakeS3,
}

impl Bucket {
    async fn new() -> Self {
        Self { fake: FakeS3::start().await }
    }

    /// The backup and its copy.
    fn has(&self, chain: &[&str], completed: &str) -> Manifest {
        let (manifest, files) = backup(chain, completed);
        for (key, bytes) in files {
            self.fake.put(&key, bytes);
        }
        self.copies(&manifest);
        manifest
    }

    fn copies(&self, manifest: &Manifest) {
        let id = manifest.backup_id.as_deref().expect("an id");
        let bytes = serde_json::to_vec(manifest).expect("json");
        self.fake.put(&format!("prod/{}/{id}.json", manifest::COPIES), bytes);
    }

    fn names(&self, manifest: &Manifest) {
        let bytes = serde_json::to_vec(manifest).expect("json");
        self.fake.put(&format!("prod/{}", manifest::NAME), bytes);
    }

    async fn rows(&self) -> Vec<Row> {
        let (store, status) = (self.fake.store("prod"), Status::default());
        weigh(&look(&scope(&store, &status), at(NOW)).await.expect("looked at"))
    }

    async fn prune(&self, keep: Keep, apply: bool) -> Result<BTreeMap<String, Reason>, CatalogError> {
        let (store, status) = (self.fake.store("prod"), Status::default());
        let pruned = prune(&scope(&store, &status), &store, "i-own", &keep, at(NOW), apply).await?;
        Ok(pruned.verdicts.into_iter().map(|verdict| (verdict.id, verdict.reason)).collect())
    }

    async fn verify(&self, id: Option<&str>, deep: bool) -> Result<Checked, CatalogError> {
        let (store, status) = (self.fake.store("prod"), Status::default());
        let quick = Limits { tries: 2, pause: Duration::from_millis(1), ..Limits::new(4) };
        verify(&scope(&store, &status), id, deep.then_some(quick)).await
    }

    async fn left(&self) -> BTreeSet<String> {
        self.fake.store("prod").list("prod/").await.expect("listed").into_iter().map(|o| o.key).collect()
    }
}

const fn scope<'a>(store: &'a Store, status: &'a Status) -> Scope<'a> {
    Scope::new(store, "acme", "n", status)
}

const fn keep(last: usize, daily: usize, weekly: usize) -> Keep {
    Keep { last, daily, weekly }
}

#[tokio::test]
async fn each_backup_is_what_the_bucket_says_of_it() {
    let bucket = Bucket::new().await;
    bucket.has(&["full"], "2026-03-01T00:00:00Z");
    let more = bucket.has(&["full", "more"], "2026-03-02T00:00:00Z");
    bucket.names(&more);
    // One whose chunk was replaced, one whose chunk is gone, one that is another node's, one without a copy, one that
    // the server never finished, one that failed.
    bucket.has(&["changed"], "2026-03-03T00:00:00Z");
    bucket.fake.put("prod/changed/n/A/chunk-1", "other bytes, same key");
    bucket.has(&["gone"], "2026-03-04T00:00:00Z");
    bucket.fake.remove("prod/gone/n/A/chunk-1");
    let foreign = Manifest { node: "m".to_owned(), ..bucket.has(&["foreign"], "2026-03-05T00:00:00Z") };
    bucket.copies(&foreign);
    let whole = r#"{"id":"alone","status":"SUCCESS","nodes":{"n":{"status":"SUCCESS"}},"completedAt":"2026-03-06T00:00:00Z"}"#;
    bucket.fake.put("prod/alone/backup_config.json", whole);
    bucket.fake.put("prod/unfinished/n/A/chunk-1", "x");
    bucket.fake.put("prod/failed/backup_config.json", r#"{"id":"failed","status":"FAILED","error":"full"}"#);
    bucket.fake.put("prod/odd/backup_config.json", "no JSON");
    let held = Manifest {
        held_back: Some("it leaves out B".to_owned()),
        ..bucket.has(&["held"], "2026-03-07T00:00:00Z")
    };
    bucket.copies(&held);
    let rows = bucket.rows().await;
    let seen: Vec<(&str, Standing, &[String])> =
        rows.iter().map(|row| (row.id.as_str(), row.standing, row.wrong.as_slice())).collect();
    insta::assert_debug_snapshot!(seen);
    let latest: Vec<&str> = rows.iter().filter(|row| row.latest).map(|row| row.id.as_str()).collect();
    assert_eq!(latest, ["more"]);
    assert!(rows.iter().find(|row| row.id == "held").is_some_and(|row| row.held_back.is_some()));
    // What is named and has no copy is there too; and a store that does not answer is no empty one.
    bucket.fake.remove("prod/manifests/more.json");
    assert!(bucket.rows().await.iter().any(|row| row.latest && row.standing == Standing::Whole));
    bucket.fake.trouble(Method::GET, "manifests/full.json", Trouble::Refuse(403, "AccessDenied"));
    let store = bucket.fake.store("prod");
    let error = look(&scope(&store, &Status::default()), at(NOW)).await.expect_err("denied");
    assert!(matches!(error, CatalogError::Store(StoreError::Denied { .. })), "{error}");
}

#[tokio::test]
async fn what_nobody_needs_goes_and_nothing_else() {
    let bucket = Bucket::new().await;
    bucket.has(&["f1"], "2026-01-01T00:00:00Z");
    bucket.has(&["f1", "i1"], "2026-01-02T00:00:00Z");
    bucket.has(&["f2"], "2026-02-01T00:00:00Z");
    bucket.has(&["f2", "i2"], "2026-02-02T00:00:00Z");
    bucket.has(&["f2", "i3"], "2026-02-03T00:00:00Z");
    let latest = bucket.has(&["f2", "i4"], "2026-02-04T00:00:00Z");
    bucket.fake.put("prod/somebody/else", "x");
    bucket.fake.put("prod/reports/i-1-boot.json", "{}");
    // Nobody says which is the latest.
    let error = bucket.prune(keep(2, 0, 0), true).await.expect_err("refused");
    assert!(matches!(error, CatalogError::NoneNamed { .. }), "{error}");
    bucket.names(&latest);
    let before = bucket.left().await;
    let said = bucket.prune(keep(2, 0, 0), false).await.expect("decided");
    assert_eq!(bucket.left().await, before, "nothing was removed");
    let going: Vec<&str> = said.iter().filter(|(_, why)| why.goes()).map(|(id, _)| id.as_str()).collect();
    assert_eq!(going, ["f1", "i1", "i2"]);
    assert!(matches!(&said["f2"], Reason::BaseOf(_)));
    assert_eq!(said["somebody"], Reason::NotOurs);
    // A booting node restores i1: it stays, and so does what it is built on. Its lease ends.
    let lease = |until: &str| Lease {
        instance_id: "i-boots".to_owned(),
        chain: vec!["f1".to_owned(), "i1".to_owned()],
        until: at(until),
    };
    let write = |lease: &Lease| {
        bucket.fake.put("prod/reports/leases/i-boots.json", serde_json::to_vec(lease).expect("json"));
    };
    write(&lease("2026-03-31T12:00:01Z"));
    // The one that asks has restored what it leased.
    let own = Lease {
        instance_id: "i-own".to_owned(),
        chain: vec!["i2".to_owned()],
        until: at("2027-01-01T00:00:00Z"),
    };
    bucket.fake.put("prod/reports/leases/i-own.json", serde_json::to_vec(&own).expect("json"));
    let said = bucket.prune(keep(2, 0, 0), true).await.expect("pruned");
    assert_eq!(said["i1"], Reason::Leased("i-boots".to_owned()));
    assert_eq!(said["f1"], Reason::Leased("i-boots".to_owned()));
    let left = bucket.left().await;
    assert!(left.contains("prod/i1/n/A/chunk-1") && !left.iter().any(|key| key.contains("i2")), "{left:?}");
    write(&lease(NOW));
    bucket.prune(keep(2, 0, 0), true).await.expect("pruned");
    let folders: BTreeSet<String> =
        bucket.left().await.iter().filter_map(|key| key.split('/').nth(1).map(str::to_owned)).collect();
    let expected = ["f2", "i3", "i4", manifest::NAME, "manifests", "reports", "somebody"];
    assert_eq!(folders, expected.map(str::to_owned).into());
    // Those that stay are whole.
    for id in ["i3", "i4", "f2"] {
        bucket.verify(Some(id), true).await.expect("whole");
    }
    // A lease that cannot be read may hold anything.
    bucket.fake.put("prod/reports/leases/i-odd.json", "no JSON");
    let error = bucket.prune(keep(2, 0, 0), true).await.expect_err("refused");
    assert!(matches!(error, CatalogError::Lease { .. }), "{error}");
}

#[tokio::test]
async fn a_prune_that_was_killed_is_ended_by_the_next_one() {
    let bucket = Bucket::new().await;
    for (id, time) in
        [("a", "2026-01-01T00:00:00Z"), ("b", "2026-01-02T00:00:00Z"), ("c", "2026-01-03T00:00:00Z")]
    {
        let manifest = bucket.has(&[id], time);
        bucket.names(&manifest);
    }
    bucket.fake.trouble(Method::DELETE, "prod/a/n/A/chunk-1", Trouble::Refuse(403, "AccessDenied"));
    let error = bucket.prune(keep(2, 0, 0), true).await.expect_err("denied");
    assert!(matches!(error, CatalogError::Store(StoreError::Denied { .. })), "{error}");
    assert!(bucket.left().await.contains("prod/manifests/a.json"), "it is known still");
    let said = bucket.prune(keep(2, 0, 0), true).await.expect("pruned");
    assert!(said["a"].goes());
    assert!(!bucket.left().await.iter().any(|key| key.contains("/a")), "{:?}", bucket.left().await);
}

#[tokio::test]
async fn nothing_is_removed_while_the_latest_is_not_whole() {
    let bucket = Bucket::new().await;
    bucket.has(&["a"], "2026-01-01T00:00:00Z");
    bucket.has(&["b"], "2026-01-02T00:00:00Z");
    let latest = bucket.has(&["c"], "2026-01-03T00:00:00Z");
    bucket.names(&latest);
    bucket.fake.remove("prod/c/n/A/chunk-1");
    let before = bucket.left().await;
    let error = bucket.prune(keep(2, 0, 0), true).await.expect_err("refused");
    assert!(matches!(&error, CatalogError::LatestNotWhole { id, .. } if id == "c"), "{error}");
    assert_eq!((error.class(), bucket.left().await), (Class::Final, before));
}

#[tokio::test]
async fn a_backup_is_proven_by_its_listing_or_by_its_bytes() {
    let bucket = Bucket::new().await;
    bucket.has(&["full"], "2026-01-01T00:00:00Z");
    let more = bucket.has(&["full", "more"], "2026-01-02T00:00:00Z");
    let error = bucket.verify(None, false).await.expect_err("nothing is named");
    assert!(matches!(error, CatalogError::NoneNamed { .. }), "{error}");
    bucket.names(&more);
    for deep in [false, true] {
        let checked = bucket.verify(None, deep).await.expect("whole");
        assert_eq!((checked.id.as_str(), checked.files, checked.deep), ("more", 3, deep));
    }
    // The body that ends early is asked for again; other bytes of the same length and ETag are seen by the deep one.
    bucket.fake.trouble(Method::GET, "full/n/A/chunk-1", Trouble::Cut(3));
    bucket.verify(Some("more"), true).await.expect("whole");
    let flipped = Manifest {
        objects: more.objects.iter().map(|o| Object { sha256: "0".repeat(64), ..o.clone() }).collect(),
        ..more.clone()
    };
    bucket.names(&Manifest { checksum: Some(checksum(&flipped.objects)), ..flipped });
    bucket.verify(None, false).await.expect("as listed");
    let error = bucket.verify(None, true).await.expect_err("other bytes");
    assert!(matches!(&error, CatalogError::Damaged { wrong, .. } if wrong.len() == 3), "{error}");
    // What is missing is named; what is unknown, no id, or without checksums too.
    bucket.fake.remove("prod/full/n/A/chunk-1");
    let error = bucket.verify(Some("full"), false).await.expect_err("gone");
    assert!(error.to_string().contains("prod/full/n/A/chunk-1 is missing"), "{error}");
    bucket.fake.put("prod/alone/backup_config.json", "{}");
    let rows: [(&str, Is); 3] = [
        ("nobody", |e| matches!(e, CatalogError::Unknown { .. })),
        ("../x", |e| matches!(e, CatalogError::Unknown { .. })),
        ("alone", |e| matches!(e, CatalogError::NoManifest { .. })),
    ];
    for (id, expected) in rows {
        let error = bucket.verify(Some(id), false).await.expect_err(id);
        assert!(expected(&error), "{id}: {error}");
    }
}

#[tokio::test]
async fn a_backup_without_a_manifest_gets_one() {
    let bucket = Bucket::new().await;
    let adopt = async |id: &str| {
        let (store, status) = (bucket.fake.store("prod"), Status::default());
        let quick = Limits { tries: 2, pause: Duration::from_millis(1), ..Limits::new(4) };
        super::adopt(&scope(&store, &status), &store, id, quick).await
    };
    let global = |id: &str, base: &str| {
        format!(
            r#"{{"id":"{id}","status":"SUCCESS","nodes":{{"n":{{"status":"SUCCESS","classes":["A"]}}}},
                "baseBackupId":"{base}","serverVersion":"1.39.0","completedAt":"2026-03-06T00:00:00Z"}}"#
        )
    };
    let node = |id: &str| {
        format!(r#"{{"id":"{id}","status":"SUCCESS","classes":[{{"name":"A","chunks":{{"1":["s"]}}}}]}}"#)
    };
    for (id, base) in [("alone", ""), ("more", "alone")] {
        bucket.fake.put(&format!("prod/{id}/backup_config.json"), global(id, base));
        bucket.fake.put(&format!("prod/{id}/n/backup.json"), node(id));
        bucket.fake.put(&format!("prod/{id}/n/A/chunk-1"), format!("{id}'s bytes"));
    }
    assert!(matches!(bucket.verify(Some("more"), false).await, Err(CatalogError::NoManifest { .. })));
    let adopted = adopt("more").await.expect("adopted");
    assert_eq!((adopted.files, adopted.known, adopted.named), (6, false, false));
    bucket.verify(Some("more"), true).await.expect("proven");
    let rows = bucket.rows().await;
    let of = |id: &str| rows.iter().find(|row| row.id == id).expect("there").standing;
    assert_eq!((of("more"), of("alone")), (Standing::Whole, Standing::WithoutManifest));
    assert!(adopt("more").await.expect("known").known);
    // The plain form: the full one takes its place. One that names another is left as it is.
    let plain = r#"{"backup_id": "more", "path": "prod/more"}"#;
    bucket.fake.put(&format!("prod/{}", manifest::NAME), plain);
    let error = adopt("alone").await.expect_err("named is another");
    assert!(matches!(&error, CatalogError::NamesAnother { named, .. } if named == "more"), "{error}");
    assert!(adopt("more").await.expect("known").named);
    bucket.verify(None, true).await.expect("the manifest names it");
    // It changes while it is read, a chunk is missing, the base is missing, or there is none.
    bucket.fake.put("prod/late/backup_config.json", global("late", ""));
    bucket.fake.put("prod/late/n/backup.json", node("late"));
    bucket.fake.put("prod/late/n/A/chunk-1", "before");
    let meanwhile = Trouble::Meanwhile("prod/late/n/A/chunk-1".to_owned(), b"after!".to_vec());
    bucket.fake.trouble(Method::GET, "late/n/A/chunk-1", meanwhile);
    let error = adopt("late").await.expect_err("it changed");
    assert!(matches!(error, CatalogError::Damaged { .. }), "{error}");
    bucket.fake.remove("prod/late/n/A/chunk-1");
    bucket.fake.put("prod/orphan/backup_config.json", global("orphan", "nobody"));
    for id in ["late", "orphan"] {
        let error = adopt(id).await.expect_err(id);
        assert!(matches!(error, CatalogError::NotWhole { .. }), "{error}");
    }
    for id in ["nobody", "../x"] {
        assert!(matches!(adopt(id).await, Err(CatalogError::Unknown { .. })), "{id}");
    }
}

#[tokio::test]
async fn what_an_old_server_left_out_is_named_when_its_backup_is_adopted() {
    let bucket = Bucket::new().await;
    let state =
        r#"{"partitioningEnabled":true,"physical":{"alpha":{"status":"HOT"},"beta":{"status":"COLD"}}}"#;
    let state = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, state);
    for (id, version) in [("old", "1.36.23"), ("new", "1.39.0")] {
        bucket.fake.put(
            &format!("prod/{id}/backup_config.json"),
            format!(
                r#"{{"id":"{id}","status":"SUCCESS","serverVersion":"{version}","completedAt":"2026-03-06T00:00:00Z",
                    "nodes":{{"n":{{"status":"SUCCESS","classes":["A"]}}}}}}"#
            ),
        );
        bucket.fake.put(
            &format!("prod/{id}/n/backup.json"),
            format!(
                r#"{{"id":"{id}","status":"SUCCESS","classes":[{{"name":"A","chunks":{{"1":["alpha"]}},
                    "shards":[{{"name":"alpha"}}],"shardingState":"{state}"}}]}}"#
            ),
        );
        bucket.fake.put(&format!("prod/{id}/n/A/chunk-1"), "bytes");
        let (store, status) = (bucket.fake.store("prod"), Status::default());
        let adopted = adopt(&scope(&store, &status), &store, id, Limits::new(4)).await.expect("adopted");
        // 1.39 takes inactive ones: one without a shard was never active.
        let expected: manifest::Unprotected =
            if id == "old" { [("A".to_owned(), ["beta".to_owned()].into())].into() } else { [].into() };
        assert_eq!(adopted.unprotected, expected, "{id}");
        let row = bucket.rows().await.into_iter().find(|row| row.id == id).expect("listed");
        assert_eq!((row.standing, row.unprotected), (Standing::Whole, expected), "{id}");
    }
}

/// Whether an error is the one that is meant.
type Is = fn(&CatalogError) -> bool;

#[test]
fn what_is_listed_is_compared_with_what_was_sent() {
    let (manifest, files) = backup(&["full"], NOW);
    let listed = |change: &dyn Fn(&mut Listed)| -> Vec<Listed> {
        files
            .iter()
            .map(|(key, bytes)| {
                let mut listed =
                    Listed { key: key.clone(), size: bytes.len() as u64, etag: etag(bytes), modified: 0 };
                change(&mut listed);
                listed
            })
            .collect()
    };
    let wrong = |listed: &[Listed]| {
        weigh::differences(&manifest, &listed.iter().map(|object| (object.key.as_str(), object)).collect())
    };
    assert!(wrong(&listed(&|_| {})).is_empty());
    // A store that lists no ETags.
    assert!(wrong(&listed(&|object| object.etag.clear())).is_empty());
    assert_eq!(wrong(&listed(&|object| object.size += 1)).len(), 2);
    assert_eq!(wrong(&listed(&|object| object.etag = "other".to_owned())).len(), 2);
    assert_eq!(wrong(&[]).len(), 2);
}
