//! Multipart uploads.

use crate::client::{BUCKET, Bed, element, etag, refusal, start, start_with};
use md5::{Digest as _, Md5};
use reqwest::Method;

const PART: usize = 5 * 1024 * 1024;

async fn begin(bed: &Bed, key: &str) -> String {
    let text = bed.client.send(Method::POST, &format!("/{BUCKET}/{key}?uploads"), &[], b"").await;
    element(&text.text().await.expect("a document"), "UploadId").to_owned()
}

async fn part(bed: &Bed, key: &str, id: &str, number: usize, body: &[u8]) -> String {
    let path = format!("/{BUCKET}/{key}?partNumber={number}&uploadId={id}");
    etag(&bed.client.send(Method::PUT, &path, &[], body).await)
}

async fn complete(
    bed: &Bed,
    key: &str,
    id: &str,
    headers: &[(&str, &str)],
    parts: &[(usize, &str)],
) -> reqwest::Response {
    let parts: Vec<_> = parts
        .iter()
        .map(|(number, etag)| format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"))
        .collect();
    let parts = parts.concat();
    let document = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    let path = format!("/{BUCKET}/{key}?uploadId={id}");
    bed.client.send(Method::POST, &path, headers, document.as_bytes()).await
}

#[tokio::test]
async fn parts_become_one_object() {
    let bed = start();
    let id = begin(&bed, "big").await;
    let first = vec![b'a'; PART];
    let one = part(&bed, "big", &id, 1, &first).await;
    let two = part(&bed, "big", &id, 2, b"end").await;
    assert!(bed.store.info(BUCKET, "big").is_none(), "nothing is there before it is completed");
    let done = complete(&bed, "big", &id, &[("if-none-match", "*")], &[(1, &one), (2, &two)]).await;
    let text = done.text().await.expect("a document");
    let digests = [Md5::digest(&first).as_slice(), Md5::digest(b"end").as_slice()].concat();
    let wanted = format!("{}-2", crate::client::hex(&Md5::digest(&digests)));
    assert!(element(&text, "ETag").contains(&wanted), "{text}");
    let stored = bed.store.read(BUCKET, "big").expect("an object");
    assert_eq!((stored.len(), &stored[PART..]), (PART + 3, b"end".as_slice()));
    let again = complete(&bed, "big", &id, &[], &[(1, &one), (2, &two)]).await;
    assert_eq!(refusal(again).await, (404, "NoSuchUpload".into()));
}

#[tokio::test]
async fn a_wrong_list_of_parts_is_refused() {
    let bed = start();
    let id = begin(&bed, "big").await;
    let small = part(&bed, "big", &id, 1, b"small").await;
    let last = part(&bed, "big", &id, 2, b"last").await;
    let other = "\"00000000000000000000000000000000\"";
    let rows: [(&[(usize, &str)], &str); 4] = [
        (&[(2, &last), (1, &small)], "InvalidPartOrder"),
        (&[(1, other)], "InvalidPart"),
        (&[(3, &last)], "InvalidPart"),
        (&[(1, &small), (2, &last)], "EntityTooSmall"),
    ];
    for (parts, code) in rows {
        let answer = complete(&bed, "big", &id, &[], parts).await;
        assert_eq!(refusal(answer).await, (400, code.into()));
    }
    let abort = bed.client.send(Method::DELETE, &format!("/{BUCKET}/big?uploadId={id}"), &[], b"").await;
    assert_eq!(abort.status(), 204);
    let gone = complete(&bed, "big", &id, &[], &[(1, &small)]).await;
    assert_eq!(refusal(gone).await, (404, "NoSuchUpload".into()));
}

#[tokio::test]
async fn the_condition_holds_for_the_whole_upload() {
    let bed = start();
    let id = begin(&bed, "k").await;
    let one = part(&bed, "k", &id, 1, b"parts").await;
    bed.client.put("k", &[], b"somebody was faster").await;
    let late = complete(&bed, "k", &id, &[("if-none-match", "*")], &[(1, &one)]).await;
    assert_eq!(refusal(late).await, (412, "PreconditionFailed".into()));
    assert_eq!(bed.store.read(BUCKET, "k").expect("an object"), b"somebody was faster");
}

#[tokio::test]
async fn an_error_can_come_with_status_200() {
    let bed = start_with(
        "[[fault]]\ncall = 's3:CompleteMultipartUpload'\ntimes = 1\n\
         effect = { kind = 'error', status = 200, code = 'InternalError', message = 'We encountered an internal error.' }",
    );
    let id = begin(&bed, "k").await;
    let one = part(&bed, "k", &id, 1, b"parts").await;
    let failed = complete(&bed, "k", &id, &[], &[(1, &one)]).await;
    assert_eq!(refusal(failed).await, (200, "InternalError".into()));
    assert!(bed.store.info(BUCKET, "k").is_none());
    let retried = complete(&bed, "k", &id, &[], &[(1, &one)]).await;
    assert_eq!(retried.status(), 200);
    assert!(bed.store.info(BUCKET, "k").is_some());
}
