//! The bytes of a recorded backup from a volume into an S3 on loopback, and the ends that a server's part can have.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::http::Method;

use super::carry::{Carried, Load, carry};
use super::journal::{Begun, Journal};
use super::make::{Patience, wait};
use super::*;
use crate::store::StoreError;
use crate::store::fake::{FakeS3, Trouble, sha256};
use crate::tests::make::scripted;
use crate::weaviate::Backend;

const QUICK: Patience = Patience {
    poll: Duration::from_millis(5),
    quiet: Duration::from_millis(300),
    silent: Duration::from_millis(100),
};

/// A volume with the folder in which the server would write `full-1`, and a bucket.
struct Place {
    fake: FakeS3,
    volume: tempfile::TempDir,
    state: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let [volume, state] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        std::fs::create_dir_all(volume.path().join("full-1/weaviate-0")).expect("a folder");
        Self { fake: FakeS3::start().await, volume, state }
    }

    /// The server writes these files.
    fn write_all<'a>(&self, files: impl IntoIterator<Item = &'a PathBuf>) {
        for file in files {
            self.write(file);
        }
    }

    /// The server writes this file, as it was recorded.
    fn write(&self, file: &Path) {
        let to = self.volume.path().join("full-1").join(file);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        std::fs::copy(recorded().join(file), to).expect("copied");
    }

    async fn carry(
        &self,
        server: impl Future<Output = Result<(), BackupError>>,
    ) -> Result<Carried, BackupError> {
        let owner = Owner { uid: nix::unistd::getuid().as_raw(), gid: nix::unistd::getgid().as_raw() };
        let (store, tree) = (self.fake.store("prod"), Tree::open(self.volume.path(), owner).expect("opened"));
        let load = Load {
            id: "full-1",
            node: "weaviate-0",
            store: &store,
            tree: &tree,
            folder: self.volume.path(),
            key: "prod/full-1",
            connections: 4,
            stall: Duration::from_mins(5),
            base: None,
        };
        let begun = Begun { id: "full-1".to_owned(), instance_id: "i-1".to_owned(), direct: false };
        let mut journal = Journal::begin(self.state.path(), &begun).expect("a journal");
        let moved = Arc::new(AtomicU64::new(0));
        let carried = carry(&load, &mut journal, server, &moved, &Status::default()).await;
        carried.map(|(carried, ())| carried)
    }

    fn has(&self, file: &Path) -> bool {
        self.fake.get(&format!("prod/full-1/{}", file.display())).is_some()
    }
}

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/weaviate-1.39.0/backups/full-1")
}

/// Chunks, and the two descriptors that the server writes last.
fn files() -> (Vec<PathBuf>, [PathBuf; 2]) {
    let mut chunks = Vec::new();
    let node = recorded().join("weaviate-0");
    for class in
        std::fs::read_dir(&node).expect("a recorded backup").map(|entry| entry.expect("an entry").path())
    {
        for chunk in std::fs::read_dir(&class).into_iter().flatten() {
            let path = chunk.expect("an entry").path();
            chunks.push(path.strip_prefix(recorded()).expect("below").to_owned());
        }
    }
    chunks.sort();
    (chunks, ["weaviate-0/backup.json".into(), "backup_config.json".into()])
}

