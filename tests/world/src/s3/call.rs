//! One request: what it asks for, and what became known about it on its way.

use std::collections::BTreeMap;
use std::sync::Mutex;

use hyper::http::request::Parts;

use super::access::Caller;
use crate::cloud::View;

/// One request. Travels with it as an extension.
#[derive(Debug)]
pub struct Call {
    pub operation: &'static str,
    pub view: View,
    /// The one that it is signed for.
    pub region: Option<String>,
    /// What is stored has one bit flipped, at this byte.
    pub flip: Option<usize>,
    query: BTreeMap<String, String>,
    learned: Mutex<Learned>,
}

#[derive(Debug, Default)]
struct Learned {
    parameters: BTreeMap<String, String>,
    caller: Option<Caller>,
    code: Option<String>,
}

impl Call {
    /// Reads a request line and headers; needs no body and never fails.
    pub fn of(request: &Parts) -> Self {
        let host = request.headers.get("host").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let path = percent_decoded(request.uri.path().trim_start_matches('/'));
        let (bucket, key) = match super::hosts::bucket_of(host) {
            Some(bucket) => (Some(bucket.to_owned()), Some(path)),
            None => match path.split_once('/') {
                Some((bucket, key)) => (Some(bucket.to_owned()), Some(key.to_owned())),
                None => (Some(path), None),
            },
        };
        let bucket = bucket.filter(|text| !text.is_empty());
        let key = key.filter(|text| !text.is_empty());
        let query: BTreeMap<String, String> = request
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (percent_decoded(name), percent_decoded(&value.replace('+', " "))))
            .collect();
        let copies = request.headers.contains_key("x-amz-copy-source");
        let operation = operation(request.method.as_str(), bucket.is_some(), key.is_some(), &query, copies);
        let mut parameters = parameters(request, bucket.as_deref(), key.as_deref(), &query);
        let style = if super::hosts::bucket_of(host).is_some() { "virtual-host" } else { "path" };
        parameters.insert("Style".to_owned(), style.to_owned());
        parameters.insert("Host".to_owned(), host.to_owned());
        Self {
            operation,
            view: View::Now,
            region: region(request, &query),
            flip: None,
            query,
            learned: Mutex::new(Learned { parameters, ..Learned::default() }),
        }
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub fn fact(&self, name: &str, value: impl Into<String>) {
        self.learned().parameters.insert(name.to_owned(), value.into());
    }

    pub fn called_by(&self, caller: Caller) {
        self.learned().caller = Some(caller);
    }

    pub fn caller(&self) -> Option<Caller> {
        self.learned().caller.clone()
    }

    pub fn refused_with(&self, code: &str) {
        self.learned().code = Some(code.to_owned());
    }

    pub fn code(&self) -> Option<String> {
        self.learned().code.clone()
    }

    pub fn parameters(&self) -> BTreeMap<String, String> {
        self.learned().parameters.clone()
    }

    fn learned(&self) -> std::sync::MutexGuard<'_, Learned> {
        self.learned.lock().expect("facts are written without panics")
    }
}

/// Sub-resources that this double has nothing of: a request for one is none for the object or the bucket itself.
const OTHERS: [&str; 26] = [
    "accelerate",
    "acl",
    "analytics",
    "attributes",
    "cors",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "website",
];

fn operation(
    method: &str,
    bucket: bool,
    key: bool,
    query: &BTreeMap<String, String>,
    copies: bool,
) -> &'static str {
    let has = |name: &str| query.contains_key(name);
    match (method, bucket, key) {
        _ if OTHERS.iter().any(|other| has(other)) => "Unknown",
        // These are known to be read only.
        (method, ..) if method != "GET" && ["encryption", "versioning"].iter().any(|name| has(name)) => {
            "Unknown"
        }
        ("GET", false, _) => "ListBuckets",
        ("GET", true, false) if query.get("list-type").is_some_and(|v| v == "2") => "ListObjectsV2",
        ("GET", true, false) if has("location") => "GetBucketLocation",
        ("GET", true, false) if has("uploads") => "ListMultipartUploads",
        ("GET", true, false) if has("versioning") => "GetBucketVersioning",
        ("GET", true, false) if has("encryption") => "GetBucketEncryption",
        ("GET", true, false) if has("versions") => "ListObjectVersions",
        ("GET", true, false) => "ListObjects",
        ("HEAD", true, false) => "HeadBucket",
        ("PUT", true, false) => "CreateBucket",
        ("DELETE", true, false) => "DeleteBucket",
        ("POST", true, false) if has("delete") => "DeleteObjects",
        ("GET", true, true) if has("uploadId") => "ListParts",
        ("GET", true, true) => "GetObject",
        ("HEAD", true, true) => "HeadObject",
        ("PUT", true, true) if has("partNumber") => "UploadPart",
        ("PUT", true, true) if copies => "CopyObject",
        ("PUT", true, true) => "PutObject",
        ("POST", true, true) if has("uploads") => "CreateMultipartUpload",
        ("POST", true, true) if has("uploadId") => "CompleteMultipartUpload",
        ("DELETE", true, true) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", true, true) => "DeleteObject",
        _ => "Unknown",
    }
}

