//! A backup out of a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::error::ArchiveError;
use super::tape::{self, Taken};
use super::{MANIFEST, Place, object};
use crate::catalog::{self, Scope};
use crate::manifest::{self, Manifest, Object, checksum};
use crate::report::Work;
use crate::store::{Limits, Moved, Owner, Parcel, Sending, Sent, Store, Tree, send};

/// As large as a manifest that is read from the bucket may be.
const LARGEST: u64 = 256 << 20;

/// What lies in the bucket now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    pub id: String,
    pub files: u64,
    pub bytes: u64,
    /// Whose it was.
    pub deployment: String,
}

/// Brings what is in the archive into the bucket, by `writer`. One of its files at a time lies in a folder below `spool`.
pub async fn import(
    scope: &Scope<'_>,
    writer: &Store,
    place: &Place,
    spool: Option<&Path>,
    connections: usize,
    limits: Limits,
) -> Result<Imported, ArchiveError> {
    let _working = scope.status().begin(Work::Import);
    let spool = Spool::make(place, spool)?;
    let (first_sender, first) = oneshot::channel();
    // One is sent while the next is taken out.
    let (sender, taken) = mpsc::channel(1);
    let reading = read(scope, place, spool.0.clone(), limits, first_sender, sender);
    let sent = async {
        // Where it ends before, the reader says why.
        let Ok((name, bytes)) = first.await else { return Ok(None) };
        let theirs = front(scope, place, &name, &bytes)?;
        absent(scope, &theirs).await?;
        // A reader that waits for a place ends when nobody is there any more.
        let mut taken = taken;
        let sent = all(scope, writer, place, &theirs, &spool.0, &mut taken, connections).await?;
        Ok::<_, ArchiveError>(Some((theirs, sent)))
    };
    let (sent, read) = tokio::join!(sent, reading);
    // Bytes that could not be had: whatever was made of them is told by that.
    let (theirs, sent) = match (sent, read?) {
        (Ok(Some(done)), Ok(())) => done,
        (Err(error), _) => return Err(error),
        (Ok(None), Ok(())) => return Err(malformed(place, "it is empty")),
        (Ok(_), Err(error)) => return Err(malformed(place, &error.to_string())),
    };
    let (id, manifest) = ours(scope, &theirs, sent, place)?;
    let listed = catalog::listed(scope.store(), &manifest).await?;
    let by_key: BTreeMap<&str, _> = listed.iter().map(|object| (object.key.as_str(), object)).collect();
    let wrong = catalog::differences(&manifest, &by_key);
    if !wrong.is_empty() {
        return Err(catalog::CatalogError::Damaged { id, wrong }.into());
    }
    catalog::write_copy(scope, writer, &manifest).await?;
    let (files, bytes) = (manifest.objects.len() as u64, manifest.bytes());
    Ok(Imported { id, files, bytes, deployment: theirs.deployment })
}

fn malformed(place: &Place, what: &str) -> ArchiveError {
    ArchiveError::Malformed { file: place.name(), what: what.to_owned() }
}

/// A folder that goes with its value.
struct Spool(PathBuf);

