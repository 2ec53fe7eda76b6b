//! The store without HTTP: for fixtures, for the judge, and for damage that no client could do.
//!
//! Nothing here is recorded in the ledger.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::SystemTime;

use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc64Nvme, Md5};
use s3s::dto::ChecksumType;

use super::Store;
use super::listing::whole_seconds;
use super::objects::{Condition, Description, Version};
use super::spool::hex;
use super::writes::flip;
use crate::cloud::View;

/// What a listing shows of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    pub key: String,
    pub size: u64,
    /// Without its quotes.
    pub etag: String,
}

impl Store {
    /// Makes a bucket; one that exists stays as it is.
    pub fn create_bucket(&self, bucket: &str) {
        self.objects.create_bucket(bucket);
    }

    /// From now on the policy of every bucket is `s3.sse.demanded`.
    pub fn demand_kms(&self) {
        self.objects.demand_kms();
    }

    /// From now on the bucket's own policy denies everything.
    pub fn close(&self, bucket: &str) {
        self.objects.close(bucket);
    }

    pub fn put(&self, bucket: &str, key: &str, body: &[u8]) -> std::io::Result<ObjectInfo> {
        self.put_from(bucket, key, body)
    }

    pub fn put_file(&self, bucket: &str, key: &str, path: &Path) -> std::io::Result<ObjectInfo> {
        self.put_from(bucket, key, std::fs::File::open(path)?)
    }

    /// Stores everything that `from` gives, in bounded memory.
    pub fn put_from(
        &self,
        bucket: &str,
        key: &str,
        mut from: impl std::io::Read,
    ) -> std::io::Result<ObjectInfo> {
        let file = self.objects.new_file();
        let mut out = std::fs::File::create(&file.0)?;
        let mut md5 = Md5::new();
        let mut hasher = ChecksumHasher { crc64nvme: Some(Crc64Nvme::new()), ..ChecksumHasher::default() };
        let mut buffer = vec![0; 256 * 1024];
        let mut size = 0;
        loop {
            let read = from.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            let piece = &buffer[..read];
            md5.update(piece);
            hasher.update(piece);
            out.write_all(piece)?;
            size += read as u64;
        }
        let mut checksums = hasher.finalize();
        checksums.checksum_type = Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT));
        let version = Version {
            file,
            size,
            etag: hex(md5.finalize().as_ref()),
            modified: whole_seconds(SystemTime::now()),
            checksums,
            description: Description { encryption: Some("AES256".to_owned()), ..Description::default() },
        };
        let stored = self.objects.commit(bucket, key, version, &Condition::None);
        let stored = stored.map_err(|code| std::io::Error::other(format!("{bucket}: {}", code.as_str())))?;
        Ok(ObjectInfo { key: key.to_owned(), size: stored.size, etag: stored.etag.clone() })
    }

    /// The object as it is now, in memory.
    pub fn read(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let version = self.objects.get(bucket, key, View::Now)?;
        let mut bytes = Vec::new();
        std::fs::File::open(&version.file.0).ok()?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    pub fn info(&self, bucket: &str, key: &str) -> Option<ObjectInfo> {
        let version = self.objects.get(bucket, key, View::Now)?;
        Some(ObjectInfo { key: key.to_owned(), size: version.size, etag: version.etag.clone() })
    }

    /// All objects of a bucket whose keys begin with `prefix`, in order.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<ObjectInfo> {
        let listed = self.objects.list(bucket, prefix, View::Now).unwrap_or_default();
        listed
            .into_iter()
            .map(|(key, version)| ObjectInfo { key, size: version.size, etag: version.etag.clone() })
            .collect()
    }

    pub fn delete(&self, bucket: &str, key: &str) {
        // Deleting what is not there is no error for the service either.
        let _ = self.objects.delete(bucket, key, &Condition::None);
    }

    /// Damage in the store itself: one bit of the stored bytes, with ETag, size and checksums as before.
    pub fn flip_bit(&self, bucket: &str, key: &str, byte: usize, bit: u8) -> std::io::Result<()> {
        let version = self.objects.get(bucket, key, View::Now);
        flip(&version.ok_or(std::io::ErrorKind::NotFound)?.file.0, byte, bit)
    }
}
