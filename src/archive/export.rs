//! A backup into a file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;

use super::error::ArchiveError;
use super::tape::{self, Entry};
use super::{MANIFEST, Place, object};
use crate::catalog::{self, CatalogError, Scope};
use crate::manifest::{Manifest, Object};
use crate::report::Work;
use crate::store::{Content, Limits, Store, read_ahead};

/// Pieces between the store and the archive, each of a few hundred KiB at the most, or of one range.
pub(super) const PIECES: usize = 4;

/// What lies in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    pub id: String,
    pub files: u64,
    /// Of the files; the archive itself is about as large.
    pub bytes: u64,
}

/// Brings `id` into a file or an object that is not there yet, the latter by `writer`; to standard output where that is
/// asked for.
pub async fn export(
    scope: &Scope<'_>,
    writer: &Store,
    id: &str,
    place: &Place,
    limits: Limits,
) -> Result<Exported, ArchiveError> {
    let _working = scope.status().begin(Work::Export);
    let manifest = catalog::find(scope, Some(id)).await?;
    if manifest.unverified {
        return Err(CatalogError::NoManifest { id: id.to_owned() }.into());
    }
    // Nobody's, wherever it goes.
    let manifest = Manifest { owner: None, nonce: None, ..manifest };
    let front = serde_json::to_vec(&manifest)
        .map_err(|error| ArchiveError::Malformed { file: place.name(), what: error.to_string() })?;
    let mut entries = vec![Entry { name: MANIFEST.to_owned(), size: front.len() as u64 }];
    entries.extend(
        manifest
            .objects
            .iter()
            .map(|object| Entry { name: manifest.relative(&object.key).to_owned(), size: object.size }),
    );
    if let Place::Object { bucket, key } = place {
        let target = writer.of_bucket(bucket);
        object::absent(&target, key).await?;
        let written = object::write(&target, key, entries, &manifest, |sender| {
            feed(scope, &manifest, front.into(), sender, limits)
        });
        written.await?;
        return Ok(Exported {
            id: id.to_owned(),
            files: manifest.objects.len() as u64,
            bytes: manifest.bytes(),
        });
    }
    let (sender, pieces) = mpsc::channel(PIECES);
    let writing = {
        let (place, mtime) = (place.clone(), seconds(manifest.completed.as_deref()));
        tokio::task::spawn_blocking(move || write(&place, &entries, mtime, pieces))
    };
    let fed = feed(scope, &manifest, front.into(), sender, limits).await;
    let written = writing.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
    match (fed, written) {
        (Ok(()), Ok(part)) => name(part, place)?,
        // What was not sent was not written either: the first cause is what is told.
        (Err(error), _) => return Err(error),
        (Ok(()), Err(source)) if source.kind() == io::ErrorKind::AlreadyExists => {
            return Err(ArchiveError::There { file: place.name() });
        }
        (Ok(()), Err(source)) => {
            return Err(ArchiveError::Local { verb: "written", path: place.name(), source });
        }
    }
    Ok(Exported { id: id.to_owned(), files: manifest.objects.len() as u64, bytes: manifest.bytes() })
}

/// All bytes in their order, each object compared with its checksum as soon as it has passed.
async fn feed(
    scope: &Scope<'_>,
    manifest: &Manifest,
    front: Bytes,
    sender: mpsc::Sender<Bytes>,
    limits: Limits,
) -> Result<(), ArchiveError> {
    if sender.send(front).await.is_err() {
        return Ok(());
    }
    let progress = catalog::Progress::new(scope.status(), Work::Export, manifest.bytes());
    for object in &manifest.objects {
        let Object { key, size, sha256, etag: _, version_id: _, other: _ } = object;
        let moved = |bytes| progress.moved(bytes);
        let read = read_ahead(scope.store(), key, *size, limits, &sender, moved).await?;
        // Whoever writes and has failed says why.
        let Some(Content { sha256: found, .. }) = read else { return Ok(()) };
        if found != *sha256 {
            let id = manifest.backup_id.clone().unwrap_or_default();
            let wrong = vec![format!("{key} has the SHA-256 {found}, not {sha256}")];
            return Err(CatalogError::Damaged { id, wrong }.into());
        }
    }
    Ok(())
}

/// A file that has no name yet; it is removed where it gets none.
struct Part(Option<PathBuf>);

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn write(place: &Place, entries: &[Entry], mtime: u64, pieces: mpsc::Receiver<Bytes>) -> io::Result<Part> {
    match place {
        Place::Stream => {
            tape::write(io::stdout().lock(), entries, mtime, pieces)?.flush()?;
            Ok(Part(None))
        }
        // Sent by `object`.
        Place::Object { .. } => Err(io::ErrorKind::Unsupported.into()),
        Place::File(path) => {
            if path.symlink_metadata().is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let part = Part(Some(unnamed(path)));
            // It holds all data of the node.
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let file = options.open(unnamed(path))?;
            let written = tape::write(BufWriter::with_capacity(1 << 20, file), entries, mtime, pieces)?;
            let file: File = written.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            Ok(part)
        }
    }
}

fn unnamed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Whole, and so it gets its name.
fn name(mut part: Part, place: &Place) -> Result<(), ArchiveError> {
    let (Some(from), Place::File(to)) = (&part.0, place) else { return Ok(()) };
    let failed = |source| ArchiveError::Local { verb: "named", path: to.display().to_string(), source };
    std::fs::rename(from, to).map_err(failed)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    part.0 = None;
    Ok(())
}

pub(super) fn seconds(time: Option<&str>) -> u64 {
    let time: Option<Timestamp> = time.and_then(|time| time.parse().ok());
    time.and_then(|time| u64::try_from(time.as_second()).ok()).unwrap_or_default()
}
