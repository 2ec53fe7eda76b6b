//! Files into a fake S3 that compares checksums, loses answers and ends uploads.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::Method;
use tokio::sync::Semaphore;

use super::fake::{FakeS3, Trouble, sha256};
use super::tests::tree;
use super::*;
use crate::retry;
use crate::tests::make::noise;

const KEY: &str = "prod/b/n/A/chunk-1";
const QUICK: Sending = Sending {
    part: 1 << 20,
    tries: retry::Limits::new(Duration::from_secs(2), Duration::from_millis(5), Duration::from_millis(20)),
    answer: Duration::from_secs(2),
};

struct Place {
    fake: FakeS3,
    directory: tempfile::TempDir,
    moved: Arc<AtomicU64>,
}

impl Place {
    async fn with(bytes: &[u8]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("chunk-1"), bytes).expect("written");
        Self { fake: FakeS3::start().await, directory, moved: Arc::default() }
    }

    async fn send(&self) -> Result<Sent, StoreError> {
        let moved = Arc::clone(&self.moved);
        let told = move |bytes| {
            moved.fetch_add(bytes, Ordering::Relaxed);
        };
        self.send_telling(Arc::new(told)).await
    }

    async fn send_telling(&self, moved: Moved) -> Result<Sent, StoreError> {
        let parcel = Parcel { path: "chunk-1".into(), key: KEY.to_owned() };
        let (store, tree) = (self.fake.store("prod"), tree(&self.directory));
        send(&store, &tree, &parcel, QUICK, &Arc::new(Semaphore::new(2)), &moved).await
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join(Path::new("chunk-1"))
    }
}

#[tokio::test]
async fn a_file_arrives_whole_and_with_its_checksum() {
    for (length, calls) in [(0, 1), (100, 1), (1 << 20, 1), (3_500_000, 6)] {
        let bytes = noise(length);
        let place = Place::with(&bytes).await;
        let sent = place.send().await.expect("arrives");
        assert_eq!((sent.size, &sent.sha256), (length as u64, &sha256(&bytes)), "{length}");
        assert_eq!(place.fake.get(KEY).expect("there"), bytes);
        assert_eq!(place.moved.load(Ordering::Relaxed), length as u64);
        assert_eq!(place.fake.calls().len(), calls, "{:?}", place.fake.calls());
        assert_eq!(place.fake.uploads(), 0);
    }
}

#[tokio::test]
async fn only_what_failed_is_sent_again() {
    let bytes = noise(3_500_000);
    let place = Place::with(&bytes).await;
    place.fake.trouble(Method::PUT, "partNumber=2", Trouble::Refuse(503, "SlowDown"));
    place.fake.trouble(Method::POST, "uploads", Trouble::Refuse(500, "InternalError"));
    place.send().await.expect("arrives");
    assert_eq!(place.fake.get(KEY).expect("there"), bytes);
    let parts = place.fake.calls().iter().filter(|call| call.starts_with("PUT")).count();
    assert_eq!(parts, 5, "{:?}", place.fake.calls());
}

#[tokio::test]
async fn an_upload_that_fails_leaves_no_parts() {
    let place = Place::with(&noise(3_500_000)).await;
    place.fake.trouble(Method::PUT, "partNumber=3", Trouble::Refuse(403, "AccessDenied"));
    let error = place.send().await.expect_err("denied");
    assert!(matches!(error, StoreError::Denied { .. }), "{error}");
    assert_eq!((place.fake.uploads(), place.fake.get(KEY)), (0, None));
}

#[tokio::test]
async fn a_lost_answer_is_found_out_by_looking() {
    let bytes = noise(3_500_000);
    let place = Place::with(&bytes).await;
    place.fake.trouble(Method::POST, "uploadId", Trouble::Lie(500, "InternalError"));
    let sent = place.send().await.expect("it is there");
    assert_eq!(sent.sha256, sha256(&bytes));
    assert!(place.fake.calls().iter().any(|call| call.starts_with("HEAD")), "{:?}", place.fake.calls());

    // Somebody else ended the upload, and what lies there is not what was sent.
    let place = Place::with(&bytes).await;
    place.fake.put(KEY, b"another".to_vec());
    place.fake.trouble(Method::POST, "uploadId", Trouble::Refuse(404, "NoSuchUpload"));
    let error = place.send().await.expect_err("gone");
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_store_that_holds_other_bytes_is_not_believed() {
    for length in [100, 3_500_000] {
        let place = Place::with(&noise(length)).await;
        place.fake.mangles();
        let error = place.send().await.expect_err("corrupt");
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_written_to_meanwhile_is_no_backup() {
    let place = Place::with(&noise(3_500_000)).await;
    let path = place.path();
    let appends = move |bytes| {
        if bytes > 0 {
            let file = std::fs::OpenOptions::new().append(true).open(&path).expect("there");
            std::io::Write::write_all(&mut &file, b"more").expect("written");
        }
    };
    let error = place.send_telling(Arc::new(appends)).await.expect_err("changed");
    assert!(matches!(error, StoreError::Changed { .. }), "{error}");
}

#[tokio::test]
async fn what_is_not_there_cannot_be_sent() {
    let place = Place::with(b"x").await;
    std::fs::remove_file(place.path()).expect("removed");
    assert!(matches!(place.send().await, Err(StoreError::Local { .. })));
    std::os::unix::fs::symlink("/etc/passwd", place.path()).expect("a link");
    assert!(matches!(place.send().await, Err(StoreError::Local { .. })), "a planted link is not followed");
    assert!(place.fake.calls().is_empty());
}

#[test]
fn what_does_not_move_is_given_up_no_later_than_is_asked_for() {
    let given_up = |stall| Sending::within(stall).tries.deadline;
    let minutes = Duration::from_mins;
    assert_eq!((given_up(minutes(1)), given_up(minutes(30))), (minutes(1), minutes(5)));
}
