//! The store itself: buckets, keys, and two versions of each key.
//!
//! Bodies are files under the store's root, named by number; everything else is in memory. A version's
//! file goes when its last reader lets go, so a read that began before an overwrite ends with the bytes
//! that it began with. All changes are made under one lock, which is what makes conditions atomic.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::SystemTime;

use s3s::S3ErrorCode;
use s3s::dto::Checksum;

use super::multipart::Upload;
use crate::cloud::View;

/// What a client said about an object besides its bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Description {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub metadata: Option<std::collections::HashMap<String, String>>,
    /// `AES256` or `aws:kms`.
    pub encryption: Option<String>,
    pub kms_key: Option<String>,
}

/// A file that goes with its owner.
#[derive(Debug)]
pub(super) struct OwnedFile(pub PathBuf);

impl Drop for OwnedFile {
    fn drop(&mut self) {
        // A store whose root has gone already has nothing left to remove.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// One stored object.
#[derive(Debug)]
pub(super) struct Version {
    pub file: OwnedFile,
    pub size: u64,
    pub etag: String,
    pub modified: SystemTime,
    pub checksums: Checksum,
    pub description: Description,
}

/// What must hold for a write to be done.
#[derive(Clone, Debug, Default)]
pub(super) enum Condition {
    #[default]
    None,
    /// `If-None-Match: *`
    IsAbsent,
    /// `If-Match`: this ETag, or any where there is none.
    Matches(Option<String>),
}

#[derive(Debug, Default)]
struct Key {
    current: Option<Arc<Version>>,
    previous: Option<Arc<Version>>,
}

#[derive(Debug)]
pub(super) struct Bucket {
    keys: BTreeMap<String, Key>,
    /// The key that changed last: what a stale listing does not know yet.
    changed_last: Option<String>,
    pub uploads: BTreeMap<String, Upload>,
    pub created: SystemTime,
}

#[derive(Debug)]
pub(super) struct Objects {
    root: PathBuf,
    numbers: AtomicU64,
    buckets: Mutex<BTreeMap<String, Bucket>>,
    /// The buckets' policy: nothing is stored that is not to be encrypted by KMS.
    kms_only: AtomicBool,
    /// Buckets whose owner lets nobody in any more.
    closed: Mutex<BTreeSet<String>>,
    inspector: Inspector,
}

/// Who looks at what clients store.
#[derive(Default)]
struct Inspector(OnceLock<Inspection>);

pub(super) type Inspection = Box<dyn Fn(&str, &[u8]) + Send + Sync>;

impl std::fmt::Debug for Inspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Inspector").field(&self.0.get().is_some()).finish()
    }
}

impl Objects {
    pub fn new(root: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(root)?;
        let numbers = AtomicU64::new(1);
        Ok(Self {
            root: root.to_owned(),
            numbers,
            buckets: Mutex::default(),
            kms_only: AtomicBool::new(false),
            closed: Mutex::default(),
            inspector: Inspector::default(),
        })
    }

    pub fn demand_kms(&self) {
        self.kms_only.store(true, Ordering::Relaxed);
    }

    pub fn demands_kms(&self) -> bool {
        self.kms_only.load(Ordering::Relaxed)
    }

    pub fn close(&self, bucket: &str) {
        self.closed.lock().expect("the store changes without panics").insert(bucket.to_owned());
    }

    pub fn is_closed(&self, bucket: &str) -> bool {
        self.closed.lock().expect("the store changes without panics").contains(bucket)
    }

    /// The first one stays.
    pub fn inspect_by(&self, by: Inspection) {
        let _ = self.inspector.0.set(by);
    }

    /// For who wants to see what is stored.
    pub fn inspect(&self, key: &str, body: &[u8]) {
        if let Some(by) = self.inspector.0.get() {
            by(key, body);
        }
    }

    /// A name that no file of this store has had before.
    pub fn new_file(&self) -> OwnedFile {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        OwnedFile(self.root.join(format!("{number:08}")))
    }

