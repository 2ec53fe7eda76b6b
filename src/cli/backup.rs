//! `backup`: asks the `run` that serves the node, and shows how far it is.

use super::exit::say;
use super::{Exit, Globals, context};
use crate::backup::{Made, Order};
use crate::control::{self, Answer, Request};

pub async fn backup(globals: &Globals, order: Order) -> Exit {
    let roots = context::roots(globals);
    let progress = |line: &str| {
        if !globals.json {
            eprintln!("{line}");
        }
    };
    match control::ask(&roots.run, &Request::Backup(order), progress).await {
        Ok(Answer::Made(made)) => {
            if globals.json {
                println!("{}", serde_json::json!(made));
            } else {
                println!("{}", sentence(&made));
            }
            Exit::Done
        }
        Ok(Answer::Failed(failure)) => {
            if globals.json {
                say(failure.class, &failure.reason, &failure.remedy, &failure.details);
            }
            eprintln!("{failure}");
            for line in &failure.details {
                eprintln!("  {line}");
            }
            failure.class.into()
        }
        Ok(Answer::Says(_)) => Exit::Bug,
        Err(error) => Exit::answer(globals.json, &error),
    }
}

fn sentence(made: &Made) -> String {
    let Made { id, base, files, bytes, objects, collections, seconds, quiesced, held_back } = made;
    let (mib, on) = (bytes >> 20, base.as_ref().map_or(String::new(), |base| format!(", built on {base}")));
    let quiet = if *quiesced { ", while nobody wrote" } else { "" };
    let what = format!(
        "{id}: {objects} objects of {collections} collections in {files} files, {mib} MiB{on}, in {seconds} s{quiet}."
    );
    match held_back {
        None => what,
        Some(why) => format!("{what}\nThe manifest goes on naming the backup before it: {why}."),
    }
}