/// Until the bucket has it: a condition of the test's own world, and not a time.
async fn until(place: &Place, file: &Path) {
    let waiting = async {
        while !place.has(file) {
            // Closed once more: its folder may not have been watched the first time. Gone is sent.
            let local = place.volume.path().join("full-1").join(file);
            drop(std::fs::OpenOptions::new().append(true).open(local));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("it arrives while the server works on");
}

#[tokio::test]
async fn each_chunk_goes_as_soon_as_it_is_closed_and_the_descriptors_last() {
    let place = Place::new().await;
    let (chunks, descriptors) = files();
    assert!(chunks.len() > 2, "{chunks:?}");
    let server = async {
        // Before it is watched the first one of a class may be made and closed; the second is told of.
        let (early, late) = chunks.split_at(1);
        place.write_all(early);
        for chunk in late {
            let folder =
                place.volume.path().join("full-1").join(chunk).parent().expect("a folder").to_owned();
            std::fs::create_dir_all(folder).expect("made");
        }
        place.write_all(late);
        for chunk in late {
            until(&place, chunk).await;
        }
        assert!(descriptors.iter().all(|file| !place.has(file)));
        place.write_all(&descriptors);
        Ok(())
    };
    let carried = place.carry(server).await.expect("carried");
    let mut expected: Vec<String> =
        chunks.iter().chain(&descriptors).map(|file| format!("prod/full-1/{}", file.display())).collect();
    expected.sort();
    assert_eq!(carried.objects.iter().map(|object| object.key.clone()).collect::<Vec<_>>(), expected);
    for object in &carried.objects {
        let there = place.fake.get(&object.key).expect("there");
        assert_eq!((object.size, &object.sha256), (there.len() as u64, &sha256(&there)), "{}", object.key);
    }
    assert_eq!(carried.global.status, "SUCCESS");
    let last = place.fake.calls().iter().rev().take(2).cloned().collect::<Vec<_>>();
    assert!(last[0].contains("backup_config.json") && last[1].contains("backup.json"), "{last:?}");
    let left = |file: &PathBuf| place.volume.path().join("full-1").join(file).exists();
    assert!(!chunks.iter().any(left), "chunks are unlinked");
    assert!(descriptors.iter().all(left), "the next incremental backup needs the descriptors");
    let (_, noted) = Journal::left(place.state.path()).expect("read").expect("not ended here");
    assert_eq!(noted.len(), carried.objects.len());
}

#[tokio::test]
async fn what_the_server_does_not_stand_by_is_no_backup() {
    let (chunks, descriptors) = files();
    // A chunk that was never written, and a descriptor that is missing or says that it failed.
    for (spoil, words) in
        [("chunk", "was never written"), ("descriptor", "is not there"), ("status", "FAILED")]
    {
        let place = Place::new().await;
        let server = async {
            place.write_all(chunks.iter().skip(usize::from(spoil == "chunk")));
            place.write_all(descriptors.iter().take(if spoil == "descriptor" { 1 } else { 2 }));
            if spoil == "status" {
                let path = place.volume.path().join("full-1/backup_config.json");
                let text = std::fs::read_to_string(&path).expect("read").replace("SUCCESS", "FAILED");
                std::fs::write(&path, text).expect("written");
            }
            Ok(())
        };
        let error = place.carry(server).await.expect_err("refused");
        assert!(matches!(&error, BackupError::Incomplete { .. }), "{spoil}: {error}");
        assert!(error.to_string().contains(words), "{spoil}: {error}");
        assert!(!place.has(&descriptors[1]), "without it the folder is no backup for anybody");
    }
}

#[tokio::test]
async fn a_bucket_that_refuses_ends_it() {
    let place = Place::new().await;
    let (chunks, _) = files();
    place.fake.trouble(Method::PUT, "chunk", Trouble::Refuse(403, "AccessDenied"));
    let server = async {
        place.write_all(&chunks);
        Ok(())
    };
    let error = place.carry(server).await.expect_err("denied");
    assert!(matches!(error, BackupError::NotWritable(StoreError::Denied { .. })), "{error}");
    place.fake.trouble(Method::PUT, "chunk", Trouble::Refuse(404, "NoSuchBucket"));
    let error = place.carry(async { Ok(()) }).await.expect_err("no bucket");
    assert!(matches!(error, BackupError::Store(StoreError::NoBucket { .. })), "{error}");
    let gone = place.carry(async { Err(BackupError::Forgotten { backup: "full-1".to_owned() }) }).await;
    assert!(matches!(gone, Err(BackupError::Forgotten { .. })), "{gone:?}");
}

#[tokio::test]
async fn the_end_of_a_backup_is_told_from_its_middle() {
    type Expected = fn(&Result<(), BackupError>) -> bool;
    let says = |state: &str| (200, format!(r#"{{"id":"b","status":"{state}","error":"why"}}"#));
    let gone = (404, r#"{"error":[{"message":"not found"}]}"#.to_owned());
    let broken = (500, String::new());
    let rows: [(Vec<(u16, String)>, Expected); 7] = [
        (vec![says("STARTED"), says("STARTED"), says("SUCCESS")], Result::is_ok),
        (vec![says("NEW"), says("SUCCESS")], Result::is_ok),
        // A moment's trouble is none.
        (vec![says("STARTED"), broken.clone(), says("SUCCESS")], Result::is_ok),
        (
            vec![says("STARTED"), says("FAILED")],
            |r| matches!(r, Err(BackupError::Ended { message, .. }) if message == "why"),
        ),
        (vec![says("CANCELLING"), says("CANCELED")], |r| matches!(r, Err(BackupError::Ended { .. }))),
        (vec![says("STARTED"), gone], |r| matches!(r, Err(BackupError::Forgotten { .. }))),
        (vec![broken], |r| matches!(r, Err(BackupError::Server(_)))),
    ];
    let mount = tempfile::tempdir().expect("a directory");
    for (answers, expected) in rows {
        let client = scripted(&answers).await;
        let moved = AtomicU64::new(0);
        let result =
            wait(&client, Backend::Filesystem, "b", mount.path(), &moved, QUICK, &Status::default()).await;
        assert!(expected(&result), "{answers:?}: {result:?}");
    }
    let client = scripted(&[says("STARTED")]).await;
    // A directory on a busy file system: only the transfer may move here.
    let patience = Patience { quiet: Duration::ZERO, ..QUICK };
    let result = wait(
        &client,
        Backend::Filesystem,
        "b",
        mount.path(),
        &AtomicU64::new(0),
        patience,
        &Status::default(),
    )
    .await;
    assert!(matches!(result, Err(BackupError::Stalled { .. })), "{result:?}");
}
