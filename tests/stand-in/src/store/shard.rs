//! One shard: a directory of segments, a write-ahead log, and an index of what lives where.
//!
//! ```text
//! put, remove ──► .wal ──(flush: backup, deactivation, stop)──► segment .db + .cna, indexcount
//! open: segments in order, then logs; the newest word on an id wins
//! ```

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::object::Object;
use super::segment::{self, Span};

#[derive(Debug)]
pub struct Shard {
    dir: PathBuf,
    index: BTreeMap<Uuid, Place>,
    /// Ids removed or written since the last flush, with their doc ids.
    pending: BTreeMap<Uuid, u64>,
    log: Option<File>,
    flushed: i64,
    unflushed: i64,
    next_doc: u64,
}

#[derive(Clone, Debug)]
enum Place {
    File(Arc<PathBuf>, Span),
    Memory(Arc<Vec<u8>>),
}

impl Shard {
    /// Makes the files that an empty shard has.
    pub fn create(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir.join("lsm/objects"))?;
        std::fs::write(dir.join("indexcount"), [])?;
        std::fs::write(
            dir.join("proplengths"),
            r#"{"BucketedData":{},"SumData":{},"CountData":{},"ObjectCount":0}"#,
        )?;
        std::fs::write(dir.join("version"), [2, 0])?;
        Self::open(dir)
    }

    pub fn open(dir: &Path) -> io::Result<Self> {
        let mut shard = Self {
            dir: dir.to_owned(),
            index: BTreeMap::new(),
            pending: BTreeMap::new(),
            log: None,
            flushed: 0,
            unflushed: 0,
            next_doc: read_index_count(&dir.join("indexcount")),
        };
        let (segments, logs) = bucket_files(&dir.join("lsm/objects"));
        let mut counts = Vec::new();
        for path in &segments {
            counts.push(segment::net_additions(path));
            shard.apply(path, segment::scan(path).unwrap_or_default());
        }
        shard.flushed = match counts.iter().copied().collect::<Option<Vec<i64>>>() {
            // A shard of which only the counter came: the counter is all there is to tell.
            Some(counts) if counts.is_empty() && logs.is_empty() => signed(shard.next_doc),
            Some(counts) => counts.iter().sum(),
            None => signed(shard.index.len() as u64),
        };
        for path in &logs {
            shard.replay(path)?;
        }
        Ok(shard)
    }

    fn apply(&mut self, path: &Path, nodes: Vec<segment::Node>) {
        let path = Arc::new(path.to_owned());
        for node in nodes {
            match node.span {
                Some(span) => {
                    self.index.insert(node.id, Place::File(Arc::clone(&path), span));
                }
                None => {
                    self.index.remove(&node.id);
                }
            }
        }
    }

    fn replay(&mut self, log: &Path) -> io::Result<()> {
        for node in segment::scan_log(log)? {
            let doc = if let Some(span) = node.span {
                let bytes = segment::value(log, span)?;
                let doc = Object::decode(&bytes).map_or(0, |object| object.doc);
                let known = self.index.insert(node.id, Place::Memory(Arc::new(bytes))).is_some();
                self.unflushed += i64::from(!known);
                doc
            } else {
                self.unflushed -= i64::from(self.index.remove(&node.id).is_some());
                0
            };
            self.next_doc = self.next_doc.max(doc + 1);
            self.pending.insert(node.id, doc);
        }
        Ok(())
    }

    pub fn count(&self) -> i64 {
        (self.flushed + self.unflushed).max(0)
    }

    /// What `/v1/nodes` says: flushed segments only (recordings 03 and 08).
    pub fn flushed_count(&self) -> i64 {
        self.flushed.max(0)
    }

    pub fn get(&self, id: Uuid) -> Option<io::Result<Object>> {
        self.index.get(&id).map(read)
    }

    pub fn contains(&self, id: Uuid) -> bool {
        self.index.contains_key(&id)
    }

    /// Objects in the order of their ids, after `after`.
    pub fn list(&self, after: Option<Uuid>, skip: usize, limit: usize) -> io::Result<Vec<Object>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let range = (after.map_or(Unbounded, Excluded), Unbounded);
        self.index.range::<Uuid, _>(range).skip(skip).take(limit).map(|(_, place)| read(place)).collect()
    }

    pub fn all(&self) -> impl Iterator<Item = io::Result<Object>> + '_ {
        self.index.values().map(read)
    }

    pub fn put(&mut self, mut object: Object) -> io::Result<Object> {
        object.doc = self.next_doc;
        self.next_doc += 1;
        let bytes = object.encode();
        self.append(&segment::node(object.id, object.doc, Some(&bytes)))?;
        if self.index.insert(object.id, Place::Memory(Arc::new(bytes))).is_none() {
            self.unflushed += 1;
        }
        self.pending.insert(object.id, object.doc);
        Ok(object)
    }

    pub fn remove(&mut self, id: Uuid) -> io::Result<bool> {
        if !self.index.contains_key(&id) {
            return Ok(false);
        }
        self.append(&segment::node(id, 0, None))?;
        self.index.remove(&id);
        self.unflushed -= 1;
        self.pending.insert(id, 0);
        Ok(true)
    }

    fn append(&mut self, node: &[u8]) -> io::Result<()> {
        if self.log.is_none() {
            let bucket = self.dir.join("lsm/objects");
            std::fs::create_dir_all(&bucket)?;
            let path = bucket.join(format!("segment-{}.wal", nanos()));
            self.log = Some(OpenOptions::new().create(true).append(true).open(path)?);
        }
        self.log.as_mut().map_or(Ok(()), |log| log.write_all(node))
    }

    /// Turns what was written since the last flush into a segment, and drops the logs.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let bytes_of = |id: &Uuid| match self.index.get(id) {
            Some(Place::Memory(bytes)) => Some(Arc::clone(bytes)),
            _ => None,
        };
        let nodes: Vec<_> = pending
            .iter()
            .map(|(id, doc)| segment::node(*id, *doc, bytes_of(id).as_deref().map(Vec::as_slice)))
            .collect();
        let path = self.dir.join(format!("lsm/objects/segment-{}.l0.s0.db", nanos()));
        segment::write(&path, &nodes, self.unflushed)?;
        self.flushed += std::mem::take(&mut self.unflushed);
        self.apply(&path, segment::scan(&path)?);
        std::fs::write(self.dir.join("indexcount"), self.next_doc.to_le_bytes())?;
        self.log = None;
        for log in bucket_files(&self.dir.join("lsm/objects")).1 {
            std::fs::remove_file(log)?;
        }
        Ok(())
    }
}

