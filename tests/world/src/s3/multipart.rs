//! Uploads in parts: kept as files until they are completed or aborted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::{Checksum, ChecksumType, CompletedPart};
use s3s::{S3ErrorCode, S3Result};

use super::errors::{broken, refused};
use super::objects::{Description, Objects, OwnedFile};
use super::spool::{Spooled, base64_decoded, hex};

/// Every part but the last has at least this many bytes.
pub(super) const LEAST_PART: u64 = 5 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Upload {
    pub key: String,
    pub started: SystemTime,
    pub algorithm: Option<String>,
    pub whole: bool,
    pub description: Description,
    pub parts: BTreeMap<i32, Arc<PartFile>>,
}

#[derive(Debug)]
pub(super) struct PartFile {
    pub spooled: Spooled,
    pub stored: SystemTime,
}

/// What a completed upload is made of.
#[derive(Debug)]
pub(super) struct Assembled {
    pub file: OwnedFile,
    pub size: u64,
    pub etag: String,
    pub checksums: Checksum,
}

/// Checks the list of parts that the client sent against what was uploaded.
pub(super) fn chosen(upload: &Upload, wanted: &[CompletedPart]) -> S3Result<Vec<Arc<PartFile>>> {
    if wanted.is_empty() {
        return Err(refused(S3ErrorCode::InvalidPart));
    }
    if !wanted.is_sorted_by(|a, b| a.part_number < b.part_number) {
        return Err(refused(S3ErrorCode::InvalidPartOrder));
    }
    let mut parts = Vec::with_capacity(wanted.len());
    for (position, part) in wanted.iter().enumerate() {
        let number = part.part_number.unwrap_or_default();
        let stored = upload.parts.get(&number).ok_or_else(|| refused(S3ErrorCode::InvalidPart))?;
        let same = part.e_tag.as_ref().is_some_and(|etag| etag.value() == stored.spooled.md5);
        if !same || checksum_differs(part, &stored.spooled.checksums) {
            return Err(refused(S3ErrorCode::InvalidPart));
        }
        if position + 1 < wanted.len() && stored.spooled.size < LEAST_PART {
            return Err(refused(S3ErrorCode::EntityTooSmall));
        }
        parts.push(Arc::clone(stored));
    }
    Ok(parts)
}

fn checksum_differs(part: &CompletedPart, stored: &Checksum) -> bool {
    let differs = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
    differs(&part.checksum_crc32, &stored.checksum_crc32)
        || differs(&part.checksum_crc32c, &stored.checksum_crc32c)
        || differs(&part.checksum_crc64nvme, &stored.checksum_crc64nvme)
        || differs(&part.checksum_sha1, &stored.checksum_sha1)
        || differs(&part.checksum_sha256, &stored.checksum_sha256)
}

/// Joins the parts into one file; the ETag is the MD5 of the parts' MD5s and their number.
pub(super) fn assemble(
    objects: &Objects,
    parts: &[Arc<PartFile>],
    algorithm: Option<&str>,
    whole: bool,
) -> S3Result<Assembled> {
    let file = objects.new_file();
    let mut out = std::fs::File::create(&file.0).map_err(broken)?;
    let mut digests = Md5::new();
    let mut size = 0;
    for part in parts {
        let mut from = std::fs::File::open(&part.spooled.file.0).map_err(broken)?;
        size += std::io::copy(&mut from, &mut out).map_err(broken)?;
        digests.update(&bytes_of(&part.spooled.md5));
    }
    let etag = format!("{}-{}", hex(digests.finalize().as_ref()), parts.len());
    let checksums = match algorithm {
        Some(name) if !whole => composite(parts, name),
        name => full(&file, name.unwrap_or("CRC64NVME"))?,
    };
    Ok(Assembled { file, size, etag, checksums })
}

fn bytes_of(hexadecimal: &str) -> Vec<u8> {
    let pairs = (0..hexadecimal.len()).step_by(2).filter_map(|at| hexadecimal.get(at..at + 2));
    pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}

fn hasher(algorithm: &str) -> ChecksumHasher {
    let is = |name: &str| algorithm.eq_ignore_ascii_case(name);
    ChecksumHasher {
        crc32: is("CRC32").then(Crc32::new),
        crc32c: is("CRC32C").then(Crc32c::new),
        sha1: is("SHA1").then(Sha1::new),
        sha256: is("SHA256").then(Sha256::new),
        crc64nvme: is("CRC64NVME").then(Crc64Nvme::new),
    }
}

/// The checksum of the parts' checksums, with their number.
fn composite(parts: &[Arc<PartFile>], algorithm: &str) -> Checksum {
    let mut hasher = hasher(algorithm);
    for part in parts {
        let c = &part.spooled.checksums;
        let given = [
            &c.checksum_crc32,
            &c.checksum_crc32c,
            &c.checksum_crc64nvme,
            &c.checksum_sha1,
            &c.checksum_sha256,
        ];
        if let Some(bytes) = given.into_iter().flatten().next().and_then(|text| base64_decoded(text)) {
            hasher.update(&bytes);
        }
    }
    let mut sums = hasher.finalize();
    for sum in [
        &mut sums.checksum_crc32,
        &mut sums.checksum_crc32c,
        &mut sums.checksum_crc64nvme,
        &mut sums.checksum_sha1,
        &mut sums.checksum_sha256,
    ]
    .into_iter()
    .flatten()
    {
        *sum = format!("{sum}-{}", parts.len());
    }
    sums.checksum_type = Some(ChecksumType::from_static(ChecksumType::COMPOSITE));
    sums
}

fn full(file: &OwnedFile, algorithm: &str) -> S3Result<Checksum> {
    use std::io::Read as _;
    let mut hasher = hasher(algorithm);
    let mut from = std::fs::File::open(&file.0).map_err(broken)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = from.read(&mut buffer).map_err(broken)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    let mut sums = hasher.finalize();
    sums.checksum_type = Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT));
    Ok(sums)
}
