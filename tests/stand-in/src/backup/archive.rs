//! Chunks: a tar of files, in zstd, gzip or nothing.
//!
//! Reading stops at the end of the tar, as Go's archive/tar does: what stands behind it, a checksum of
//! the stream for one, is never looked at. That is why a flipped bit passes (recording 16).

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Zstd(i32),
    Gzip(u32),
    None,
}

impl Compression {
    /// From `config.CompressionLevel` of a request.
    pub fn of_level(level: &str) -> Option<Self> {
        Some(match level {
            "DefaultCompression" => Self::Gzip(6),
            "BestSpeed" => Self::Gzip(1),
            "BestCompression" => Self::Gzip(9),
            "ZstdDefaultCompression" => Self::Zstd(3),
            "ZstdBestSpeed" => Self::Zstd(1),
            "ZstdBestCompression" => Self::Zstd(9),
            "NoCompression" => Self::None,
            _ => return None,
        })
    }

    /// From `compressionType` of a descriptor; old ones have none and mean gzip.
    pub fn of_type(name: &str) -> Option<Self> {
        Some(match name {
            "zstd" => Self::Zstd(1),
            "gzip" | "" => Self::Gzip(6),
            "none" => Self::None,
            _ => return None,
        })
    }

    pub fn type_name(self) -> &'static str {
        match self {
            Self::Zstd(_) => "zstd",
            Self::Gzip(_) => "gzip",
            Self::None => "none",
        }
    }
}

/// A stream that ends in an error once somebody cancels.
struct Cancelable<'a, R> {
    inner: R,
    canceled: &'a AtomicBool,
}

impl<R: Read> Read for Cancelable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.canceled.load(Ordering::Relaxed) {
            return Err(io::Error::other("context canceled"));
        }
        self.inner.read(buffer)
    }
}

/// Unpacks into `target`; of a base backup's chunk only the files in `wanted`.
pub fn unpack(
    stream: impl Read,
    compression: Compression,
    target: &Path,
    wanted: Option<&BTreeSet<String>>,
    canceled: &AtomicBool,
) -> io::Result<()> {
    let stream = Cancelable { inner: stream, canceled };
    match compression {
        Compression::Zstd(_) => untar(zstd::stream::read::Decoder::new(stream)?, target, wanted),
        Compression::Gzip(_) => untar(flate2::read::MultiGzDecoder::new(stream), target, wanted),
        Compression::None => untar(stream, target, wanted),
    }
}

fn untar(stream: impl Read, target: &Path, wanted: Option<&BTreeSet<String>>) -> io::Result<()> {
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::Error::other("an entry leaves its directory"));
        }
        if wanted.is_some_and(|wanted| !wanted.contains(&*path.to_string_lossy())) {
            continue;
        }
        let offset = file_offset(&mut entry)?;
        let path = target.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new().create(true).write(true).truncate(offset.is_none()).open(&path)?;
        file.seek(SeekFrom::Start(offset.unwrap_or(0)))?;
        let size = entry.header().size()?;
        if io::copy(&mut entry, &mut file)? != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Where a part of a split file belongs (PAX record `WEAVIATE.fileOffset`).
fn file_offset<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Option<u64>> {
    let Some(records) = entry.pax_extensions()? else { return Ok(None) };
    for record in records {
        let record = record?;
        if record.key() == Ok("WEAVIATE.fileOffset") {
            return record.value().ok().and_then(|value| value.parse().ok()).map_or_else(
                || Err(io::Error::other("a file offset that is no number")),
                |offset| Ok(Some(offset)),
            );
        }
    }
    Ok(None)
}

/// Packs the `files` (relative to `root`) into `sink`. Files that the server keeps in memory come with
/// the epoch as their time, as in a real chunk.
pub fn pack<W: Write>(sink: W, compression: Compression, root: &Path, files: &[String]) -> io::Result<W> {
    match compression {
        Compression::Zstd(level) => {
            let mut encoder = zstd::stream::write::Encoder::new(sink, level)?;
            encoder.include_checksum(true)?;
            tar_files(encoder, root, files)?.finish()
        }
        Compression::Gzip(level) => {
            tar_files(flate2::write::GzEncoder::new(sink, flate2::Compression::new(level)), root, files)?
                .finish()
        }
        Compression::None => tar_files(sink, root, files),
    }
}

fn tar_files<W: Write>(sink: W, root: &Path, files: &[String]) -> io::Result<W> {
    let mut builder = tar::Builder::new(sink);
    for name in files {
        let mut file = File::open(root.join(name))?;
        let mut header = tar::Header::new_gnu();
        let metadata = file.metadata()?;
        header.set_size(metadata.len());
        header.set_mode(0o644);
        let seconds = if IN_MEMORY.iter().any(|memory| name.ends_with(memory)) {
            0
        } else {
            let modified = metadata.modified()?.duration_since(std::time::UNIX_EPOCH);
            modified.map_or(0, |since| since.as_secs())
        };
        header.set_mtime(seconds);
        builder.append_data(&mut header, name, &mut file)?;
    }
    builder.into_inner()
}

/// The three files at the head of a shard's first chunk.
pub const IN_MEMORY: [&str; 3] = ["/indexcount", "/proplengths", "/version"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_in_every_compression_and_a_cut_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/s")).unwrap();
        let content: Vec<u8> = (0..200_000_u64).map(|n| u8::try_from(n * n % 251).unwrap()).collect();
        std::fs::write(dir.path().join("a/s/big"), &content).unwrap();
        let files = ["a/s/big".to_owned()];
        for compression in [Compression::Zstd(1), Compression::Gzip(6), Compression::None] {
            let packed = pack(Vec::new(), compression, dir.path(), &files).unwrap();
            let target = tempfile::tempdir().unwrap();
            let run = |bytes: &[u8], canceled: bool| {
                unpack(bytes, compression, target.path(), None, &AtomicBool::new(canceled))
            };
            run(&packed, false).unwrap();
            assert_eq!(std::fs::read(target.path().join("a/s/big")).unwrap(), content, "{compression:?}");
            assert!(run(&packed[..packed.len() / 2], false).is_err(), "{compression:?}: cut");
            assert!(run(&packed, true).is_err(), "{compression:?}: canceled");
        }
    }
}
