//! `cancel`: ends what the `run` that serves the node is at, a backup, a drill or a prune.

use super::asked::Wait;
use super::{Exit, Globals, asked};
use crate::control::{Answer, Request};

pub async fn cancel(globals: &Globals) -> Exit {
    match asked::ask(globals, Request::Cancel, Wait::Ended).await {
        Ok(Answer::Cancelled { was }) => {
            if globals.json {
                println!("{}", serde_json::json!({ "cancelled": was }));
            } else {
                println!("{}", if was { "It has ended." } else { "Nothing is under way." });
            }
            Exit::Done
        }
        Ok(_) => Exit::Bug,
        Err(exit) => exit,
    }
}
