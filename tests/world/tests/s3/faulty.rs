//! Faults on the wire of S3: lateness, resets, bodies that end early.

use std::time::{Duration, Instant};

use crate::client::{BUCKET, refusal, start_with};
use reqwest::Method;

fn script(call: &str, effect: &str) -> String {
    format!("[[fault]]\ncall = '{call}'\ntimes = 1\neffect = {{ {effect} }}")
}

#[tokio::test]
async fn refusals_change_nothing_and_pass() {
    for (effect, status, code) in [
        ("kind = 'throttled'", 503, "SlowDown"),
        ("kind = 'denied'", 403, "AccessDenied"),
        ("kind = 'error', status = 500, code = 'InternalError', message = 'try again'", 500, "InternalError"),
        (
            "kind = 'error', status = 409, code = 'ConditionalRequestConflict', message = 'conflict'",
            409,
            "ConditionalRequestConflict",
        ),
    ] {
        let bed = start_with(&script("s3:PutObject", effect));
        let answer = bed.client.put("k", &[], &vec![7; 300_000]).await;
        assert_eq!(refusal(answer).await, (status, code.into()));
        assert!(bed.store.info(BUCKET, "k").is_none());
        assert_eq!(bed.client.put("k", &[], b"x").await.status(), 200);
        assert_eq!(bed.calls()[0], ("PutObject".into(), status, Some(code.into())));
        assert!(bed.faults.unused().is_empty());
    }
}

#[tokio::test]
async fn a_late_answer_is_late() {
    let bed = start_with(&script("s3:GetObject", "kind = 'latency', ms = 120"));
    let started = Instant::now();
    bed.client.get("k").await;
    assert!(started.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn silence_lasts() {
    let bed = start_with(&script("s3:GetObject", "kind = 'silent'"));
    bed.store.put(BUCKET, "k", b"x").expect("stored");
    let answer = tokio::time::timeout(Duration::from_secs(1), bed.client.get("k")).await;
    assert!(answer.is_err(), "no answer comes");
    assert_eq!(bed.calls(), [("GetObject".into(), 0, Some("Silent".into()))]);
    assert_eq!(bed.client.get("k").await.status(), 200);
}

#[tokio::test]
async fn a_reset_connection_may_hide_a_change() {
    for acted in [false, true] {
        let bed = start_with(&script("s3:PutObject", &format!("kind = 'reset', acted = {acted}")));
        let path = format!("/{BUCKET}/k");
        let error = bed.client.try_send(Method::PUT, &path, &[], b"x").await.expect_err("no answer");
        let text = format!("{error:?}");
        assert!(text.contains("ConnectionReset") || text.contains("IncompleteMessage"), "{text}");
        assert_eq!(bed.store.info(BUCKET, "k").is_some(), acted);
    }
}

/// Only a bare socket sees the difference between FIN and RST.
#[tokio::test]
async fn a_reset_is_a_reset() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let bed = start_with(&script("s3:*", "kind = 'reset'"));
    let address = bed.client.base.strip_prefix("http://").expect("an address");
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    stream.write_all(b"GET /b/k HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let error = stream.read(&mut [0; 16]).await.expect_err("no end of file");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_body_is_cut_short_or_changed_on_its_way() {
    let bed = start_with(&script("s3:GetObject", "kind = 'truncated', bytes = 4"));
    bed.store.put(BUCKET, "k", b"0123456789").expect("stored");
    let cut = bed.client.get("k").await;
    assert_eq!(
        (cut.status().as_u16(), &cut.headers()["content-length"]),
        (200, &"10".parse().expect("a value"))
    );
    assert!(cut.bytes().await.is_err(), "the promised bytes do not come");
    assert_eq!(bed.client.get("k").await.bytes().await.expect("whole").len(), 10);

    let bed = start_with(&script("s3:GetObject", "kind = 'flipped', byte = 3"));
    bed.store.put(BUCKET, "k", b"0123456789").expect("stored");
    assert_eq!(bed.client.get("k").await.text().await.expect("whole"), "0122456789");
    assert_eq!(bed.client.get("k").await.text().await.expect("whole"), "0123456789");

    let bed = start_with(&script("s3:PutObject", "kind = 'flipped', byte = 0"));
    let put = bed.client.put("k", &[], b"0123").await;
    assert_eq!(put.status(), 200);
    assert_eq!(bed.store.read(BUCKET, "k").expect("stored"), b"1123");
}

#[tokio::test]
async fn a_stale_read_sees_the_state_before_and_an_absent_one_nothing() {
    let bed = start_with(&format!(
        "{}\n{}",
        script("s3:GetObject", "kind = 'stale'"),
        "[[fault]]\ncall = 's3:ListObjectsV2'\ntimes = 2\neffect = { kind = 'stale' }"
    ));
    bed.client.put("k", &[], b"one").await;
    bed.client.put("k", &[], b"two").await;
    assert_eq!(bed.client.get("k").await.text().await.expect("a body"), "one");
    assert_eq!(bed.client.get("k").await.text().await.expect("a body"), "two");
    bed.client.put("new", &[], b"x").await;
    let list = format!("/{BUCKET}?list-type=2");
    for sees_new in [false, false, true] {
        let text = bed.client.send(Method::GET, &list, &[], b"").await.text().await.expect("a page");
        assert_eq!(text.contains("<Key>new</Key>"), sees_new, "{text}");
        assert!(text.contains("<Key>k</Key>"));
    }

    let bed = start_with(&script("s3:*", "kind = 'absent'"));
    bed.store.put(BUCKET, "k", b"x").expect("stored");
    assert_eq!(refusal(bed.client.get("k").await).await, (404, "NoSuchKey".into()));
    assert_eq!(bed.client.get("k").await.status(), 200);
}

#[tokio::test]
async fn faults_are_chosen_by_key_and_the_ledger_shows_ownership() {
    let bed = start_with(
        "[[fault]]\ncall = 's3:PutObject'\nwith = { Key = 'manifest' }\ntimes = 1\neffect = { kind = 'throttled' }",
    );
    let manifest = br#"{"schema":1,"generation":7,"owner":"i-new","nonce":"n-1","backup_id":null}"#;
    assert_eq!(bed.client.put("other", &[], b"x").await.status(), 200);
    let key = "prod/latest_weaviate_backup.manifest.json";
    assert_eq!(bed.client.put(key, &[("if-none-match", "*")], manifest).await.status(), 503);
    assert_eq!(bed.client.put(key, &[("if-none-match", "*")], manifest).await.status(), 200);
    let seen = bed.last_parameters();
    let get = |name: &str| seen.get(name).map(String::as_str);
    assert_eq!(
        (get("Key"), get("Generation"), get("Owner"), get("Nonce"), get("BackupId"), get("IfNoneMatch")),
        (Some(key), Some("7"), Some("i-new"), Some("n-1"), None, Some("*"))
    );
}
