//! One backup in one file, a tar.zst with its manifest in front: for cold storage, for tools, and as a bridge to other
//! installations. What is inside is what the server wrote: unpacked, it is a folder of its filesystem backend.
//!
//! ```text
//! bucket ─▶ every object, hashed on the way ─▶ tar ─▶ zstd ─┬▶ FILE.part ─▶ FILE                export
//!                                                           └▶ parts of s3://…, completed at the end
//! FILE, s3://… ─▶ zstd ─▶ tar ─▶ manifest.json, checked ─▶ each file: spooled, sent, its SHA-256 the manifest's
//!      ─▶ what the bucket lists is what was sent ─▶ manifests/<id>.json              import
//! ```
//!
//! Neither holds more in memory than the pieces that are on their way. The manifest itself is never moved: a backup that
//! was imported is one of those in the bucket, and the latest only where no manifest names another.

mod error;
mod export;
mod import;
mod object;
mod tape;

pub use error::ArchiveError;
pub use export::{Exported, export};
pub use import::{Imported, import};

use std::path::{Path, PathBuf};

/// The first file of an archive.
const MANIFEST: &str = "manifest.json";

/// Where an archive lies, or flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File(PathBuf),
    /// `-`: standard output or standard input.
    Stream,
    /// `s3://bucket/key`, in the node's own region.
    Object {
        bucket: String,
        key: String,
    },
}

impl Place {
    pub fn of(name: &Path) -> Self {
        if name == Path::new("-") {
            return Self::Stream;
        }
        let object = name.to_str().and_then(|name| name.strip_prefix("s3://")?.split_once('/'));
        match object.filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty() && !key.ends_with('/')) {
            Some((bucket, key)) => Self::Object { bucket: bucket.to_owned(), key: key.to_owned() },
            None => Self::File(name.to_owned()),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stream => "-".to_owned(),
            Self::Object { bucket, key } => format!("s3://{bucket}/{key}"),
        }
    }
}

#[cfg(test)]
mod tests;
