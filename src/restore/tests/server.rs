//! The server's part against recorded answers: orders, ends, silence, who may see and write.

use std::time::Duration;

use super::super::error::RestoreError;
use super::super::serve::{Accepted, Order, Patience, occupied, order, wait};
use super::super::verify::{Access, access, count, count_at_rest, server};
use super::*;
use crate::report::Status;
use crate::tests::make::scripted;
use crate::weaviate::{Backend, Meta, RestoreConfig};

const QUICK: Patience = Patience {
    poll: Duration::from_millis(5),
    quiet: Duration::from_millis(300),
    silent: Duration::from_millis(100),
};

fn wanted(mount: &Path) -> Order<'_> {
    let config = RestoreConfig { cpu_percentage: 80, ..RestoreConfig::default() };
    let (backend, backup, only) = (Backend::Filesystem, "full-1", Vec::new());
    Order { backend, backup, config, only, overwrite_alias: false, renamed: None, mount }
}

fn says(state: &str) -> String {
    format!(r#"{{"backend":"filesystem","id":"full-1","path":"/b/full-1","status":"{state}","error":"why"}}"#)
}

#[tokio::test]
async fn the_end_of_a_restore_is_told_from_its_middle() {
    type Expected = fn(&Result<(), RestoreError>) -> bool;
    let rows: [(&[&str], Expected); 6] = [
        (&["STARTED", "TRANSFERRING", "FINALIZING", "SUCCESS"], |r| r.is_ok()),
        (&["NEW", "TRANSFERRED", "SUCCESS"], |r| r.is_ok()),
        (
            &["TRANSFERRING", "FAILED"],
            |r| matches!(r, Err(RestoreError::Ended { message, .. }) if message == "why"),
        ),
        (&["TRANSFERRING", "CANCELED"], |r| matches!(r, Err(RestoreError::Ended { .. }))),
        (&["CANCELLING", "CANCELED"], |r| matches!(r, Err(RestoreError::Ended { .. }))),
        (&["FINALIZING"], |r| matches!(r, Err(RestoreError::Stalled { .. }))),
    ];
    let mount = tempfile::tempdir().expect("a directory");
    for (states, expected) in rows {
        let bodies: Vec<String> = states.iter().map(|s| says(s)).collect();
        let answers: Vec<(u16, &str)> = bodies.iter().map(|b| (200, b.as_str())).collect();
        let client = scripted(&answers).await;
        // A directory of its own on a busy file system: only the states may move here.
        let patience = if states.len() == 1 { Patience { quiet: Duration::ZERO, ..QUICK } } else { QUICK };
        let result = wait(&client, &wanted(mount.path()), patience, &Status::default()).await;
        assert!(expected(&result), "{states:?}: {result:?}");
    }
}

#[tokio::test]
async fn a_server_that_forgot_or_is_silent_is_noticed() {
    let mount = tempfile::tempdir().expect("a directory");
    let client =
        scripted(&[(200, says("TRANSFERRING").as_str()), (404, r#"{"error":[{"message":"none"}]}"#)]).await;
    let result = wait(&client, &wanted(mount.path()), QUICK, &Status::default()).await;
    assert!(matches!(result, Err(RestoreError::Forgotten { .. })), "{result:?}");
    let client = scripted(&[(500, "{}")]).await;
    let result = wait(&client, &wanted(mount.path()), QUICK, &Status::default()).await;
    assert!(matches!(result, Err(RestoreError::Server(_))), "{result:?}");
    let client = scripted(&[(500, "{}"), (200, &says("SUCCESS"))]).await;
    wait(&client, &wanted(mount.path()), QUICK, &Status::default()).await.expect("once is nothing");
}

#[tokio::test]
async fn only_an_accepted_order_counts() {
    let mount = tempfile::tempdir().expect("a directory");
    let error = |message: &str| format!(r#"{{"error":[{{"message":"{message}"}}]}}"#);
    let busy = "restoration full-1 already in progress";
    // Of an order that is not taken: whether it may be another time.
    let rows = [
        (200, says("STARTED"), Ok(Accepted::Yes)),
        (422, error(busy), Ok(Accepted::Busy(busy.to_owned()))),
        (500, error("context deadline exceeded"), Err(true)),
        (422, error("restore blocked: runtime-reindex in flight in the cluster"), Err(true)),
        // A node of another name never will.
        (500, error("cannot resolve hostname"), Err(false)),
        (422, error("no such backup"), Err(false)),
    ];
    for (status, body, expected) in rows {
        let client = scripted(&[(status, &body)]).await;
        let accepted = order(&client, &wanted(mount.path())).await.map_err(|refused| match refused {
            RestoreError::NotAccepted { again, .. } => again,
            other => panic!("{other:?}"),
        });
        assert_eq!(accepted, expected, "{body}");
    }
}

#[tokio::test]
async fn leftovers_of_a_killed_restore_are_seen() {
    let data = tempfile::tempdir().expect("a directory");
    let empty = scripted(&[(200, r#"{"classes":[]}"#)]).await;
    assert_eq!(occupied(&empty, data.path()).await.expect("looks"), None);
    let full = scripted(&[(200, r#"{"classes":[{"class":"A"}]}"#)]).await;
    assert_eq!(occupied(&full, data.path()).await.expect("looks"), Some("collection A".to_owned()));
    std::fs::create_dir(data.path().join(".backup.tmp")).expect("makes");
    assert!(occupied(&empty, data.path()).await.expect("looks").is_some());
}

#[tokio::test]
async fn who_may_write_without_leave_is_found_out() {
    type Expected = fn(&Result<(), RestoreError>) -> bool;
    type Row = (&'static [(u16, &'static str)], bool, Expected);
    // Without a key; with the admin's; with the writer's; the reader's write.
    let rows: [Row; 7] = [
        (&[(401, ""), (200, ""), (200, ""), (403, "")], false, |r| r.is_ok()),
        (&[(200, ""), (200, ""), (403, "")], false, |r| matches!(r, Err(RestoreError::Open { status: 200 }))),
        (&[(200, ""), (200, ""), (200, ""), (403, "")], true, |r| r.is_ok()),
        (&[(401, ""), (200, ""), (401, "")], false, |r| {
            matches!(r, Err(RestoreError::UnknownKey { role: "writer" }))
        }),
        (&[(401, ""), (401, "")], false, |r| matches!(r, Err(RestoreError::UnknownKey { role: "admin" }))),
        (&[(401, ""), (200, ""), (200, ""), (401, "")], false, |r| {
            matches!(r, Err(RestoreError::UnknownKey { role: "reader" }))
        }),
        (&[(401, ""), (200, ""), (200, ""), (422, "")], false, |r| {
            matches!(r, Err(RestoreError::ReaderWrites { status: 422 }))
        }),
    ];
    for (answers, anonymous, expected) in rows {
        let client = scripted(answers).await;
        let result = access(
            &client,
            &Access { anonymous, writer: Some("writer".into()), reader: Some("reader".into()) },
        )
        .await;
        assert!(expected(&result), "{answers:?}: {result:?}");
    }
}

#[tokio::test]
async fn a_server_is_counted_tenant_by_tenant() {
    let client = scripted(&[
        (200, r#"{"classes":[{"class":"Chunk","multiTenancyConfig":{"enabled":true}}]}"#),
        (200, r#"[{"name":"alpha","activityStatus":"HOT"},{"name":"cold","activityStatus":"COLD"}]"#),
        (200, r#"{"data":{"Aggregate":{"Chunk":[{"meta":{"count":100}}]}}}"#),
        (200, r#"{"aliases":[]}"#),
    ])
    .await;
    let seen = count(&client, &Status::default()).await.expect("counted");
    let expected = collection(&[("alpha", Some(100), "HOT"), ("cold", None, "COLD")]);
    assert_eq!(seen.collections, Collections::from([("Chunk".to_owned(), expected)]));
}

#[tokio::test]
async fn the_last_count_waits_until_nothing_changes_any_more() {
    let classes = r#"{"classes":[{"class":"Article","multiTenancyConfig":{"enabled":false}}]}"#;
    let objects =
        |count: u64| format!(r#"{{"data":{{"Aggregate":{{"Article":[{{"meta":{{"count":{count}}}}}]}}}}}}"#);
    // A batch that came before the door closed is at work during the first two.
    let counts = [10, 11, 12, 12].map(objects);
    let answers =
        counts.iter().flat_map(|count| [(200, classes), (200, count.as_str()), (200, r#"{"aliases":[]}"#)]);
    let client = scripted(&answers.collect::<Vec<_>>()).await;
    let (status, pause, within) = (Status::default(), Duration::from_millis(1), Duration::from_secs(10));
    let seen = count_at_rest(&client, &status, pause, within).await.expect("at rest");
    assert_eq!(seen.collections["Article"].tenants[""].objects, Some(12));
}

#[tokio::test]
async fn a_server_that_does_not_come_to_rest_is_not_counted() {
    let classes = r#"{"classes":[{"class":"Article","multiTenancyConfig":{"enabled":false}}]}"#;
    let count = r#"{"data":{"Aggregate":{"Article":[{"meta":{"count":10}}]}}}"#;
    let client = scripted(&[(200, classes), (200, count), (200, r#"{"aliases":[]}"#)]).await;
    // No second count comes within this time.
    let (status, within) = (Status::default(), Duration::from_millis(500));
    let error = count_at_rest(&client, &status, Duration::from_mins(1), within).await.expect_err("too soon");
    assert!(matches!(error, RestoreError::Unsettled { .. }), "{error:?}");
}

#[test]
fn an_older_server_or_one_without_the_module_is_refused() {
    let meta = |version: &str| Meta {
        version: version.to_owned(),
        modules: [("backup-filesystem".to_owned(), serde_json::Value::Null)].into(),
    };
    let made = manifest(&["full-1"], Vec::new());
    server(&meta("1.39.0"), &made, &["backup-filesystem"]).expect("the control");
    let older = server(&meta("1.38.11"), &made, &["backup-filesystem"]).expect_err("older");
    assert!(matches!(older, RestoreError::NewerServer { .. }), "{older:?}");
    let without = server(&meta("1.39.0"), &made, &["backup-s3"]).expect_err("no module");
    assert!(matches!(without, RestoreError::NoModule { .. }), "{without:?}");
}
