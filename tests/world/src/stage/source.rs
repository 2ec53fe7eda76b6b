//! Another environment's bucket, `restore.from`: at the end everything in it must be as it was, and nobody may even have
//! asked for more than to read.

use std::collections::BTreeMap;

use super::Site;
use crate::ledger::{Event, Seen};
use crate::s3::{ObjectInfo, Store};

/// What only looks.
const READS: [&str; 5] = ["GetObject", "HeadObject", "ListObjectsV2", "HeadBucket", "GetBucketLocation"];

/// The bucket, as it was before the agent ran.
pub struct Source {
    pub(super) bucket: String,
    before: Vec<ObjectInfo>,
}

impl Source {
    pub fn look(store: &Store, bucket: &str) -> Self {
        Self { bucket: bucket.to_owned(), before: store.keys(bucket, "") }
    }
}

impl Site {
    /// What was done to the source, or tried.
    pub fn source_written(&self) -> Vec<String> {
        let Some(Source { bucket, before }) = &self.source else { return Vec::new() };
        let mut found = changes(before, &self.store.keys(bucket, ""));
        found.extend(writes(bucket, &self.ledger.events()));
        found.into_iter().map(|what| format!("the source {bucket}: {what}")).collect()
    }
}

fn changes(before: &[ObjectInfo], now: &[ObjectInfo]) -> Vec<String> {
    let by_key = |all: &[ObjectInfo]| -> BTreeMap<String, ObjectInfo> {
        all.iter().map(|object| (object.key.clone(), object.clone())).collect()
    };
    let (before, now) = (by_key(before), by_key(now));
    let lost = before.iter().filter(|(key, object)| now.get(*key) != Some(*object));
    let mut found: Vec<String> = lost.map(|(key, _)| format!("{key} is lost or changed")).collect();
    let new = now.keys().filter(|key| !before.contains_key(*key));
    found.extend(new.map(|key| format!("{key} was written")));
    found
}

fn writes(bucket: &str, events: &[Seen]) -> Vec<String> {
    let write = |seen: &Seen| match &seen.event {
        Event::Call { service, operation, parameters, .. } if service == "s3" => {
            let there = parameters.get("Bucket").is_some_and(|named| named == bucket);
            (there && !READS.contains(&operation.as_str()))
                .then(|| format!("s3:{operation} of {}", parameters.get("Key").map_or("it", String::as_str)))
        }
        _ => None,
    };
    events.iter().filter_map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_more_than_a_look_is_told() {
        let call = |operation: &str, bucket: &str| Seen {
            at: jiff::Timestamp::now(),
            event: Event::Call {
                service: "s3".to_owned(),
                operation: operation.to_owned(),
                caller: None,
                parameters: [("Bucket", bucket), ("Key", "k")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
                // Refused or not: it was tried.
                status: 403,
                code: None,
            },
        };
        let rows = [
            ("GetObject", "source", 0),
            ("ListObjectsV2", "source", 0),
            ("PutObject", "own", 0),
            ("PutObject", "source", 1),
            ("DeleteObject", "source", 1),
            ("CreateMultipartUpload", "source", 1),
            ("CopyObject", "source", 1),
        ];
        for (operation, bucket, expected) in rows {
            let found = writes("source", &[call(operation, bucket)]);
            assert_eq!(found.len(), expected, "{operation} {bucket}: {found:?}");
        }
    }

    #[test]
    fn whatever_lies_there_otherwise_is_told() {
        let object =
            |key: &str, etag: &str| ObjectInfo { key: key.to_owned(), size: 1, etag: etag.to_owned() };
        let before = [object("a", "1"), object("b", "1")];
        assert_eq!(changes(&before, &before), Vec::<String>::new());
        assert_eq!(changes(&before, &[object("a", "2")]), ["a is lost or changed", "b is lost or changed"]);
        let more = [object("a", "1"), object("b", "1"), object("c", "1")];
        assert_eq!(changes(&before, &more), ["c was written"]);
    }
}
