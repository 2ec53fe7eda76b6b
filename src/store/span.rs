//! A part of one object, or all of it, from its first byte to its last: asked for again, from the byte where it ended,
//! for as long as that helps.

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt as _;

use super::error::StoreError;
use super::fetch::Limits;
use super::objects::Store;
use crate::explain::{Class, Explain as _};

/// However small the steps, a range is not asked for more often than this.
const REQUESTS: u32 = 64;

/// Where the bytes go, in their order.
pub(super) trait Sink: Send {
    fn take(&mut self, at: u64, bytes: Bytes) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// A body has ended, well or not: what was taken so far must be safe now.
    fn settle(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// The store asks for fewer requests.
    fn overrun(&mut self) {}
}

pub(super) struct Span {
    pub store: Store,
    pub key: String,
    /// Of the whole object.
    pub size: u64,
    /// Sent as If-Match where nothing else would notice that the object was replaced half-way.
    pub etag: Option<String>,
    pub start: u64,
    pub end: u64,
}

impl Span {
    pub async fn read(&self, limits: Limits, sink: &mut impl Sink) -> Result<(), StoreError> {
        let mut at = self.start;
        let mut in_vain = 0;
        for _ in 0..REQUESTS {
            let before = at;
            let ended = self.request(&mut at, limits, sink).await;
            let error = match ended {
                Ok(()) if at == self.end => return Ok(()),
                Ok(()) => self.interrupted(at, "the body ends early"),
                Err(error) if error.class() == Class::Final => return Err(error),
                Err(error) => error,
            };
            if error.is_throttled() {
                sink.overrun();
            }
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

    /// One request for `at..end`; `at` follows what the sink has taken.
    async fn request(&self, at: &mut u64, limits: Limits, sink: &mut impl Sink) -> Result<(), StoreError> {
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
        let ended = loop {
            let bytes = match tokio::time::timeout(limits.stall, output.body.next()).await {
                Ok(Some(Ok(bytes))) => bytes,
                Ok(None) => break Ok(()),
                Ok(Some(Err(error))) => break Err(self.interrupted(*at, &error.to_string())),
                Err(_) => break Err(self.interrupted(*at, "no byte for too long")),
            };
            let length = bytes.len() as u64;
            if *at + length > self.end {
                break Err(self.interrupted(*at, "the store sends more than was asked for"));
            }
            sink.take(*at, bytes).await?;
            *at += length;
            self.store.pace(length).await;
        };
        sink.settle().await?;
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
}

/// Doubled each time that nothing came, with jitter above one half.
fn pause(first: Duration, in_vain: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(in_vain.min(6))).mul_f64(rand::rng().random_range(0.5..=1.0))
}
