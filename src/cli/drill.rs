//! `drill`: asks the `run` that serves the node to restore a backup beside it and to compare it.

use super::asked::Wait;
use super::{Exit, Globals, asked, backup};
use crate::backup::Order;
use crate::control::{Answer, Request};
use crate::drill::Drilled;

pub async fn drill(globals: &Globals, id: Option<String>, create: bool, wait: Wait) -> Exit {
    if create {
        match backup::backup(globals, Order::default(), Wait::Ended).await {
            Exit::Done => {}
            refused => return refused,
        }
    }
    match asked::ask(globals, Request::Drill { id }, wait).await {
        Ok(Answer::Drilled(drilled)) => {
            if globals.json {
                println!("{}", serde_json::json!(drilled));
            } else {
                println!("{}", sentence(&drilled));
            }
            Exit::Done
        }
        Ok(_) => Exit::Bug,
        Err(exit) => exit,
    }
}

/// For `status` too.
pub fn sentence(drilled: &Drilled) -> String {
    let Drilled {
        backup_id,
        at: _,
        instance_id: _,
        proven: _,
        bytes,
        objects,
        queries,
        seconds,
        reason,
        details: _,
        agent: _,
    } = drilled;
    match reason {
        Some(reason) => format!("{backup_id} is not proven: {reason}."),
        None => format!(
            "{backup_id}: {} MiB restored in {seconds} s, {objects} objects counted, {queries} queries asked: as it \
             was backed up.",
            bytes >> 20
        ),
    }
}
