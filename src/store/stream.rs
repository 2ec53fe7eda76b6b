//! Bytes that come one after the other, and whose end nobody knows before it comes, into one object.
//!
//! ```text
//! pieces ─▶ parts, hashed ─▶ N in flight, each held in memory until the store has it ─▶ how many bytes
//!        └─ no end came: given up ─▶ None
//! ```

use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::Receiver;

use super::error::StoreError;
use super::multipart::{Calls, Done, PARTS};
use super::objects::Store;
use super::range::Moved;
use super::sending::Sending;

/// A piece of what comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Bytes(Bytes),
    /// All of it has come. Whoever stops without it has failed, and what has come is nothing.
    End,
}

/// As large as a part must be for so many bytes, and a tenth more. S3 takes parts of 5 GiB and objects of 5 TiB
/// ("Multipart upload limits"), so that there is no bound here.
fn part(expected: u64, least: u64) -> usize {
    usize::try_from(least.max((expected + expected / 10).div_ceil(PARTS))).unwrap_or(usize::MAX)
}

/// Sends what comes under `key`; some `expected` bytes. `connections` parts are in memory at a time, and one that grows.
/// How many bytes it were; `None` where their end did not come.
pub async fn send_stream(
    store: &Store,
    key: &str,
    pieces: Receiver<Piece>,
    expected: u64,
    sending: Sending,
    connections: usize,
) -> Result<Option<u64>, StoreError> {
    let moved: Moved = Arc::new(|_| {});
    let calls = Calls { store, key, sending, moved: &moved };
    let upload = calls.begin().await?;
    let size = part(expected, sending.part);
    let parts = stream::try_unfold(
        Parts { pieces, rest: BytesMut::new(), number: 0, ended: false },
        |mut parts| async { Ok::<_, StoreError>(parts.next(size).await.map(|part| (part, parts))) },
    );
    let (mut length, mut ended) = (0, false);
    let done: Result<Vec<Option<Done>>, StoreError> = parts
        .inspect_ok(|part| match part {
            Part::Bytes(_, bytes) => length += bytes.len() as u64,
            Part::End => ended = true,
        })
        .map_ok(|part| async {
            let Part::Bytes(number, bytes) = part else { return Ok(None) };
            let length = bytes.len() as u64;
            let digest = digest(key, bytes.clone()).await?;
            store.pace(length).await;
            calls.part(&upload, number, length, digest, || ByteStream::from(bytes.clone())).await.map(Some)
        })
        .try_buffer_unordered(connections)
        .try_collect()
        .await;
    let sent = match done {
        Ok(done) if ended => {
            calls.complete(&upload, done.into_iter().flatten().collect()).await.map(|_| Some(length))
        }
        Ok(_) => Ok(None),
        Err(error) => Err(error),
    };
    if !matches!(sent, Ok(Some(_))) {
        calls.give_up(&upload).await;
    }
    sent
}

/// Not on a thread that also sends heartbeats: a part of an archive of a terabyte has 110 MB.
async fn digest(key: &str, bytes: Bytes) -> Result<sha2::digest::Output<Sha256>, StoreError> {
    tokio::task::spawn_blocking(move || Sha256::digest(&bytes)).await.map_err(|panic| StoreError::Local {
        verb: "hashed",
        path: key.into(),
        source: std::io::Error::other(panic),
    })
}

enum Part {
    Bytes(i32, Bytes),
    End,
}

/// What has come and is no part yet.
struct Parts {
    pieces: Receiver<Piece>,
    rest: BytesMut,
    number: i32,
    ended: bool,
}

impl Parts {
    /// The next part of this size, and the last one of less; then the end, if it came.
    async fn next(&mut self, size: usize) -> Option<Part> {
        while !self.ended && self.rest.len() < size {
            match self.pieces.recv().await? {
                Piece::Bytes(bytes) => self.rest.extend_from_slice(&bytes),
                Piece::End => self.ended = true,
            }
        }
        // An object has one part at least, be it empty.
        if !self.rest.is_empty() || self.ended && self.number == 0 {
            self.number += 1;
            let bytes = self.rest.split_to(size.min(self.rest.len())).freeze();
            return Some(Part::Bytes(self.number, bytes));
        }
        // Said once: the stream ends behind it.
        std::mem::take(&mut self.ended).then_some(Part::End)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::*;
    use crate::retry;
    use crate::store::fake::FakeS3;

    fn small() -> Sending {
        let tries = retry::Limits::new(
            Duration::from_millis(300),
            Duration::from_millis(5),
            Duration::from_millis(20),
        );
        Sending { part: 1000, tries, answer: Duration::from_secs(5) }
    }

    async fn sent(fake: &FakeS3, pieces: Vec<Piece>) -> Result<Option<u64>, StoreError> {
        let (sender, receiver) = mpsc::channel(1);
        let feeding = async {
            for piece in pieces {
                // Whoever takes them may have failed.
                let _ = sender.send(piece).await;
            }
            drop(sender);
        };
        let store = fake.store("prod");
        let sending = send_stream(&store, "prod/exports/x", receiver, 3000, small(), 3);
        tokio::join!(sending, feeding).0
    }

    #[test]
    fn a_part_is_large_enough_for_more_than_is_expected() {
        for (expected, least) in [(0, 8 << 20), (1 << 30, 8 << 20), (4 << 40, 8 << 20)] {
            let part = part(expected, least) as u64;
            assert!(part >= least && part * PARTS >= expected + expected / 10, "{expected}");
        }
        assert_eq!(part(1 << 30, 8 << 20), 8 << 20);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_came_with_its_end_is_there_and_nothing_else() {
        let bytes = crate::tests::make::noise(4500);
        let pieces = |size: usize| bytes.chunks(size).map(|some| Piece::Bytes(Bytes::copy_from_slice(some)));
        for size in [1, 700, 1000, 4500] {
            let fake = FakeS3::start().await;
            let all = pieces(size).chain([Piece::End]).collect();
            let done = sent(&fake, all).await.expect("taken").expect("its end came");
            assert_eq!(fake.get("prod/exports/x"), Some(bytes.clone()), "pieces of {size}");
            assert_eq!(done, 4500);
            // Whoever sends it has failed.
            let fake = FakeS3::start().await;
            assert_eq!(sent(&fake, pieces(size).collect()).await.expect("given up"), None);
            assert_eq!(fake.get("prod/exports/x"), None);
        }
        let fake = FakeS3::start().await;
        let done = sent(&fake, vec![Piece::End]).await.expect("taken").expect("its end came");
        assert_eq!((done, fake.get("prod/exports/x")), (0, Some(Vec::new())));
    }
}
