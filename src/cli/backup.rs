//! `backup`: asks the `run` that serves the node, and shows how far it is.

use super::asked::Wait;
use super::{Exit, Globals, asked};
use crate::backup::{Made, Order};
use crate::control::{Answer, Request};
use crate::manifest;

pub async fn backup(globals: &Globals, order: Order, wait: Wait) -> Exit {
    match asked::ask(globals, Request::Backup(order), wait).await {
        Ok(Answer::Made(made)) => {
            if globals.json {
                println!("{}", serde_json::json!(made));
            } else {
                println!("{}", sentence(&made));
            }
            Exit::Done
        }
        Ok(_) => Exit::Bug,
        Err(exit) => exit,
    }
}

/// For `status` too.
pub fn sentence(made: &Made) -> String {
    let Made { id, base, files, bytes, objects, collections, seconds, quiesced, held_back, unprotected } =
        made;
    let (mib, on) = (bytes >> 20, base.as_ref().map_or(String::new(), |base| format!(", built on {base}")));
    let quiet = if *quiesced { ", while nobody wrote" } else { "" };
    let what = format!(
        "{id}: {objects} objects of {collections} collections in {files} files, {mib} MiB{on}, in {seconds} s{quiet}."
    );
    let what = match manifest::listed(unprotected) {
        None => what,
        Some(listed) => format!("{what}\nUnprotected are tenants whose data is not in it: {listed}."),
    };
    match held_back {
        None => what,
        Some(why) => format!("{what}\nThe manifest goes on naming the backup before it: {why}."),
    }
}
