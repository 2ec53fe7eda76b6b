//! Objects: written under conditions, read in ranges, listed in pages.

use super::*;

pub(super) fn look(fake: &FakeS3, key: &str) -> Response {
    let Some(object) = fake.get(key) else { return StatusCode::NOT_FOUND.into_response() };
    let known = fake.inner().composites.get(key).cloned();
    let checksum = known.unwrap_or_else(|| base64(&sha2::Sha256::digest(&object)));
    let tag = format!("\"{}\"", etag(&object));
    let length = object.len().to_string();
    let headers =
        [(header::ETAG.as_str(), tag), (CHECKSUM, checksum), (header::CONTENT_LENGTH.as_str(), length)];
    (headers, "").into_response()
}

pub(super) fn write(fake: &FakeS3, key: &str, headers: &HeaderMap, body: Vec<u8>) -> Response {
    let checksum = match promised(fake, headers, &body) {
        Ok(checksum) => checksum,
        Err(refusal) => return refusal,
    };
    let mut inner = fake.inner();
    let known = inner.objects.get(key).map(|o| etag(o));
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).map(|v| v.trim_matches('"').to_owned());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH), known) {
        _ if inner.unconditional => {}
        (Some(_), _, None) => return refused(404, "NoSuchKey"),
        (Some(wanted), _, Some(known)) if wanted != known => return refused(412, "PreconditionFailed"),
        (None, Some(_), Some(_)) => return refused(412, "PreconditionFailed"),
        _ => {}
    }
    let tag = format!("\"{}\"", etag(&body));
    inner.objects.insert(key.to_owned(), body);
    ([(header::ETAG.as_str(), tag), (CHECKSUM, checksum)], "").into_response()
}

pub(super) fn read(fake: &FakeS3, key: &str, range: &str, trouble: Option<&Trouble>) -> Response {
    let Some(object) = fake.get(key) else { return refused(404, "NoSuchKey") };
    let tag = format!("\"{}\"", etag(&object));
    let (status, part, content_range) = match range.strip_prefix("bytes=").and_then(|r| r.split_once('-')) {
        None => (StatusCode::OK, object.clone(), None),
        Some((start, end)) => {
            let start: usize = start.parse().expect("a number");
            let end: usize = end.parse::<usize>().expect("a number").min(object.len().saturating_sub(1));
            if start >= object.len() {
                return refused(416, "InvalidRange");
            }
            let range = format!("bytes {start}-{end}/{}", object.len());
            (StatusCode::PARTIAL_CONTENT, object[start..=end].to_vec(), Some(range))
        }
    };
    let length = part.len();
    let body = match trouble {
        Some(Trouble::Cut(after)) => {
            let first = bytes::Bytes::copy_from_slice(&part[..*after]);
            let end = Err(std::io::Error::other("cut"));
            Body::from_stream(futures_util::stream::iter([Ok(first), end]))
        }
        Some(Trouble::Stall(after)) => {
            let first = bytes::Bytes::copy_from_slice(&part[..*after]);
            let never = futures_util::stream::once(async {
                tokio::time::sleep(Duration::from_hours(1)).await;
                Ok::<_, std::io::Error>(bytes::Bytes::new())
            });
            Body::from_stream(futures_util::stream::iter([Ok(first)]).chain(never))
        }
        _ => Body::from(part),
    };
    let mut response =
        Response::builder().status(status).header(header::ETAG, tag).header(header::CONTENT_LENGTH, length);
    if let Some(range) = content_range {
        response = response.header(header::CONTENT_RANGE, range);
    }
    response.body(body).expect("a response")
}

pub(super) fn list(fake: &FakeS3, query: &str) -> Response {
    let decode = |text: &str| text.replace("%2F", "/").replace("%3D", "=").replace('+', " ");
    let value =
        |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).map(decode);
    let prefix = value("prefix").unwrap_or_default();
    let after = value("continuation-token").unwrap_or_default();
    let delimiter = value("delimiter");
    let inner = fake.inner();
    let page = inner.page.unwrap_or(1000);
    let mut body = String::new();
    let (mut folders, mut count, mut last) = (std::collections::BTreeSet::new(), 0, None);
    for (key, object) in inner.objects.iter().filter(|(k, _)| k.starts_with(&prefix) && **k > after) {
        if count == page {
            last = None;
            let (known, _) = inner.objects.range(..key.clone()).next_back().expect("one before");
            last.replace(known.clone());
            break;
        }
        count += 1;
        if let Some((folder, _)) = delimiter.as_ref().and_then(|_| key[prefix.len()..].split_once('/')) {
            folders.insert(format!("{prefix}{folder}/"));
            continue;
        }
        let (size, tag, second) = (object.len(), etag(object), count % 60);
        write!(
            body,
            "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>&quot;{tag}&quot;</ETag>\
             <LastModified>2026-11-21T00:00:{second:02}Z</LastModified></Contents>"
        )
        .expect("a text");
    }
    for folder in folders {
        write!(body, "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>").expect("a text");
    }
    let next = last.map_or_else(
        || "<IsTruncated>false</IsTruncated>".to_owned(),
        |token| {
            if inner.loses_tokens {
                return "<IsTruncated>true</IsTruncated>".to_owned();
            }
            format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
        },
    );
    format!("<ListBucketResult>{next}{body}</ListBucketResult>").into_response()
}
