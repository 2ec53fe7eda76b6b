//! Pages of a listing: prefix, delimiter, continuation, at most 1000 entries.

use std::sync::Arc;
use std::time::SystemTime;

use s3s::S3Result;
use s3s::dto::{CommonPrefix, ETag, Object, ObjectStorageClass, Timestamp};
use s3s::{S3Error, S3ErrorCode};

use super::objects::Version;
use super::spool::{base64_decoded, base64_encoded};

/// The service never returns more, whatever was asked for.
const MOST: usize = 1000;

/// What a listing asks for, both versions of the call.
#[derive(Debug, Default)]
pub(super) struct Query<'a> {
    pub prefix: &'a str,
    pub delimiter: Option<&'a str>,
    /// Entries up to and including this one are left out.
    pub after: Option<String>,
    pub max_keys: Option<i32>,
    /// Keys in the answer are URL-encoded.
    pub encoded: bool,
}

#[derive(Debug, Default)]
pub(super) struct Page {
    pub objects: Vec<Object>,
    pub prefixes: Vec<CommonPrefix>,
    pub max_keys: i32,
    pub count: i32,
    /// The last entry of this page where there are more.
    pub next: Option<String>,
}

/// One page of `keys`, which are sorted.
pub(super) fn page(keys: Vec<(String, Arc<Version>)>, query: &Query<'_>, cap: usize) -> Page {
    let wanted = query.max_keys.map_or(MOST, |n| usize::try_from(n).unwrap_or(0)).min(MOST);
    let limit = wanted.min(cap);
    let mut page = Page { max_keys: i32::try_from(wanted).unwrap_or(i32::MAX), ..Page::default() };
    let mut last: Option<String> = None;
    let mut entries = 0;
    for (key, version) in keys {
        let rest = &key[query.prefix.len()..];
        let folder = query
            .delimiter
            .filter(|d| !d.is_empty())
            .and_then(|d| rest.find(d).map(|at| format!("{}{}", query.prefix, &rest[..at + d.len()])));
        let name = folder.as_deref().unwrap_or(&key);
        if query.after.as_deref().is_some_and(|after| name <= after) || last.as_deref() == Some(name) {
            continue;
        }
        if entries == limit {
            page.next = last;
            break;
        }
        entries += 1;
        last = Some(name.to_owned());
        match folder {
            Some(folder) => {
                page.prefixes.push(CommonPrefix { prefix: Some(shown(&folder, query.encoded)) });
            }
            None => page.objects.push(entry(&shown(&key, query.encoded), &version)),
        }
    }
    page.count = i32::try_from(entries).unwrap_or(i32::MAX);
    page
}

fn entry(key: &str, version: &Version) -> Object {
    Object {
        key: Some(key.to_owned()),
        size: i64::try_from(version.size).ok(),
        e_tag: Some(ETag::Strong(version.etag.clone())),
        last_modified: Some(Timestamp::from(version.modified)),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        checksum_type: version.checksums.checksum_type.clone(),
        ..Object::default()
    }
}

pub(super) fn shown(text: &str, encoded: bool) -> String {
    if !encoded {
        return text.to_owned();
    }
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
                out.push(byte.into());
            }
            _ => {
                use std::fmt::Write as _;
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}

/// Opaque to clients, as the service's are.
pub(super) fn token(key: &str) -> String {
    base64_encoded(format!("v1:{key}").as_bytes())
}

/// The key that a token stands for.
pub(super) fn from_token(token: &str) -> S3Result<String> {
    let decoded = base64_decoded(token).and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.and_then(|text| text.strip_prefix("v1:").map(str::to_owned)).ok_or_else(|| {
        S3Error::with_message(S3ErrorCode::InvalidArgument, "The continuation token provided is incorrect")
    })
}

/// HTTP dates carry whole seconds, and so do the service's modification times.
pub(super) fn whole_seconds(at: SystemTime) -> SystemTime {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs())
}
