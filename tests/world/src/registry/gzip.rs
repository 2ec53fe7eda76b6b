//! A gzip file that is not compressed (RFC 1951 3.2.4, RFC 1952).
//!
//! By hand because every case of the world packs a stand-in of some dozens of megabytes: a compressor built
//! without optimisation takes seconds for it, and compresses for nobody.

use s3s::crypto::Crc32;

/// The most that one stored block holds.
const BLOCK: usize = 0xffff;

/// Magic, method "deflate", no name, no time, no hints, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Whether the bytes are packed.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(&HEADER[..2])
}

pub(super) fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 5 * (bytes.len() / BLOCK + 1) + 18);
    out.extend(HEADER);
    let mut rest = bytes;
    loop {
        let (block, after) = rest.split_at(rest.len().min(BLOCK));
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(after.is_empty()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend_from_slice(block);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    out.extend(Crc32::checksum_u32(bytes).to_le_bytes());
    // The size modulo 2^32.
    out.extend(u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or_default().to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    #[test]
    fn it_is_read_back() {
        for size in [0, 1, 0xffff, 0x10000, 200_000] {
            let bytes: Vec<u8> = (0..size).map(|n: usize| n.to_le_bytes()[0]).collect();
            let mut read = Vec::new();
            let packed = super::stored(&bytes);
            flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut read).expect("gzip");
            assert!(read == bytes, "{size} bytes");
        }
    }
}
