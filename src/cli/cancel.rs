//! `cancel`: ends what the `run` that serves the node is at: a backup, a restore, a drill or a prune.

use super::asked::Wait;
use super::{Exit, Globals, asked};
use crate::control::{Answer, Request};

pub async fn cancel(globals: &Globals, id: Option<String>) -> Exit {
    let nothing = match &id {
        None => "Nothing is under way.".to_owned(),
        Some(id) => format!("Nothing is under way with {id}."),
    };
    match asked::ask(globals, Request::Cancel { id }, Wait::Ended).await {
        Ok(Answer::Cancelled { was }) => {
            if globals.json {
                println!("{}", serde_json::json!({ "cancelled": was }));
            } else {
                println!("{}", if was { "It has ended." } else { nothing.as_str() });
            }
            Exit::Done
        }
        Ok(_) => Exit::Bug,
        Err(exit) => exit,
    }
}
