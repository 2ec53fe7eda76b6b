//! `restore`: asks the `run` that serves the node to bring collections of a backup back, and shows how far it is.

use super::asked::Wait;
use super::{Exit, Globals, asked};
use crate::control::{Answer, Request};
use crate::regain::{Last, Order, Regained};

pub async fn restore(globals: &Globals, order: Order, wait: Wait) -> Exit {
    match asked::ask(globals, Request::Restore(order), wait).await {
        Ok(Answer::Regained(regained)) => {
            if globals.json {
                println!("{}", serde_json::json!(regained));
            } else {
                println!("{}", sentence(&regained));
            }
            Exit::Done
        }
        Ok(_) => Exit::Bug,
        Err(exit) => exit,
    }
}

fn sentence(regained: &Regained) -> String {
    let Regained { id, collections, objects, bytes, seconds } = regained;
    let names = collections.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    format!(
        "{names} of {id}: {objects} objects counted, {} MiB fetched, in {seconds} s: as it was backed up.",
        bytes >> 20
    )
}

/// The last one of this machine, for `status`.
pub fn about(last: &Last) -> String {
    match last {
        Last::UnderWay { id, collections } => {
            let names = collections.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            format!("{names} of {id} come back, or did when the agent ended")
        }
        Last::Done { regained, at } => format!("{} ({at:.0})", sentence(regained)),
        Last::Failed { id, failure, at } => {
            let of = id.as_ref().map(|id| format!("of {id} ")).unwrap_or_default();
            format!("{of}failed: {}. ({at:.0})", failure.reason)
        }
    }
}
