//! Receives a body into a file and checks it on the way, in bounded memory.
//!
//! ```text
//!  body ─▶ MD5, the asked-for checksum ─▶ file
//!  end  ─▶ trailers ─▶ compare with what was promised ─▶ Spooled, or a refusal and no file
//! ```

use futures_util::StreamExt;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::{Checksum, ChecksumType, StreamingBlob};
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders};
use tokio::io::AsyncWriteExt;

use super::errors::{broken, message, refused};
use super::objects::{Objects, OwnedFile};

/// What the client promised about the bytes.
#[derive(Debug, Default)]
pub(super) struct Promise {
    /// Base64, from `Content-MD5`.
    pub md5: Option<String>,
    pub checksums: Checksum,
    /// `CRC32`, `SHA256` ...: named without a value, which then comes in a trailer.
    pub algorithm: Option<String>,
    pub length: Option<i64>,
}

/// A received and checked body.
#[derive(Debug)]
pub(super) struct Spooled {
    pub file: OwnedFile,
    pub size: u64,
    /// Hexadecimal.
    pub md5: String,
    pub checksums: Checksum,
}

/// Receives `body`; what fails a check leaves nothing behind.
pub(super) async fn spool(
    objects: &Objects,
    body: Option<StreamingBlob>,
    promise: &Promise,
    trailers: Option<TrailingHeaders>,
) -> S3Result<Spooled> {
    let file = objects.new_file();
    let mut hasher = hasher_for(promise);
    let mut md5 = Md5::new();
    let mut size = 0;
    let opened = tokio::fs::File::create(&file.0).await.map_err(broken)?;
    let mut out = tokio::io::BufWriter::with_capacity(256 * 1024, opened);
    let mut body = body;
    while let Some(stream) = body.as_mut() {
        let Some(piece) = stream.next().await else { break };
        let piece = piece.map_err(|source| unreadable(source.as_ref()))?;
        md5.update(&piece);
        hasher.update(&piece);
        size += piece.len() as u64;
        out.write_all(&piece).await.map_err(broken)?;
    }
    out.flush().await.map_err(broken)?;
    if promise.length.is_some_and(|length| u64::try_from(length).ok() != Some(size)) {
        return Err(refused(S3ErrorCode::IncompleteBody));
    }
    let mut computed = hasher.finalize();
    computed.checksum_type = Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT));
    let promised = with_trailers(promise.checksums.clone(), trailers);
    compare(&promised, &computed)?;
    let md5 = md5.finalize();
    if let Some(wanted) = &promise.md5 {
        let wanted = base64_decoded(wanted).ok_or_else(|| refused(S3ErrorCode::InvalidDigest))?;
        if wanted != md5.as_ref() {
            return Err(refused(S3ErrorCode::BadDigest));
        }
    }
    Ok(Spooled { file, size, md5: hex(md5.as_ref()), checksums: computed })
}

/// The algorithm that the client named; CRC64NVME where it named none, as the service adds it by itself.
fn hasher_for(promise: &Promise) -> ChecksumHasher {
    let Checksum {
        checksum_crc32,
        checksum_crc32c,
        checksum_crc64nvme,
        checksum_sha1,
        checksum_sha256,
        checksum_type: _,
    } = &promise.checksums;
    let named = |name: &str, given: &Option<String>| {
        given.is_some() || promise.algorithm.as_deref().is_some_and(|a| a.eq_ignore_ascii_case(name))
    };
    let mut hasher = ChecksumHasher {
        crc32: named("CRC32", checksum_crc32).then(Crc32::new),
        crc32c: named("CRC32C", checksum_crc32c).then(Crc32c::new),
        sha1: named("SHA1", checksum_sha1).then(Sha1::new),
        sha256: named("SHA256", checksum_sha256).then(Sha256::new),
        crc64nvme: named("CRC64NVME", checksum_crc64nvme).then(Crc64Nvme::new),
    };
    let none =
        hasher.crc32.is_none() && hasher.crc32c.is_none() && hasher.sha1.is_none() && hasher.sha256.is_none();
    if none && hasher.crc64nvme.is_none() {
        hasher.crc64nvme = Some(Crc64Nvme::new());
    }
    hasher
}

fn with_trailers(mut promised: Checksum, trailers: Option<TrailingHeaders>) -> Checksum {
    let Some(trailers) = trailers.and_then(|t| t.take()) else { return promised };
    let text = |name: &str| trailers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    promised.checksum_crc32 = text("x-amz-checksum-crc32").or(promised.checksum_crc32);
    promised.checksum_crc32c = text("x-amz-checksum-crc32c").or(promised.checksum_crc32c);
    promised.checksum_crc64nvme = text("x-amz-checksum-crc64nvme").or(promised.checksum_crc64nvme);
    promised.checksum_sha1 = text("x-amz-checksum-sha1").or(promised.checksum_sha1);
    promised.checksum_sha256 = text("x-amz-checksum-sha256").or(promised.checksum_sha256);
    promised
}

/// Refuses what differs from a promise, naming the algorithm as the service does.
pub(super) fn compare(promised: &Checksum, computed: &Checksum) -> S3Result<()> {
    for (name, wanted, got) in [
        ("CRC32", &promised.checksum_crc32, &computed.checksum_crc32),
        ("CRC32C", &promised.checksum_crc32c, &computed.checksum_crc32c),
        ("CRC64NVME", &promised.checksum_crc64nvme, &computed.checksum_crc64nvme),
        ("SHA1", &promised.checksum_sha1, &computed.checksum_sha1),
        ("SHA256", &promised.checksum_sha256, &computed.checksum_sha256),
    ] {
        if wanted.is_some() && got.is_some() && wanted != got {
            let text = format!("The {name} you specified did not match the calculated checksum.");
            return Err(S3Error::with_message(S3ErrorCode::BadDigest, text));
        }
    }
    Ok(())
}

/// `s3s` checks the payload's own hash and length while it streams and says so in the error's text only.
fn unreadable(source: &(dyn std::error::Error + Send + Sync)) -> S3Error {
    let text = source.to_string();
    if text.contains("Sha256Mismatch") {
        let code = "XAmzContentSHA256Mismatch";
        let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message(code));
        error.set_status_code(hyper::StatusCode::BAD_REQUEST);
        return error;
    }
    if text.contains("SignatureMismatch") {
        return refused(S3ErrorCode::SignatureDoesNotMatch);
    }
    refused(S3ErrorCode::IncompleteBody)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn base64_decoded(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

pub(super) fn base64_encoded(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
