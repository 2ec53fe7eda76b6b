//! Errors of libraries, for rows that need a source; a journal that was closed a moment ago; and a server of few words.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::IntoResponse as _;

use crate::aws::{CallError, Kind};
use crate::manifest::Object;
use crate::process::ProcessError;
use crate::state::{Journal, StateError};
use crate::store::fake::{etag, sha256};
use crate::weaviate::Client;

pub const SOME: Duration = Duration::from_mins(1);

/// Opens what was closed a moment ago. A lock belongs to the open file (flock(2)), and a child that another test forks has
/// that too, until it executes its program.
pub fn reopened(directory: &Path) -> Result<Journal, StateError> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match Journal::open(directory) {
            Err(StateError::Locked { .. }) if Instant::now() < until => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

pub fn call(operation: &'static str, kind: Kind) -> CallError {
    CallError { operation, kind, code: "Code".into(), message: "the service's words".into() }
}

pub fn io() -> std::io::Error {
    std::io::Error::other("the system's words")
}

pub fn json() -> serde_json::Error {
    serde_json::from_str::<u8>("x").expect_err("x is no number")
}

pub fn web() -> reqwest::Error {
    reqwest::Client::new().get("no address").build().expect_err("no address")
}

pub const fn docker() -> bollard::errors::Error {
    bollard::errors::Error::RequestTimeoutError
}

pub const fn netlink() -> rtnetlink::Error {
    rtnetlink::Error::RequestFailed
}

pub fn process() -> ProcessError {
    ProcessError::Failed {
        command: "program --option".into(),
        status: std::process::ExitStatus::from_raw(256),
        stdout: String::new(),
        stderr: "the program's words".into(),
    }
}

/// A Weaviate that gives these answers in turn, whatever it is asked; the last one for ever.
pub async fn scripted(answers: &[(u16, impl AsRef<str>)]) -> Client {
    let answers: VecDeque<_> =
        answers.iter().map(|(status, body)| (*status, body.as_ref().to_owned())).collect();
    let answers = Arc::new(Mutex::new(answers));
    let app = axum::Router::new().fallback(move || {
        let answers = Arc::clone(&answers);
        async move {
            let mut answers = answers.lock().expect("nobody panicked");
            let (status, body) = answers.front().cloned().expect("an answer");
            if answers.len() > 1 {
                answers.pop_front();
            }
            (StatusCode::from_u16(status).expect("a status"), body).into_response()
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Client::new(&base, Some("admin-key".into()))
}

/// Bytes without a pattern that a shifted range would repeat.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

/// An object as it was sent with these bytes.
pub fn object(key: &str, bytes: &[u8]) -> Object {
    Object {
        key: key.to_owned(),
        size: bytes.len() as u64,
        sha256: sha256(bytes),
        etag: Some(etag(bytes)),
        version_id: None,
        other: serde_json::Map::new(),
    }
}
