//! Segment files of the `objects` bucket (LSM strategy "replace"), read and written.
//!
//! ```text
//! header: level u16, version u16, secondary indices u16, strategy u16, end of data u64
//! node:   tombstone u8, length u64, value, length u32, key (uuid), then per secondary index length u32, doc id
//! ```
//!
//! A write-ahead log here is a segment without a header. Ours carry no index trees behind the data.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use flate2::Crc;
use uuid::Uuid;

const HEADER: u64 = 16;

/// Where a value stands in its file.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub offset: u64,
    pub length: u64,
}

/// One node as it is met while scanning.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    pub id: Uuid,
    pub span: Option<Span>,
}

/// All nodes of a segment, up to the first that does not make sense.
pub fn scan(path: &Path) -> io::Result<Vec<Node>> {
    let mut file = BufReader::new(File::open(path)?);
    let mut header = [0; 16];
    file.read_exact(&mut header)?;
    let (_, secondary, _, end) = split(&header);
    scan_nodes(&mut file, HEADER, end, secondary)
}

/// All whole nodes of a write-ahead log.
pub fn scan_log(path: &Path) -> io::Result<Vec<Node>> {
    let file = File::open(path)?;
    let end = file.metadata()?.len();
    scan_nodes(&mut BufReader::new(file), 0, end, 1)
}

fn split(header: &[u8; 16]) -> (u16, u16, u16, u64) {
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let mut end = [0; 8];
    end.copy_from_slice(&header[8..]);
    (half(2), half(4), half(6), u64::from_le_bytes(end))
}

fn scan_nodes(file: &mut BufReader<File>, start: u64, end: u64, secondary: u16) -> io::Result<Vec<Node>> {
    let mut at = start;
    let mut nodes = Vec::new();
    while at < end {
        let mut head = [0; 9];
        if file.read_exact(&mut head).is_err() {
            break;
        }
        let mut length = [0; 8];
        length.copy_from_slice(&head[1..]);
        let length = u64::from_le_bytes(length);
        let offset = at + 9;
        if offset.checked_add(length).is_none_or(|value_end| value_end > end) {
            break;
        }
        file.seek_relative(i64::try_from(length).map_err(io::Error::other)?)?;
        at = offset + length;
        let Ok((id, read)) = read_key(file, secondary) else { break };
        at += read;
        nodes.push(Node { id, span: (head[0] == 0).then_some(Span { offset, length }) });
    }
    Ok(nodes)
}

fn read_key(file: &mut BufReader<File>, secondary: u16) -> io::Result<(Uuid, u64)> {
    let mut length = [0; 4];
    file.read_exact(&mut length)?;
    let mut key = [0; 16];
    if u32::from_le_bytes(length) != 16 {
        return Err(io::Error::other("a key that is no uuid"));
    }
    file.read_exact(&mut key)?;
    let mut read = 20;
    for _ in 0..secondary {
        file.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        file.seek_relative(i64::from(length))?;
        read += 4 + u64::from(length);
    }
    Ok((Uuid::from_bytes(key), read))
}

pub fn value(path: &Path, span: Span) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(io::SeekFrom::Start(span.offset))?;
    let mut bytes = vec![0; usize::try_from(span.length).map_err(io::Error::other)?];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// One node in its binary form; `None` writes a tombstone.
pub fn node(id: Uuid, doc: u64, value: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = vec![u8::from(value.is_none())];
    let value = value.unwrap_or_default();
    bytes.extend((value.len() as u64).to_le_bytes());
    bytes.extend(value);
    bytes.extend(16_u32.to_le_bytes());
    bytes.extend(id.as_bytes());
    bytes.extend(8_u32.to_le_bytes());
    bytes.extend(doc.to_le_bytes());
    bytes
}

/// Writes `nodes` as one segment, and beside it the `.cna` file with the count of net additions.
pub fn write(path: &Path, nodes: &[Vec<u8>], net_additions: i64) -> io::Result<()> {
    let data: u64 = nodes.iter().map(|node| node.len() as u64).sum();
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&[0, 0, 0, 0, 1, 0, 0, 0])?;
    file.write_all(&(HEADER + data).to_le_bytes())?;
    for node in nodes {
        file.write_all(node)?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    write_net_additions(&path.with_extension("cna"), net_additions)
}

fn write_net_additions(path: &Path, count: i64) -> io::Result<()> {
    let count = count.to_le_bytes();
    let mut bytes = checksum(&count).to_vec();
    bytes.extend(count);
    std::fs::write(path, bytes)
}

/// The count in a `.cna` file; `None` when it is absent or its checksum is wrong.
pub fn net_additions(segment: &Path) -> Option<i64> {
    let bytes = std::fs::read(segment.with_extension("cna")).ok()?;
    let (sum, count) = bytes.split_at_checked(4)?;
    let count: [u8; 8] = count.try_into().ok()?;
    (sum == checksum(&count)).then(|| i64::from_le_bytes(count))
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}
