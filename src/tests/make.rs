//! Errors of libraries, for rows that need a source.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use crate::aws::{CallError, Kind};
use crate::process::ProcessError;

pub const SOME: Duration = Duration::from_mins(1);

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
