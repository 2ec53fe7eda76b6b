//! Backups and restores that go on: the states on their way, and when a server is free for the next one.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stage::{PATIENCE, SCALE, Stage};

/// The clock runs from the answer to the order, in seconds that do not scale: the work began before it.
const ANSWER: f64 = 0.05;
/// The recorder looked a few times a second: a state may have begun so many seconds before it was seen.
const BLINK: f64 = 0.35;
/// What a busy machine may add, unscaled: half of the time to the next look.
const BUSY: f64 = 0.5;
/// Seconds between two looks of the coordinator, after the first one.
const NEXT_LOOK: f64 = 10.0;
/// How long one class is FINALIZING, unscaled: nobody who looks less often needs to see it.
const CLASS_APPLY: f64 = 0.2;

impl Stage {
    /// Polls until the recorded last status; the states on the way must be the recorded ones.
    pub async fn poll(&mut self, step: &Value, at: &str) {
        let path = step["path"].as_str().unwrap();
        let seen = step["seen"].as_array().unwrap();
        let states = |answers: &[Value]| {
            let mut states: Vec<_> = answers.iter().map(|answer| answer["status"].clone()).collect();
            states.dedup();
            states
        };
        let recorded: Vec<Value> = seen.iter().map(|answer| answer["body"].clone()).collect();
        let began = Instant::now();
        let deadline = began + PATIENCE;
        let mut answers: Vec<Value> = Vec::new();
        let (mut looked, mut overslept) = (began, false);
        // When each state was seen first.
        let mut since: Vec<(Value, f64)> = Vec::new();
        loop {
            let look = Instant::now();
            let (code, _, body) = self.send("GET", path, Some("admin-key"), None).await;
            assert_eq!(code, 200, "{at}: {body}");
            if answers.last().is_some_and(|before| before["status"] == "TRANSFERRING") {
                overslept |= looked.elapsed().as_secs_f64() > CLASS_APPLY * SCALE;
            }
            looked = look;
            if since.last().is_none_or(|(state, _)| *state != body["status"]) {
                since.push((body["status"].clone(), began.elapsed().as_secs_f64()));
            }
            let running = matches!(body["status"].as_str(), Some("STARTED" | "TRANSFERRING" | "FINALIZING"));
            answers.push(body);
            if !running {
                break;
            }
            assert!(Instant::now() < deadline, "{at}: still {answers:?}");
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        // The first recorded answer to a finished backup says it is finished: the recorder came late.
        let got = if recorded.len() == 1 { answers[answers.len() - 1..].to_vec() } else { answers };
        let mut passed = states(&got);
        if passed.last() == Some(&"FAILED".into()) {
            // Nothing to apply, and FINALIZING is over before the recorder looked again.
            passed.retain(|state| state != "FINALIZING");
        }
        let mut wanted = states(&recorded);
        let missed = overslept && !passed.contains(&"FINALIZING".into());
        if missed {
            wanted.retain(|state| state != "FINALIZING");
        }
        assert_eq!(passed, wanted, "{at}: states, {:?}", got.last());
        if seen.len() > 1 {
            let seen = seen.iter().filter(|answer| !missed || answer["body"]["status"] != "FINALIZING");
            in_time(seen, &since, at);
        }
        self.compare(recorded.last().unwrap(), got.last().unwrap(), at);
        self.until_free(&operation(path, None).unwrap_or_default(), at).await;
    }

    /// The slot is free a moment after the last word is written. The server's log tells when.
    pub async fn until_free(&self, operation: &str, at: &str) {
        let told = self.told.lock().unwrap().iter().filter(|told| *told == operation).count();
        let server = self.server.as_ref().expect("a server");
        let line = format!("\"{operation}: ");
        let ended = || server.log.lock().unwrap().iter().filter(|text| text.contains(&line)).count();
        let deadline = Instant::now() + PATIENCE;
        while ended() < told {
            assert!(Instant::now() < deadline, "{at}: no end of {operation} in the log");
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
}

/// What a request does to a backup or asks about one, as the log begins to tell of its end: `restore full-1`.
pub fn operation(path: &str, body: Option<&str>) -> Option<String> {
    let words: Vec<&str> = path.strip_prefix("/v1/backups/")?.split('/').collect();
    match *words.as_slice() {
        [_] => {
            let body: Value = serde_json::from_str(body?).ok()?;
            Some(format!("backup {}", body["id"].as_str()?))
        }
        [_, id] => Some(format!("backup {id}")),
        [_, id, "restore"] => Some(format!("restore {id}")),
        _ => None,
    }
}

/// Each state began when the recorder saw it begin, scaled; or at a later look of the coordinator, where a busy
/// machine had not done the work by the first one: work does not scale.
fn in_time<'a>(recorded: impl Iterator<Item = &'a Value>, since: &[(Value, f64)], at: &str) {
    let (mut before, mut looks) = (Value::Null, 0.0);
    for answer in recorded {
        let state = &answer["body"]["status"];
        if *state == before {
            continue;
        }
        before = state.clone();
        let (at_s, seen) = (answer["at_s"].as_f64().unwrap(), since.iter().find(|(found, _)| found == state));
        let Some((_, seen)) = seen else { panic!("{at}: {state} was not seen: {since:?}") };
        let window = |looks: f64| {
            let at_s = at_s + looks * NEXT_LOOK;
            (at_s - BLINK) * SCALE - ANSWER..at_s * SCALE + BUSY
        };
        while at_s > 1.0 && looks < 3.0 && *seen >= window(looks).end {
            looks += 1.0;
        }
        let window = window(looks);
        assert!(
            window.contains(seen),
            "{at}: {state} began after {seen:.3} s; recorded {at_s} s, {window:?} s here"
        );
    }
}
