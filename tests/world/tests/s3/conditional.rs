//! Conditional writes: of eight that race, one wins.

use crate::client::{BUCKET, etag, refusal, start};

/// Enough rounds to lose a race that can be lost.
const ROUNDS: usize = 60;
const WRITERS: usize = 8;

async fn race(
    headers: &[(&'static str, String)],
    key: &str,
    client: &crate::client::Client,
) -> Vec<(u16, String)> {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (client, key, headers) = (client.clone(), key.to_owned(), headers.to_vec());
        writers.spawn(async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let body = format!("writer {writer}").repeat(2000);
            let answer = client.put(&key, &headers, body.as_bytes()).await;
            (answer.status().as_u16(), body)
        });
    }
    writers.join_all().await
}

fn winner(outcomes: Vec<(u16, String)>) -> String {
    let losers = outcomes.iter().filter(|(status, _)| *status == 412).count();
    let mut winners = outcomes.into_iter().filter(|(status, _)| *status == 200);
    let (_, body) = winners.next().expect("a winner");
    assert_eq!((winners.count(), losers), (0, WRITERS - 1));
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_first_writers_one_wins() {
    let bed = start();
    for round in 0..ROUNDS {
        let key = format!("round-{round}");
        let body = winner(race(&[("if-none-match", "*".to_owned())], &key, &bed.client).await);
        assert_eq!(bed.client.get(&key).await.text().await.expect("a body"), body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_successors_one_wins() {
    let bed = start();
    for round in 0..ROUNDS {
        let key = format!("round-{round}");
        let first = etag(&bed.client.put(&key, &[], b"first").await);
        let body = winner(race(&[("if-match", first)], &key, &bed.client).await);
        assert_eq!(bed.client.get(&key).await.text().await.expect("a body"), body);
    }
}

#[tokio::test]
async fn conditions_of_a_write() {
    let bed = start();
    let client = &bed.client;
    let absent = client.put("k", &[("if-match", "\"00000000000000000000000000000000\"")], b"x").await;
    assert_eq!(refusal(absent).await, (404, "NoSuchKey".into()));
    let first = client.put("k", &[("if-none-match", "*")], b"one").await;
    assert_eq!(first.status(), 200);
    let again = client.put("k", &[("if-none-match", "*")], b"two").await;
    assert_eq!(refusal(again).await, (412, "PreconditionFailed".into()));
    let next = client.put("k", &[("if-match", &etag(&first))], b"two").await;
    assert_eq!(next.status(), 200);
    let stale = client.put("k", &[("if-match", &etag(&first))], b"three").await;
    assert_eq!(refusal(stale).await, (412, "PreconditionFailed".into()));
    let unknown = client.put("k", &[("if-none-match", &etag(&next))], b"four").await;
    assert_eq!(refusal(unknown).await, (501, "NotImplemented".into()));
    assert_eq!(bed.store.read(BUCKET, "k").expect("an object"), b"two");
}

#[tokio::test]
async fn conditions_of_a_read() {
    let bed = start();
    let stored = etag(&bed.client.put("k", &[], b"one").await);
    let other = "\"00000000000000000000000000000000\"";
    let path = format!("/{BUCKET}/k");
    for (name, value, status) in [
        ("if-match", stored.as_str(), 200),
        ("if-match", other, 412),
        ("if-none-match", &stored, 304),
        ("if-none-match", other, 200),
    ] {
        for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
            let answer = bed.client.send(method.clone(), &path, &[(name, value)], b"").await;
            assert_eq!(answer.status(), status, "{method} {name}: {value}");
        }
    }
}
