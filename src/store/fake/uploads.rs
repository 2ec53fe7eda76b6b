//! Uploads in parts.

use super::*;

pub(super) fn begin(fake: &FakeS3, key: &str) -> Response {
    let mut inner = fake.inner();
    let id = format!("upload-{}", inner.uploads.len() + inner.calls.len());
    inner.uploads.insert(id.clone(), BTreeMap::new());
    format!(
        "<InitiateMultipartUploadResult><Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
    )
    .into_response()
}

pub(super) fn part(fake: &FakeS3, query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
    let checksum = match promised(fake, headers, body) {
        Ok(checksum) => checksum,
        Err(refusal) => return refusal,
    };
    let number = parameter(query, "partNumber").and_then(|n| n.parse().ok()).expect("a part's number");
    let id = parameter(query, "uploadId").unwrap_or_default();
    let mut inner = fake.inner();
    let Some(parts) = inner.uploads.get_mut(&id) else { return refused(404, "NoSuchUpload") };
    parts.insert(number, body.to_vec());
    ([(header::ETAG.as_str(), format!("\"{}\"", etag(body))), (CHECKSUM, checksum)], "").into_response()
}

pub(super) fn complete(fake: &FakeS3, key: &str, query: &str) -> Response {
    let id = parameter(query, "uploadId").unwrap_or_default();
    let mut inner = fake.inner();
    let Some(parts) = inner.uploads.remove(&id) else { return refused(404, "NoSuchUpload") };
    let mut of_parts = sha2::Sha256::new();
    for part in parts.values() {
        of_parts.update(sha2::Sha256::digest(part));
    }
    let composite = format!("{}-{}", base64(&of_parts.finalize()), parts.len());
    let whole: Vec<u8> = parts.into_values().flatten().collect();
    let tag = etag(&whole);
    inner.objects.insert(key.to_owned(), whole);
    inner.composites.insert(key.to_owned(), composite.clone());
    format!(
        "<CompleteMultipartUploadResult><Key>{key}</Key><ETag>&quot;{tag}&quot;</ETag>\
         <ChecksumSHA256>{composite}</ChecksumSHA256></CompleteMultipartUploadResult>"
    )
    .into_response()
}

pub(super) fn abort(fake: &FakeS3, query: &str) -> Response {
    fake.inner().uploads.remove(&parameter(query, "uploadId").unwrap_or_default());
    StatusCode::NO_CONTENT.into_response()
}
