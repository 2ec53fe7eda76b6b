//! One range of one object, from the store into a file: asked for again, from the byte where it ended, for
//! as long as that helps.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::Semaphore;

use super::error::StoreError;
use super::fetch::Limits;
use super::objects::Store;
use crate::explain::{Class, Explain as _};

/// Small pieces are gathered up to this before they are written; hyper's own grow to 400 KiB on a fast connection
/// (hyper, proto/h1/io.rs) and go to the disk as they are. With 16 connections 1 MiB in all.
const GATHER: usize = 64 << 10;
/// However small the steps, a range is not asked for more often than this.
const REQUESTS: u32 = 64;

/// Told about bytes that are safe on the disk.
pub type Moved = Arc<dyn Fn(u64) + Send + Sync>;

pub(super) struct Range {
    pub store: Store,
    pub key: String,
    /// Of the whole object.
    pub size: u64,
    /// Sent as If-Match where nothing else would notice that the object was replaced half-way.
    pub etag: Option<String>,
    pub start: u64,
    pub end: u64,
    pub file: Arc<File>,
    pub path: PathBuf,
    /// Shared by all that work on the disk at a time.
    pub disk: Arc<Semaphore>,
    pub moved: Moved,
}

impl Range {
    pub(super) async fn fetch(self, limits: Limits) -> Result<(), StoreError> {
        let mut at = self.start;
        let mut in_vain = 0;
        for _ in 0..REQUESTS {
            let before = at;
            let ended = self.request(&mut at, limits).await;
            let error = match ended {
                Ok(()) if at == self.end => return Ok(()),
                Ok(()) => self.interrupted(at, "the body ends early"),
                Err(error) if error.class() == Class::Final => return Err(error),
                Err(error) => error,
            };
            in_vain = if at > before { 0 } else { in_vain + 1 };
            if in_vain >= limits.tries {
                return Err(error);
            }
            tracing::warn!(key = self.key, at, %error, "{} from byte {at} is asked for again: {error}", self.key);
            tokio::time::sleep(pause(limits.pause, in_vain)).await;
        }
        Err(self.interrupted(at, "too many interruptions"))
    }

    fn interrupted(&self, at: u64, why: &str) -> StoreError {
        StoreError::Interrupted {
            bucket: self.store.bucket().to_owned(),
            key: self.key.clone(),
            at,
            why: why.to_owned(),
        }
    }

    fn corrupt(&self, what: String) -> StoreError {
        StoreError::Corrupt { bucket: self.store.bucket().to_owned(), key: self.key.clone(), what }
    }

    /// One request for `at..end`; `at` follows what was written.
    async fn request(&self, at: &mut u64, limits: Limits) -> Result<(), StoreError> {
        const OPERATION: &str = "s3:GetObject";
        let request = self
            .store
            .client
            .get_object()
            .bucket(self.store.bucket())
            .key(&self.key)
            .range(format!("bytes={}-{}", *at, self.end - 1))
            .set_if_match(self.etag.as_ref().map(|etag| format!("\"{etag}\"")));
        let Ok(answer) = tokio::time::timeout(limits.answer, request.send()).await else {
            return Err(self.interrupted(*at, "no answer"));
        };
        let mut output = answer.map_err(|error| match self.store.failed(OPERATION, &self.key, &error) {
            StoreError::Refused { source, .. } if source.code == "InvalidRange" => {
                self.corrupt(format!("it is shorter than the {} bytes that were backed up", self.size))
            }
            error => error,
        })?;
        self.check_answer(*at, output.content_range(), output.content_length())?;
        let mut gathered = Vec::with_capacity(GATHER);
        let ended = loop {
            let next = tokio::time::timeout(limits.stall, output.body.next()).await;
            let bytes = match next {
                Ok(Some(Ok(bytes))) => bytes,
                Ok(None) => break Ok(()),
                Ok(Some(Err(error))) => break Err(self.interrupted(*at, &error.to_string())),
                Err(_) => break Err(self.interrupted(*at, "no byte for too long")),
            };
            if gathered.len() + bytes.len() > GATHER {
                gathered = self.write(at, gathered).await?;
                gathered.clear();
            }
            if bytes.len() > GATHER {
                self.write(at, bytes).await?;
            } else {
                gathered.extend_from_slice(&bytes);
            }
        };
        self.write(at, gathered).await?;
        ended
    }

    fn check_answer(&self, at: u64, range: Option<&str>, length: Option<i64>) -> Result<(), StoreError> {
        let asked = self.end - at;
        let total = range.and_then(|r| r.rsplit_once('/')).and_then(|(_, total)| total.parse::<u64>().ok());
        match (total, length.and_then(|l| u64::try_from(l).ok())) {
            (Some(total), _) if total != self.size => {
                Err(self.corrupt(format!("it has {total} bytes, not the {} that were backed up", self.size)))
            }
            (Some(_), Some(length)) if length == asked => Ok(()),
            // An object that fits into one range may come whole.
            (None, Some(length)) if at == 0 && self.end == self.size && length == self.size => Ok(()),
            (None, Some(length)) if at == 0 && self.end == self.size => {
                Err(self.corrupt(format!("it has {length} bytes, not the {} that were backed up", self.size)))
            }
            _ => Err(self.interrupted(at, "the store sends another range than was asked for")),
        }
    }

    /// Hands the buffer back, for the next bytes.
    async fn write<B>(&self, at: &mut u64, bytes: B) -> Result<B, StoreError>
    where
        B: AsRef<[u8]> + Send + 'static,
    {
        let length = bytes.as_ref().len() as u64;
        if length == 0 {
            return Ok(bytes);
        }
        if *at + length > self.end {
            return Err(self.interrupted(*at, "the store sends more than was asked for"));
        }
        let (file, offset) = (Arc::clone(&self.file), *at);
        // Never closed.
        let _turn = self.disk.acquire().await.ok();
        // A write waits when many dirty pages are about; not on a thread that also sends heartbeats.
        let written =
            tokio::task::spawn_blocking(move || file.write_all_at(bytes.as_ref(), offset).map(|()| bytes));
        let bytes = written
            .await
            .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
            .map_err(|source| StoreError::Local { verb: "written", path: self.path.clone(), source })?;
        *at += length;
        (self.moved)(length);
        Ok(bytes)
    }
}

/// Doubled each time that nothing came, with jitter above one half.
fn pause(first: Duration, in_vain: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(in_vain.min(6))).mul_f64(rand::rng().random_range(0.5..=1.0))
}
