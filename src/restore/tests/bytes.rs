//! The bytes on their way: flipped, cut short, too many, of another node.

use std::os::unix::fs::MetadataExt as _;

use super::super::direct::compare;
use super::super::error::RestoreError;
use super::super::serve::put_times_back;
use super::super::stage::{Place, bring};
use super::*;
use crate::report::Status;
use crate::store::{Limits, Owner, StoreError, Tree};
use crate::weaviate::descriptor::Node;

struct Bench {
    fake: FakeS3,
    mount: tempfile::TempDir,
    /// Bytes of old data that go before the restore: enough for any test, however full this machine's disk is.
    goes: u64,
}

impl Bench {
    async fn new() -> Self {
        Self { fake: FakeS3::start().await, mount: tempfile::tempdir().expect("a directory"), goes: 1 << 40 }
    }

    async fn bring(&self, node: &str, manifest: Manifest) -> Result<Manifest, RestoreError> {
        let owner = Owner { uid: nix::unistd::getuid().as_raw(), gid: nix::unistd::getgid().as_raw() };
        let tree = Tree::open(self.mount.path(), owner)?;
        let (store, status) = (self.fake.store("prod"), Status::default());
        let place = Place {
            backups: &tree,
            mount: self.mount.path(),
            node,
            goes: self.goes,
            limits: Limits::new(8),
            only: None,
        };
        bring(&store, place, manifest, &status).await
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_lies_as_the_server_left_it() {
    let bench = Bench::new().await;
    let objects = upload(&bench.fake, &["full-1", "incr-1"]);
    // An earlier restore's result lies in the volume; another machine's in the bucket.
    let stale = bench.mount.path().join("full-1/restore_config.json");
    std::fs::create_dir_all(stale.parent().expect("a parent")).expect("makes");
    std::fs::write(&stale, b"{}").expect("writes");
    // And what was staged for another restore takes its room.
    let other = bench.mount.path().join("full-0/weaviate-0/chunk-1.part");
    std::fs::create_dir_all(other.parent().expect("a parent")).expect("makes");
    std::fs::write(&other, b"old").expect("writes");
    let wanted = manifest(&["full-1", "incr-1"], objects);
    let staged = bench.bring("weaviate-0", wanted.clone()).await.expect("arrives");
    assert_eq!(staged, wanted);
    assert!(!stale.exists() && !bench.mount.path().join("full-0").exists());
    for id in ["full-1", "incr-1"] {
        let mut found = Vec::new();
        files(&recorded(id), &mut found);
        for path in found {
            let below = path.strip_prefix(recorded(id)).expect("below");
            assert_eq!(read(&bench.mount.path().join(id).join(below)), read(&path), "{below:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_refused_by_its_key() {
    let bench = Bench::new().await;
    let objects = upload(&bench.fake, &["full-1"]);
    let key = "prod/full-1/weaviate-0/Article/chunk-2";
    let mut bytes = bench.fake.get(key).expect("there");
    bytes[1000] ^= 4;
    bench.fake.put(key, bytes);
    let error = bench.bring("weaviate-0", manifest(&["full-1"], objects)).await.expect_err("flipped");
    assert!(
        matches!(&error, RestoreError::Store(StoreError::Corrupt { key: k, .. }) if k == key),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_of_the_descriptor_is_a_flipped_bit_and_not_what_it_says_then() {
    let bench = Bench::new().await;
    let objects = upload(&bench.fake, &["full-1"]);
    let key = "prod/full-1/backup_config.json";
    let text = String::from_utf8(bench.fake.get(key).expect("there")).expect("text");
    for (said, altered) in [("weaviate-0", "weaviate-1"), ("15711121", "95711121"), ("{", "[")] {
        bench.fake.put(key, text.replacen(said, altered, 1));
        let error =
            bench.bring("weaviate-0", manifest(&["full-1"], objects.clone())).await.expect_err(altered);
        let corrupt = matches!(&error, RestoreError::Store(StoreError::Corrupt { key: k, .. }) if k == key);
        assert!(corrupt, "{altered}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_nodes_backup_is_refused_even_with_a_manifest() {
    let bench = Bench::new().await;
    let objects = upload(&bench.fake, &["full-1"]);
    let error = bench.bring("weaviate-9", manifest(&["full-1"], objects)).await.expect_err("not its node");
    assert!(matches!(error, RestoreError::OtherNode { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_descriptor_that_arrives_whole_and_says_nothing_is_refused() {
    let bench = Bench::new().await;
    let mut objects = upload(&bench.fake, &["full-1"]);
    let key = "prod/full-1/backup_config.json";
    let at = objects.iter().position(|o| o.key == key).expect("listed");
    for text in ["{", "{}", "[]"] {
        (objects[at].size, objects[at].sha256) = (text.len() as u64, sha256(text.as_bytes()));
        bench.fake.put(key, text);
        let error = bench.bring("weaviate-0", manifest(&["full-1"], objects.clone())).await.expect_err(text);
        let named = matches!(&error, RestoreError::Descriptor { key: found, .. } if found == key);
        assert!(named, "{text}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_fits_is_refused_before_the_disk_is_full() {
    let mut bench = Bench::new().await;
    let mut objects = upload(&bench.fake, &["full-1"]);
    let key = "prod/full-1/backup_config.json";
    let text = String::from_utf8(bench.fake.get(key).expect("there")).expect("text");
    let bytes = text.replace("15711121", "1571112100000000").into_bytes();
    let at = objects.iter().position(|o| o.key == key).expect("listed");
    (objects[at].size, objects[at].sha256) = (bytes.len() as u64, sha256(&bytes));
    bench.fake.put(key, bytes);
    let wanted = manifest(&["full-1"], objects);
    let error = bench.bring("weaviate-0", wanted.clone()).await.expect_err("too big");
    assert!(matches!(error, RestoreError::NoSpace { .. }), "{error:?}");
    // Old data as large as that would make room.
    bench.goes = 1_571_112_100_000_000 + (1 << 50);
    bench.bring("weaviate-0", wanted).await.expect("fits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_without_checksums_gets_those_of_its_bytes() {
    let bench = Bench::new().await;
    let objects = upload(&bench.fake, &["full-1"]);
    let right = manifest(&["full-1"], objects);
    let mut bare = Manifest { unverified: true, ..right.clone() };
    for object in &mut bare.objects {
        object.sha256.clear();
    }
    bare.checksum = Some(checksum(&bare.objects));
    let staged = bench.bring("weaviate-0", bare).await.expect("arrives");
    assert_eq!((staged.objects, staged.checksum), (right.objects, right.checksum));
    assert!(staged.unverified);
}

#[tokio::test]
async fn for_direct_sizes_and_etags_are_compared() {
    let fake = FakeS3::start().await;
    let objects = upload(&fake, &["full-1"]);
    let manifest = manifest(&["full-1"], objects);
    let store = fake.store("prod");
    compare(&store, &manifest).await.expect("as it was");
    let key = "prod/full-1/weaviate-0/Chunk/chunk-1";
    let whole = fake.get(key).expect("there");
    let mut flipped = whole.clone();
    flipped[7] ^= 1;
    for (stored, word) in
        [(Some(whole[1..].to_vec()), "the size"), (Some(flipped), "the ETag"), (None, "no object")]
    {
        stored.map_or_else(|| fake.remove(key), |bytes| fake.put(key, bytes));
        let error = compare(&store, &manifest).await.expect_err(word);
        assert!(error.to_string().contains(word) && error.to_string().contains(key), "{error}");
        assert_eq!(matches!(error, RestoreError::Changed { .. }), word != "no object", "{error:?}");
    }
}

#[test]
fn times_of_big_files_are_put_back_and_links_are_not_followed() {
    let node: Node =
        serde_json::from_slice(&read(&recorded("full-1").join("weaviate-0/backup.json"))).expect("reads");
    let data = tempfile::tempdir().expect("a directory");
    let outside = data.path().join("outside");
    std::fs::write(&outside, b"x").expect("writes");
    let untouched = std::fs::metadata(&outside).expect("there").mtime();
    let mut paths: Vec<(&str, u64)> = node.big_files().map(|(path, big)| (path, big.size)).collect();
    assert_eq!(paths.len(), 4);
    paths.sort_unstable();
    for (n, (path, size)) in paths.iter().enumerate() {
        let path = data.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("makes");
        match n {
            0 => std::os::unix::fs::symlink(&outside, &path).expect("links"),
            // Another size: not the file that the backup holds.
            1 => std::fs::write(&path, b"y").expect("writes"),
            _ => std::fs::File::create(&path).expect("makes").set_len(*size).expect("grows"),
        }
    }
    assert_eq!(put_times_back(data.path(), &[node]).expect("sets"), 2);
    assert_eq!(std::fs::metadata(&outside).expect("there").mtime(), untouched);
    let set = std::fs::metadata(data.path().join("chunk/beta/main.hnsw.commitlog.d/1795228200.snapshot"))
        .expect("there");
    let expected: jiff::Timestamp = "2026-11-21T02:30:01.695057788Z".parse().expect("a time");
    assert_eq!(
        (set.mtime(), set.mtime_nsec()),
        (expected.as_second(), i64::from(expected.subsec_nanosecond()))
    );
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let nowhere = std::path::Path::new("/nowhere/at/all");
    let space = crate::restore::Room::look(nowhere).expect_err("nothing to measure");
    assert!(matches!(space, RestoreError::Space { .. }), "{space:?}");
    let local = super::super::serve::put_times_back(nowhere, &[]).expect_err("nothing to set");
    assert!(matches!(local, RestoreError::Local { .. }), "{local:?}");
    assert!([space, local].iter().all(|error| error.to_string().contains("/nowhere/at/all")));
}