    pub fn buckets(&self) -> MutexGuard<'_, BTreeMap<String, Bucket>> {
        self.buckets.lock().expect("the store changes without panics")
    }

    pub fn has_bucket(&self, bucket: &str) -> bool {
        self.buckets().contains_key(bucket)
    }

    /// Makes a bucket; `false` where it exists.
    pub fn create_bucket(&self, bucket: &str) -> bool {
        let mut buckets = self.buckets();
        if buckets.contains_key(bucket) {
            return false;
        }
        let empty = Bucket {
            keys: BTreeMap::new(),
            changed_last: None,
            uploads: BTreeMap::new(),
            created: SystemTime::now(),
        };
        buckets.insert(bucket.to_owned(), empty);
        true
    }

    /// The only way in: the condition is checked and the version put in place under one lock.
    pub fn commit(
        &self,
        bucket: &str,
        key: &str,
        version: Version,
        condition: &Condition,
    ) -> Result<Arc<Version>, S3ErrorCode> {
        let mut buckets = self.buckets();
        let bucket = buckets.get_mut(bucket).ok_or(S3ErrorCode::NoSuchBucket)?;
        let current = bucket.keys.get(key).and_then(|key| key.current.as_deref());
        condition.check(current)?;
        let version = Arc::new(version);
        let entry = bucket.keys.entry(key.to_owned()).or_default();
        entry.previous = entry.current.replace(Arc::clone(&version));
        bucket.changed_last = Some(key.to_owned());
        Ok(version)
    }

    /// Deleting what is not there succeeds, as it does at the real service.
    pub fn delete(&self, bucket: &str, key: &str, condition: &Condition) -> Result<(), S3ErrorCode> {
        let mut buckets = self.buckets();
        let bucket = buckets.get_mut(bucket).ok_or(S3ErrorCode::NoSuchBucket)?;
        let current = bucket.keys.get(key).and_then(|key| key.current.as_deref());
        condition.check(current)?;
        if let Some(entry) = bucket.keys.get_mut(key).filter(|entry| entry.current.is_some()) {
            entry.previous = entry.current.take();
            bucket.changed_last = Some(key.to_owned());
        }
        Ok(())
    }

    pub fn get(&self, bucket: &str, key: &str, view: View) -> Option<Arc<Version>> {
        let buckets = self.buckets();
        let entry = buckets.get(bucket)?.keys.get(key)?;
        match view {
            View::Now => entry.current.clone(),
            View::Stale => entry.previous.clone(),
            View::Absent => None,
        }
    }

    /// All keys of a bucket that begin with `prefix`, in order, as `view` sees them.
    pub fn list(&self, bucket: &str, prefix: &str, view: View) -> Option<Vec<(String, Arc<Version>)>> {
        let buckets = self.buckets();
        let bucket = buckets.get(bucket)?;
        if view == View::Absent {
            return Some(Vec::new());
        }
        let from = bucket.keys.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        let seen = from.filter_map(|(key, entry)| {
            let stale = view == View::Stale && bucket.changed_last.as_ref() == Some(key);
            let version = if stale { &entry.previous } else { &entry.current };
            version.as_ref().map(|version| (key.clone(), Arc::clone(version)))
        });
        Some(seen.collect())
    }
}

impl Condition {
    fn check(&self, current: Option<&Version>) -> Result<(), S3ErrorCode> {
        match (self, current) {
            (Self::None, _) | (Self::IsAbsent, None) | (Self::Matches(None), Some(_)) => Ok(()),
            (Self::Matches(_), None) => Err(S3ErrorCode::NoSuchKey),
            (Self::Matches(Some(wanted)), Some(current)) if *wanted == current.etag => Ok(()),
            (Self::IsAbsent | Self::Matches(Some(_)), Some(_)) => Err(S3ErrorCode::PreconditionFailed),
        }
    }
}
