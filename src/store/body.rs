//! A part of a file as the body of a request: read while it is sent, and once more where it is sent again. What is in
//! memory is a piece of each request, and not the part.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

/// Bytes that are read at a time: enough that a thread is not woken for every packet.
pub(super) const PIECE: u64 = 256 << 10;

/// Bytes `start..end` of the file, as often as they are asked for.
pub(super) fn of_file(file: &Arc<File>, start: u64, end: u64) -> ByteStream {
    let file = Arc::clone(file);
    let body =
        move || SdkBody::from_body_1_x(Reading { file: Arc::clone(&file), at: start, end, piece: None });
    ByteStream::new(SdkBody::retryable(body))
}

struct Reading {
    file: Arc<File>,
    at: u64,
    end: u64,
    /// Under way.
    piece: Option<JoinHandle<io::Result<Bytes>>>,
}

/// So many bytes at most, from there on. A file that has become shorter is an error.
pub(super) fn piece(file: &File, at: u64, end: u64) -> io::Result<Bytes> {
    let length = usize::try_from(PIECE.min(end - at)).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes.into())
}

impl Body for Reading {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let (at, end) = (self.at, self.end);
        if at == end {
            return Poll::Ready(None);
        }
        let file = Arc::clone(&self.file);
        let reading =
            self.piece.get_or_insert_with(|| tokio::task::spawn_blocking(move || piece(&file, at, end)));
        let read = ready!(Pin::new(reading).poll(context));
        self.piece = None;
        let read = read.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        if let Ok(bytes) = &read {
            self.at += bytes.len() as u64;
        }
        Poll::Ready(Some(read.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::make::noise;

    #[tokio::test]
    async fn a_part_is_read_as_often_as_it_is_sent_and_never_beyond_its_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, bytes) = (directory.path().join("chunk-1"), noise(1_000_000));
        std::fs::write(&path, &bytes).expect("written");
        let file = Arc::new(File::open(&path).expect("opened"));
        for (start, end) in [(0, 0), (0, 1), (0, 1_000_000), (PIECE, 2 * PIECE), (999_999, 1_000_000)] {
            let stream = of_file(&file, start, end);
            assert_eq!(stream.size_hint(), (end - start, Some(end - start)), "{start}..{end}");
            let again = stream.into_inner().try_clone().expect("it can be sent again");
            let read = ByteStream::new(again).collect().await.expect("read").into_bytes();
            let wanted = usize::try_from(start).expect("fits")..usize::try_from(end).expect("fits");
            assert_eq!(read, bytes[wanted], "{start}..{end}");
        }
        std::fs::write(&path, &bytes[..10]).expect("cut off");
        let short = of_file(&file, 0, 1_000_000).collect().await;
        assert!(short.is_err(), "a file that has become shorter is no body");
    }
}