/// From the credential scope, `key/day/region/s3/aws4_request`, of the header or of a presigned request.
fn region(request: &Parts, query: &BTreeMap<String, String>) -> Option<String> {
    let header = request.headers.get("authorization").and_then(|value| value.to_str().ok());
    let header = header.and_then(|text| text.split_once("Credential=")?.1.split(',').next());
    let scope = header.or(query.get("X-Amz-Credential").map(String::as_str))?;
    scope.split('/').nth(2).map(str::to_owned)
}

fn parameters(
    request: &Parts,
    bucket: Option<&str>,
    key: Option<&str>,
    query: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            parameters.insert(name.to_owned(), value.to_owned());
        }
    };
    add("Bucket", bucket);
    add("Key", key);
    for (name, query_name) in [
        ("Prefix", "prefix"),
        ("Delimiter", "delimiter"),
        ("ContinuationToken", "continuation-token"),
        ("PartNumber", "partNumber"),
        ("UploadId", "uploadId"),
    ] {
        add(name, query.get(query_name).map(String::as_str));
    }
    for (name, header) in [
        ("Range", "range"),
        ("IfMatch", "if-match"),
        ("IfNoneMatch", "if-none-match"),
        ("CopySource", "x-amz-copy-source"),
        ("ServerSideEncryption", "x-amz-server-side-encryption"),
        ("SSEKMSKeyId", "x-amz-server-side-encryption-aws-kms-key-id"),
        ("UserAgent", "user-agent"),
    ] {
        add(name, request.headers.get(header).and_then(|v| v.to_str().ok()));
    }
    parameters
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let rows = [
            ("GET", "10.0.8.9", "/", "ListBuckets", None, None),
            ("GET", "10.0.8.9", "/b?list-type=2&prefix=a%2Fb", "ListObjectsV2", Some("b"), None),
            ("GET", "10.0.8.9", "/b/a/%C3%A9", "GetObject", Some("b"), Some("a/é")),
            ("GET", "b.s3.world", "/a/b", "GetObject", Some("b"), Some("a/b")),
            ("GET", "b.s3.world:80", "/?list-type=2", "ListObjectsV2", Some("b"), None),
            ("HEAD", "s3.world", "/b", "HeadBucket", Some("b"), None),
            ("PUT", "x", "/b/k?partNumber=1&uploadId=u", "UploadPart", Some("b"), Some("k")),
            ("POST", "x", "/b/k?uploads", "CreateMultipartUpload", Some("b"), Some("k")),
            ("POST", "x", "/b/k?uploadId=u", "CompleteMultipartUpload", Some("b"), Some("k")),
            ("DELETE", "x", "/b/k?uploadId=u", "AbortMultipartUpload", Some("b"), Some("k")),
            ("POST", "x", "/b?delete", "DeleteObjects", Some("b"), None),
            ("GET", "x", "/b?versioning", "GetBucketVersioning", Some("b"), None),
            ("PUT", "x", "/b?versioning", "Unknown", Some("b"), None),
            ("PUT", "x", "/b?policy", "Unknown", Some("b"), None),
            ("GET", "x", "/b/k?acl", "Unknown", Some("b"), Some("k")),
            ("PUT", "x", "/b/k?tagging", "Unknown", Some("b"), Some("k")),
            ("GET", "x", "/b/acl", "GetObject", Some("b"), Some("acl")),
        ];
        for (method, host, uri, operation, bucket, key) in rows {
            let request = hyper::Request::builder().method(method).uri(uri).header("host", host).body(());
            let call = Call::of(&request.expect("a request").into_parts().0);
            let parameters = call.parameters();
            let of = |name: &str| parameters.get(name).map(String::as_str);
            assert_eq!(
                (call.operation, of("Bucket"), of("Key")),
                (operation, bucket, key),
                "{method} {host}{uri}"
            );
        }
    }
}
