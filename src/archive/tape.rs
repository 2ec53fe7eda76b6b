//! The archive itself: tar in zstd, written from pieces that come, read into files one by one. Blocking, on a thread of
//! its own.

use std::borrow::BorrowMut;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::{Buf as _, Bytes};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::{Receiver, Sender};

use crate::hex::hex;

/// What is inside is compressed already: the quickest level, for what is not (zstd manual, "compression levels").
const LEVEL: i32 = 1;

/// A file of the archive: its name and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub size: u64,
}

/// Writes `entries` in their order, whose bytes come one after the other.
pub fn write<W: Write>(out: W, entries: &[Entry], mtime: u64, bytes: Receiver<Bytes>) -> io::Result<W> {
    let mut encoder = zstd::Encoder::new(out, LEVEL)?;
    // A flipped bit is noticed without the manifest too.
    encoder.include_checksum(true)?;
    let mut tar = tar::Builder::new(encoder);
    let mut feed = Feed::new(bytes);
    for Entry { name, size } in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(*size);
        header.set_mode(0o644);
        header.set_mtime(mtime);
        header.set_entry_type(tar::EntryType::Regular);
        let mut content = Exactly::new(&mut feed, *size);
        tar.append_data(&mut header, name, &mut content)?;
    }
    tar.into_inner()?.finish()
}

/// The bytes that come.
pub struct Feed {
    bytes: Receiver<Bytes>,
    rest: Bytes,
}

impl Feed {
    pub const fn new(bytes: Receiver<Bytes>) -> Self {
        Self { bytes, rest: Bytes::new() }
    }
}

/// So many of them as a reader, and no fewer: who sends them may have given up.
pub struct Exactly<F> {
    left: u64,
    feed: F,
}

impl<F: BorrowMut<Feed>> Exactly<F> {
    pub const fn new(feed: F, size: u64) -> Self {
        Self { left: size, feed }
    }
}

impl<F: BorrowMut<Feed>> Read for Exactly<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || into.is_empty() {
            return Ok(0);
        }
        let feed = self.feed.borrow_mut();
        while feed.rest.is_empty() {
            let piece = feed.bytes.blocking_recv();
            feed.rest =
                piece.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the rest did not come"))?;
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let count = into.len().min(feed.rest.len()).min(most);
        feed.rest.copy_to_slice(&mut into[..count]);
        self.left -= count as u64;
        Ok(count)
    }
}

/// A file that was taken out of the archive.
#[derive(Debug)]
pub struct Taken {
    pub name: String,
    pub size: u64,
    /// In hex.
    pub sha256: String,
    /// Where it lies until it is sent, in the spool.
    pub file: PathBuf,
}

/// A file that is hashed while it is written.
struct Hashing {
    file: File,
    hasher: Sha256,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Takes every file out, the first one as bytes of at most `most`. As many lie in the spool at a time as `taken` holds,
/// and one more.
pub fn read(
    input: impl Read,
    spool: &Path,
    most: u64,
    first: tokio::sync::oneshot::Sender<(String, Vec<u8>)>,
    taken: &Sender<Taken>,
) -> io::Result<()> {
    let mut archive = tar::Archive::new(zstd::Decoder::new(input)?);
    let mut first = Some(first);
    for (number, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        let other = || io::Error::new(io::ErrorKind::InvalidData, "it holds something else than files");
        let name = entry.path()?.to_str().ok_or_else(other)?.to_owned();
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(other());
        }
        let size = entry.header().size()?;
        if let Some(first) = first.take() {
            if size > most {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its first file is too large"));
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            // Whoever has gone knows why.
            if first.send((name, bytes)).is_err() {
                return Ok(());
            }
            continue;
        }
        let file = PathBuf::from(number.to_string());
        let mut hashing = Hashing { file: File::create_new(spool.join(&file))?, hasher: Sha256::new() };
        if io::copy(&mut entry, &mut hashing)? != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let sha256 = hex(&hashing.hasher.finalize());
        if taken.blocking_send(Taken { name, size, sha256, file }).is_err() {
            return Ok(());
        }
    }
    // To the end of the stream: its checksum is behind the last file.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map(drop)
}
