//! Objects: ETags, ranges, listings, both addressing styles, encryption headers.

use crate::client::{BUCKET, base64, element, etag, refusal, start};
use md5::{Digest as _, Md5};
use reqwest::Method;
use sha2::Sha256;

#[tokio::test]
async fn what_is_put_is_read_listed_and_described() {
    let bed = start();
    let body = b"some bytes of an object";
    let headers = [
        ("x-amz-meta-origin", "weaviate-0"),
        ("content-type", "application/json"),
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "key-1"),
    ];
    let put = bed.client.put("prod/a", &headers, body).await;
    let wanted = format!("\"{}\"", crate::client::hex(&Md5::digest(body)));
    assert_eq!((put.status().as_u16(), etag(&put)), (200, wanted.clone()));
    for method in [Method::GET, Method::HEAD] {
        let answer = bed.client.send(method.clone(), &format!("/{BUCKET}/prod/a"), &[], b"").await;
        assert_eq!(etag(&answer), wanted);
        for (name, value) in headers {
            assert_eq!(answer.headers()[name], value, "{method}");
        }
        assert_eq!(answer.headers()["content-length"], body.len().to_string().as_str());
        let expected: &[u8] = if method == Method::GET { body } else { b"" };
        assert_eq!(answer.bytes().await.expect("a body"), expected);
    }
    let listing =
        bed.client.send(Method::GET, &format!("/{BUCKET}?list-type=2&prefix=prod%2F"), &[], b"").await;
    let listing = listing.text().await.expect("a listing");
    assert_eq!(element(&listing, "Key"), "prod/a");
    assert_eq!(element(&listing, "Size"), body.len().to_string());
    assert!(listing.contains(&wanted.replace('"', "&quot;")) || listing.contains(&wanted), "{listing}");
}

#[tokio::test]
async fn a_body_that_differs_from_its_promise_is_not_stored() {
    let bed = start();
    let client = &bed.client;
    let body = b"honest";
    let sha256 = base64(&Sha256::digest(body));
    let md5 = base64(&Md5::digest(body));
    for (name, wrong, right) in [
        ("x-amz-checksum-sha256", base64(&Sha256::digest(b"other")), sha256),
        ("x-amz-checksum-crc32", base64(&[0, 0, 0, 1]), base64(&0xa83f_8d6e_u32.to_be_bytes())),
        ("content-md5", base64(&Md5::digest(b"other")), md5),
    ] {
        let refused = client.put(name, &[(name, &wrong)], body).await;
        assert_eq!(refusal(refused).await, (400, "BadDigest".into()), "{name}");
        assert!(bed.store.info(BUCKET, name).is_none(), "{name}: nothing may be stored");
        if name == "x-amz-checksum-crc32" {
            continue;
        }
        assert_eq!(client.put(name, &[(name, &right)], body).await.status(), 200, "{name}");
    }
    let wrong = crate::client::hex(&Sha256::digest(b"other"));
    let refused = client
        .try_send_hashed(Method::PUT, &format!("/{BUCKET}/k"), &[], body.to_vec(), &wrong)
        .await
        .expect("an answer");
    assert_eq!(refusal(refused).await, (400, "XAmzContentSHA256Mismatch".into()));
    assert!(bed.store.info(BUCKET, "k").is_none());
}

#[tokio::test]
async fn checksums_are_kept_and_returned_when_asked_for() {
    let bed = start();
    let sum = base64(&Sha256::digest(b"body"));
    let put = bed.client.put("k", &[("x-amz-checksum-sha256", &sum)], b"body").await;
    assert_eq!(put.headers()["x-amz-checksum-sha256"], sum.as_str());
    let path = format!("/{BUCKET}/k");
    let asked = bed.client.send(Method::GET, &path, &[("x-amz-checksum-mode", "ENABLED")], b"").await;
    assert_eq!(asked.headers()["x-amz-checksum-sha256"], sum.as_str());
    let silent = bed.client.send(Method::GET, &path, &[], b"").await;
    assert!(!silent.headers().contains_key("x-amz-checksum-sha256"));
}

#[tokio::test]
async fn ranges() {
    let bed = start();
    bed.client.put("k", &[], b"0123456789").await;
    let path = format!("/{BUCKET}/k");
    for (range, body, content) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-1", "9", "bytes 9-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
    ] {
        let answer = bed.client.send(Method::GET, &path, &[("range", range)], b"").await;
        assert_eq!(answer.status(), 206);
        assert_eq!(answer.headers()["content-range"], content);
        assert_eq!(answer.text().await.expect("a body"), body);
    }
    let past = bed.client.send(Method::GET, &path, &[("range", "bytes=10-")], b"").await;
    assert_eq!(refusal(past).await, (416, "InvalidRange".into()));
}

