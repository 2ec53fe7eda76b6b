//! `timeline`: where the time of the last boot went.

use std::path::Path;

use super::{Exit, Globals, context};
use crate::report::{self, Entry};
use crate::state::replace;

pub fn timeline(globals: &Globals, picture: Option<&Path>) -> Exit {
    let file = context::roots(globals).state.join("timeline.json");
    let entries = std::fs::read(&file).and_then(|bytes| Ok(serde_json::from_slice::<Vec<Entry>>(&bytes)?));
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("No boot has been timed on this machine yet: `weaviate-provisioner run` does it.");
            return Exit::Retry;
        }
        Err(error) => {
            eprintln!("{} cannot be read: {error}.", file.display());
            return Exit::Final;
        }
    };
    if let Some(picture) = picture
        && let Err(error) = replace(picture, report::svg(&entries).as_bytes(), 0o644)
    {
        eprintln!("{} cannot be written: {error}.", picture.display());
        return Exit::Final;
    }
    if globals.json {
        println!("{}", serde_json::json!(entries));
    } else {
        print!("{}", report::text(&entries));
    }
    Exit::Done
}
