//! A body that arrives slowly, ends early, or has one bit flipped.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::line::Line;

/// The body ended before it should have: the connection goes with it.
#[derive(Debug, thiserror::Error)]
#[error("the body was cut off on purpose")]
pub(crate) struct CutOff;

pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// What is done to a body on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    pub bytes_per_second: Option<u64>,
    /// The line that it goes over, and whether it is counted there.
    pub line: Option<(Arc<Line>, bool)>,
    /// No byte from this one on.
    pub cut_at: Option<usize>,
    /// One bit of this byte.
    pub flip_at: Option<usize>,
}

pub(crate) struct Shaped<B> {
    inner: B,
    shape: Shape,
    passed: usize,
    due: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<B> Shaped<B> {
    pub fn new(inner: B, shape: Shape) -> Self {
        Self { inner, shape, passed: 0, due: Instant::now(), sleep: None }
    }

    fn shaped(&mut self, data: Bytes) -> Bytes {
        let mut data = data;
        if let Some(cut_at) = self.shape.cut_at {
            data.truncate(cut_at.saturating_sub(self.passed));
        }
        let here = self.shape.flip_at.and_then(|at| at.checked_sub(self.passed));
        if let Some(at) = here.filter(|at| *at < data.len()) {
            let mut changed = data.to_vec();
            changed[at] ^= 1;
            data = changed.into();
        }
        self.passed += data.len();
        if let Some(rate) = self.shape.bytes_per_second {
            // Computed from the last due time, not from now: late timers do not add up.
            let nanoseconds = (data.len() as u64).saturating_mul(1_000_000_000) / rate.max(1);
            self.due = self.due.max(Instant::now().checked_sub(SLACK).unwrap_or(self.due))
                + Duration::from_nanos(nanoseconds);
        }
        if let Some((line, watched)) = &self.shape.line {
            self.due = self.due.max(line.take(data.len(), *watched));
        }
        data
    }
}

/// Long enough for the connection to write out what it holds.
const FLUSHED: Duration = Duration::from_millis(30);

/// How far a paced body may catch up after its reader was slow.
const SLACK: Duration = Duration::from_millis(20);

impl<B> Body for Shaped<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<AnyError>,
{
    type Data = Bytes;
    type Error = AnyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnyError>>> {
        let this = &mut *self;
        if this.shape.cut_at.is_some_and(|at| this.passed >= at) {
            // What was sent so far leaves while this waits; an error at once would take it along.
            let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(FLUSHED)));
            ready!(sleep.as_mut().poll(context));
            return Poll::Ready(Some(Err(Box::new(CutOff))));
        }
        if this.due > Instant::now() {
            let due = this.due;
            let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            ready!(sleep.as_mut().poll(context));
        }
        this.sleep = None;
        match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
            None => Poll::Ready(None),
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame.map_data(|data| this.shaped(data))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.shape.cut_at.is_none() && self.inner.is_end_stream()
    }

    /// What was promised, whatever becomes of it.
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, Full};

    #[tokio::test]
    async fn one_bit_is_flipped_and_no_other() {
        let shape = Shape { flip_at: Some(2), ..Shape::default() };
        let body = Shaped::new(Full::new(Bytes::from_static(b"abcd")), shape);
        assert_eq!(body.collect().await.expect("whole").to_bytes(), "abbd");
    }

    #[tokio::test]
    async fn a_cut_body_gives_its_beginning_and_then_an_error() {
        let shape = Shape { cut_at: Some(2), ..Shape::default() };
        let mut body = Shaped::new(Full::new(Bytes::from_static(b"abcd")), shape);
        let first = body.frame().await.expect("a frame").expect("data").into_data().expect("data");
        assert_eq!(first, "ab");
        assert!(body.frame().await.expect("an end").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_paced_body_takes_its_time() {
        let frames = (0..10).map(|_| Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![0; 100_000]))));
        let inner = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
        let started = Instant::now();
        let shape = Shape { bytes_per_second: Some(1_000_000), ..Shape::default() };
        Shaped::new(inner, shape).collect().await.expect("whole");
        let took = started.elapsed().as_millis();
        // The last piece arrives when the nine before it are paid for; the first goes out with some slack.
        assert!((850..=1010).contains(&took), "{took} ms");
    }
}
