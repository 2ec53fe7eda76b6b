//! Replays the recordings of a real server against the stand-in, request by request.
//!
//! ```text
//! recording ─► names and counts replaced ─► before-hook (what the recorder did off the record) ─► step
//!                                             step: request | poll | server start | stop | files ─► compared
//! ```
//!
//! Compared are status, content type and body; `normal` says what is left out, and why. To add a recording:
//! put the file under `tests/recordings/weaviate-1.39.0` and its name into a chapter below.

mod bucket;
mod hooks;
mod normal;
mod polls;
mod server;
mod stage;
mod traces;
mod variation;

use stage::Stage;
use variation::Variation;

/// One session of the recorder: the buckets and directories go on from file to file.
const MAIN_SESSION: [&str; 16] = [
    "01-boot-and-auth",
    "02-backup-errors-on-empty-server",
    "03-load-and-count",
    "04-create-validation",
    "05-create-success",
    "06-create-variants",
    "07-restore-onto-existing-classes",
    "08-restore-on-fresh-server",
    "09-stale-status-and-node-mismatch",
    "10-restore-variants",
    "11-filesystem-restore-of-an-s3-backup",
    "12-filesystem-only-server-without-s3-module",
    "13-config-file-secrets",
    "14-config-file-missing",
    "15-s3-failures",
    "16-damaged-backups",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_main_session_answers_as_recorded() {
    let mut stage = Stage::new(Variation::as_recorded()).await;
    for name in MAIN_SESSION.into_iter().chain(["18-killed-in-the-middle", "19-metrics"]) {
        stage.replay(name).await;
    }
}

/// Nothing can be canned: other classes, tenants, ids and counts give the same answers but for those.
#[tokio::test(flavor = "multi_thread")]
async fn the_main_session_with_other_names_and_counts() {
    let mut stage = Stage::new(Variation::random()).await;
    for name in MAIN_SESSION {
        stage.replay(name).await;
    }
    stage.replay("18-killed-in-the-middle").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filesystem_backups_move_to_s3_and_back() {
    for variation in [Variation::as_recorded(), Variation::random()] {
        let mut stage = Stage::new(variation).await;
        for name in [
            "20-filesystem-backup-uploaded-to-s3",
            "21-s3-restore-of-a-filesystem-backup",
            "22-s3-restore-of-a-filesystem-incremental",
            "23-filesystem-restore-of-an-incremental-chain",
        ] {
            stage.replay(name).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_keys_stop_the_start_and_keys_close_the_server() {
    Stage::new(Variation::as_recorded()).await.replay("24-auth-fails-closed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_by_override() {
    for variation in [Variation::as_recorded(), Variation::random()] {
        Stage::new(variation).await.replay("25-read-only-override").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incremental_after_a_restore_is_small_once_the_times_are_back() {
    Stage::new(Variation::as_recorded()).await.replay("26-incremental-after-restore").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_aliases_and_sleeping_tenants() {
    for variation in [Variation::as_recorded(), Variation::random()] {
        let mut stage = Stage::new(variation).await;
        stage.replay("27-objects-queries-aliases-tenants").await;
        stage.replay("28-restore-with-alias-and-inactive-tenants").await;
    }
}

/// More than one part of 16 MiB, there and back: `direct` moves real bytes.
#[tokio::test(flavor = "multi_thread")]
async fn large_chunks_go_to_s3_in_parts_and_come_back() {
    let mut stage = Stage::new(Variation::as_recorded()).await;
    let summary = stage.generate("large", 40 << 20);
    let count = summary["collections"]["Doc"][""].clone();
    let start =
        serde_json::json!({"node": "weaviate-0", "env": {}, "dropped": [], "args": [], "exited": null});
    stage.start(&start, "start").await;
    stage.operate("/v1/backups/filesystem/large/restore", "{}", "/v1/backups/filesystem/large/restore").await;
    let create = r#"{"id": "parts", "config": {"CompressionLevel": "NoCompression"}}"#;
    stage.operate("/v1/backups/s3", create, "/v1/backups/s3/parts").await;
    let chunk = stage.bucket.keys().into_iter().map(|key| stage.bucket.get(&key).unwrap().len()).max();
    assert!(chunk > Some(32 << 20), "{chunk:?}");
    stage.start(&start, "fresh").await;
    stage.operate("/v1/backups/s3/parts/restore", "{}", "/v1/backups/s3/parts/restore").await;
    let query = r#"{"query": "{ Aggregate { Doc { meta { count } } } }"}"#;
    let (_, _, answer) = stage.send("POST", "/v1/graphql", Some("admin-key"), Some(query.into())).await;
    assert_eq!(answer["data"]["Aggregate"]["Doc"][0]["meta"]["count"], count);
}