impl Spool {
    fn make(place: &Place, chosen: Option<&Path>) -> Result<Self, ArchiveError> {
        let beside = match (chosen, place) {
            (Some(chosen), _) => chosen.to_owned(),
            (None, Place::File(file)) => match file.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
                _ => PathBuf::from("."),
            },
            (None, Place::Stream | Place::Object { .. }) => return Err(ArchiveError::NoSpool),
        };
        let path = beside.join(format!(".weaviate-import-{}", std::process::id()));
        let failed = |source| ArchiveError::Local { verb: "made", path: path.display().to_string(), source };
        std::fs::create_dir(&path).map_err(failed)?;
        Ok(Self(path))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Takes everything out, on a thread of its own. What is wrong with the archive is within; that its bytes cannot be had,
/// around it.
async fn read(
    scope: &Scope<'_>,
    place: &Place,
    spool: PathBuf,
    limits: Limits,
    first: oneshot::Sender<(String, Vec<u8>)>,
    taken: mpsc::Sender<Taken>,
) -> Result<io::Result<()>, ArchiveError> {
    let blocking = match place.clone() {
        Place::Object { bucket, key } => {
            let source = scope.store().of_bucket(&bucket);
            let take = move |pulled| tape::read(pulled, &spool, LARGEST, first, &taken);
            return Ok(object::read(&source, &key, limits, take).await?);
        }
        Place::Stream => tokio::task::spawn_blocking(move || {
            tape::read(io::stdin().lock(), &spool, LARGEST, first, &taken)
        }),
        Place::File(path) => {
            tokio::task::spawn_blocking(move || tape::read(File::open(path)?, &spool, LARGEST, first, &taken))
        }
    };
    Ok(blocking.await.unwrap_or_else(|panic| Err(io::Error::other(panic))))
}

/// The manifest in front: read and checked as one in the bucket.
fn front(scope: &Scope<'_>, place: &Place, name: &str, bytes: &[u8]) -> Result<Manifest, ArchiveError> {
    if name != MANIFEST {
        return Err(malformed(place, "it does not begin with a manifest"));
    }
    let file = place.name();
    let manifest = Manifest::parse("", &file, bytes)?;
    if manifest.node != scope.node() {
        let (theirs, ours) = (manifest.node, scope.node().to_owned());
        return Err(ArchiveError::OtherNode { file, theirs, ours });
    }
    manifest.check("", &file, &manifest.deployment, scope.node())?;
    match manifest.backup_id {
        Some(_) if !manifest.unverified => Ok(manifest),
        _ => Err(malformed(place, "its manifest has no checksums")),
    }
}

/// A backup is never overwritten.
async fn absent(scope: &Scope<'_>, manifest: &Manifest) -> Result<(), ArchiveError> {
    let store = scope.store();
    let id = manifest.backup_id.clone().unwrap_or_default();
    let copy = store.settings().key(&format!("{}/{id}.json", manifest::COPIES));
    if store.list(&copy).await?.iter().any(|object| object.key == copy) {
        let (bucket, prefix) = (store.bucket().to_owned(), store.settings().prefix.clone());
        return Err(ArchiveError::Exists { bucket, prefix, id });
    }
    Ok(())
}

/// Sends every file, each once and as the manifest says; by their names in the archive.
async fn all(
    scope: &Scope<'_>,
    writer: &Store,
    place: &Place,
    manifest: &Manifest,
    spool: &Path,
    taken: &mut mpsc::Receiver<Taken>,
    connections: usize,
) -> Result<BTreeMap<String, Sent>, ArchiveError> {
    let mut expected: BTreeMap<&str, &Object> =
        manifest.objects.iter().map(|object| (manifest.relative(&object.key), object)).collect();
    let owner = Owner { uid: nix::unistd::getuid().as_raw(), gid: nix::unistd::getgid().as_raw() };
    let tree = Tree::open(spool, owner)?;
    let flight = Arc::new(Semaphore::new(connections));
    let status = scope.status().clone();
    let moved: Moved = Arc::new(move |_| status.alive());
    let progress = catalog::Progress::new(scope.status(), Work::Import, manifest.bytes());
    let mut sent = BTreeMap::new();
    while let Some(Taken { name, size, sha256, file }) = taken.recv().await {
        let Some(object) = expected.remove(name.as_str()) else {
            return Err(malformed(place, &format!("{name} is not in its manifest, or is there twice")));
        };
        if size != object.size {
            return Err(malformed(place, &format!("{name} has {size} bytes, not {}", object.size)));
        }
        // Before it is sent: a base that it shares with another backup may lie there.
        if sha256 != object.sha256 {
            let expected = object.sha256.clone();
            return Err(ArchiveError::Corrupt { file: place.name(), entry: name, found: sha256, expected });
        }
        let parcel = Parcel { path: file.clone(), key: writer.settings().key(&name) };
        let done = send(writer, &tree, &parcel, Sending::default(), &flight, &moved).await?;
        tree.remove(&file)?;
        progress.moved(size);
        sent.insert(name, done);
    }
    Ok(sent)
}

/// The manifest as it is here: the same backup under our own prefix and deployment.
fn ours(
    scope: &Scope<'_>,
    theirs: &Manifest,
    mut sent: BTreeMap<String, Sent>,
    place: &Place,
) -> Result<(String, Manifest), ArchiveError> {
    let id = theirs.backup_id.clone().unwrap_or_default();
    let store = scope.store();
    let mut objects = Vec::new();
    for object in &theirs.objects {
        let name = theirs.relative(&object.key);
        let Some(Sent { key, size, sha256, etag, version_id }) = sent.remove(name) else {
            return Err(malformed(place, &format!("{name} is missing")));
        };
        let etag = Some(etag).filter(|etag| !etag.is_empty());
        objects.push(Object { key, size, sha256, etag, version_id, other: object.other.clone() });
    }
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    let manifest = Manifest {
        deployment: scope.deployment().to_owned(),
        bucket: Some(store.bucket().to_owned()),
        path: Some(store.settings().key(&id)),
        checksum: Some(checksum(&objects)),
        objects,
        owner: None,
        nonce: None,
        marker: None,
        ..theirs.clone()
    };
    Ok((id, manifest))
}