fn read(place: &Place) -> io::Result<Object> {
    let bytes = match place {
        Place::Memory(bytes) => Arc::clone(bytes),
        Place::File(path, span) => Arc::new(segment::value(path, *span)?),
    };
    Object::decode(&bytes).map_err(io::Error::other)
}

/// Segments and logs of a bucket, oldest first: their names hold the time.
fn bucket_files(bucket: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut paths: Vec<_> =
        std::fs::read_dir(bucket).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let of = |extension: &str| {
        let matches = |path: &&PathBuf| path.extension().is_some_and(|found| found == extension);
        paths.iter().filter(matches).cloned().collect::<Vec<_>>()
    };
    (of("db"), of("wal"))
}

/// `indexcount` is a little-endian u64, and a file of no bytes in an empty shard.
fn read_index_count(path: &Path) -> u64 {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn nanos() -> i128 {
    jiff::Timestamp::now().as_nanosecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(n: u128) -> Object {
        Object {
            id: Uuid::from_u128(n),
            doc: 0,
            class: "A".into(),
            created: 1,
            updated: 1,
            properties: serde_json::Map::new(),
            vector: vec![0.5],
        }
    }

    #[test]
    fn what_was_written_is_there_after_a_crash_and_after_a_flush() {
        let dir = tempfile::tempdir().unwrap();
        let mut shard = Shard::create(dir.path()).unwrap();
        for n in [1, 2, 3, 2] {
            shard.put(object(n)).unwrap();
        }
        assert!(shard.remove(Uuid::from_u128(3)).unwrap());
        assert!(!shard.remove(Uuid::from_u128(9)).unwrap());
        assert_eq!((shard.count(), shard.flushed_count()), (2, 0));

        let mut crashed = Shard::open(dir.path()).unwrap();
        assert_eq!((crashed.count(), crashed.flushed_count()), (2, 0));
        crashed.flush().unwrap();
        assert_eq!((crashed.count(), crashed.flushed_count()), (2, 2));

        let mut again = Shard::open(dir.path()).unwrap();
        assert_eq!(again.count(), 2);
        again.remove(Uuid::from_u128(1)).unwrap();
        again.flush().unwrap();
        let left = Shard::open(dir.path()).unwrap();
        assert_eq!(left.count(), 1);
        assert_eq!(left.list(None, 0, 9).unwrap()[0].id, Uuid::from_u128(2));
        assert_eq!(std::fs::read(dir.path().join("indexcount")).unwrap(), 4_u64.to_le_bytes());
    }
}
