//! Many objects and large ones, in bounded memory.

use std::time::{Duration, Instant};

use crate::client::{BUCKET, Setup, start};
use reqwest::Method;
use world::s3::Settings;

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("our own status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("kilobytes") / 1024
}

/// The one test that needs a process of its own is the one that reads the process's peak.
#[tokio::test]
async fn a_large_object_does_not_pass_through_memory() {
    const MEGABYTES: u64 = 200;
    let bed = start();
    let before = resident();
    let zeroes = std::io::Read::take(std::io::repeat(0), MEGABYTES * 1024 * 1024);
    bed.store.put_from(BUCKET, "big", zeroes).expect("stored");
    let path = format!("/{BUCKET}/big");
    let mut answer = bed.client.send(Method::GET, &path, &[], b"").await;
    let mut read = 0;
    while let Some(piece) = answer.chunk().await.expect("bytes") {
        read += piece.len() as u64;
    }
    assert_eq!(read, MEGABYTES * 1024 * 1024);
    let copied = bed.client.put("copy", &[("x-amz-copy-source", &path)], b"").await;
    assert_eq!(copied.status(), 200);
    // Other tests of this process run beside it and hold some parts of 5 MiB.
    let grown = resident() - before;
    assert!(grown < MEGABYTES / 2, "{grown} MiB for an object of {MEGABYTES} MiB");
}

#[tokio::test]
async fn connections_are_as_slow_as_they_are_set() {
    let settings = Settings {
        first_byte: Duration::from_millis(15),
        bytes_per_second: Some(4_000_000),
        ..Settings::default()
    };
    let bed = Setup { settings, ..Setup::default() }.start();
    bed.store.put(BUCKET, "k", &vec![1; 2_000_000]).expect("stored");
    let started = Instant::now();
    let body = bed.client.get("k").await.bytes().await.expect("a body");
    let took = started.elapsed();
    assert_eq!(body.len(), 2_000_000);
    assert!((Duration::from_millis(450)..Duration::from_secs(4)).contains(&took), "{took:?}");
    let started = Instant::now();
    assert_eq!(bed.client.put("up", &[], &vec![1; 2_000_000]).await.status(), 200);
    let took = started.elapsed();
    assert!((Duration::from_millis(430)..Duration::from_secs(4)).contains(&took), "{took:?}");
}