#[tokio::test]
async fn listings_come_in_pages() {
    let bed = start();
    for number in 0..2500 {
        bed.store.put(BUCKET, &format!("prod/{number:04}"), b"").expect("stored");
    }
    for folder in ["drills", "manifests"] {
        bed.store.put(BUCKET, &format!("{folder}/x y.json"), b"").expect("stored");
    }
    let mut keys = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/{BUCKET}?list-type=2&max-keys=2000&prefix=prod{after}");
        let text = bed.client.send(Method::GET, &path, &[], b"").await.text().await.expect("a page");
        let page: Vec<_> = text.split("<Key>").skip(1).map(|k| k[..9].to_owned()).collect();
        assert!(page.len() <= 1000, "the service caps pages");
        keys.extend(page);
        if element(&text, "IsTruncated") == "false" {
            break;
        }
        let token = element(&text, "NextContinuationToken");
        after = format!(
            "&continuation-token={}",
            token.replace('=', "%3D").replace('+', "%2B").replace('/', "%2F")
        );
    }
    assert_eq!(keys.len(), 2500);
    assert!(keys.is_sorted());

    let path = format!("/{BUCKET}?list-type=2&delimiter=%2F");
    let text = bed.client.send(Method::GET, &path, &[], b"").await.text().await.expect("a page");
    let folders: Vec<_> =
        text.split("<CommonPrefixes><Prefix>").skip(1).map(|f| f.split('<').next()).collect();
    assert_eq!(folders, [Some("drills/"), Some("manifests/"), Some("prod/")]);

    let path = format!("/{BUCKET}?list-type=2&prefix=drills%2F&encoding-type=url");
    let text = bed.client.send(Method::GET, &path, &[], b"").await.text().await.expect("a page");
    assert_eq!(element(&text, "Key"), "drills/x%20y.json");
}

#[tokio::test]
async fn refusals_are_worded_as_the_service_words_them() {
    let bed = start();
    let missing = bed.client.send(Method::GET, &format!("/{BUCKET}/nothing"), &[], b"").await;
    let text = missing.text().await.expect("a document");
    assert_eq!(
        (element(&text, "Code"), element(&text, "Message")),
        ("NoSuchKey", "The specified key does not exist.")
    );
    let bucket = bed.client.send(Method::GET, "/no-such-bucket/k", &[], b"").await;
    assert_eq!(refusal(bucket).await, (404, "NoSuchBucket".into()));
    let head = bed.client.send(Method::HEAD, &format!("/{BUCKET}/nothing"), &[], b"").await;
    assert_eq!((head.status().as_u16(), head.text().await.expect("no body").as_str()), (404, ""));
    assert_eq!(bed.calls().last().expect("a call").2.as_deref(), Some("NoSuchKey"), "the ledger knows it");
}

#[tokio::test]
async fn both_styles_of_addressing_reach_the_same_object() {
    let bed = start();
    bed.client.put("prod/k", &[], b"same").await;
    let host = bed.client.for_host(&format!("{BUCKET}.s3.world"));
    let answer = host.send(Method::GET, "/prod/k", &[], b"").await;
    assert_eq!(answer.text().await.expect("a body"), "same");
    let path_style = bed.client.for_host("s3.world");
    let answer = path_style.send(Method::GET, &format!("/{BUCKET}/prod/k"), &[], b"").await;
    assert_eq!(answer.text().await.expect("a body"), "same");
}

#[tokio::test]
async fn a_bucket_says_what_it_is() {
    let bed = start();
    for (query, wanted) in [
        ("location", "<LocationConstraint"),
        ("versioning", "<VersioningConfiguration"),
        ("encryption", "<SSEAlgorithm>AES256<"),
    ] {
        let answer = bed.client.send(Method::GET, &format!("/{BUCKET}?{query}"), &[], b"").await;
        assert_eq!(answer.status(), 200, "{query}");
        let text = answer.text().await.expect("a document");
        assert!(text.contains(wanted), "{text}");
        assert!(!text.contains("<Status>"), "versioning was never switched on");
    }
    let bucket = bed.client.send(Method::HEAD, &format!("/{BUCKET}"), &[], b"").await;
    assert_eq!(bucket.headers()["x-amz-bucket-region"], "eu-central-1");
    let absent = bed.client.send(Method::HEAD, "/no-such-bucket", &[], b"").await;
    assert_eq!(absent.status(), 404);
}

#[tokio::test]
async fn copies_and_deletions() {
    let bed = start();
    bed.client.put("a", &[], b"bytes").await;
    let copied = bed.client.put("b", &[("x-amz-copy-source", &format!("/{BUCKET}/a"))], b"").await;
    assert_eq!(copied.status(), 200);
    assert_eq!(bed.store.read(BUCKET, "b").expect("a copy"), b"bytes");
    let deleted = bed.client.send(Method::DELETE, &format!("/{BUCKET}/a"), &[], b"").await;
    assert_eq!(deleted.status(), 204);
    assert!(bed.store.info(BUCKET, "a").is_none());
    let document = b"<Delete><Object><Key>b</Key></Object><Object><Key>never was</Key></Object></Delete>";
    let md5 = base64(&Md5::digest(document));
    let many =
        bed.client.send(Method::POST, &format!("/{BUCKET}?delete"), &[("content-md5", &md5)], document).await;
    assert_eq!(many.status(), 200);
    assert!(bed.store.keys(BUCKET, "").is_empty());
}
