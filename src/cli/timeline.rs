//! `timeline`: where the time of the last boot went.

use std::path::Path;

use super::exit::say;
use super::{Exit, Globals, context};
use crate::explain::Class;
use crate::report::{self, Entry};
use crate::state::replace;

pub fn timeline(globals: &Globals, picture: Option<&Path>) -> Exit {
    let file = context::roots(globals).state.join("timeline.json");
    let entries = std::fs::read(&file).and_then(|bytes| Ok(serde_json::from_slice::<Vec<Entry>>(&bytes)?));
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return refuse(globals, Class::Retry, "no boot has been timed on this machine yet");
        }
        Err(error) => {
            return refuse(globals, Class::Final, &format!("{} cannot be read: {error}", file.display()));
        }
    };
    if let Some(picture) = picture
        && let Err(error) = replace(picture, report::svg(&entries).as_bytes(), 0o644)
    {
        return refuse(globals, Class::Final, &format!("{} cannot be written: {error}", picture.display()));
    }
    if globals.json {
        println!("{}", serde_json::json!(entries));
    } else {
        print!("{}", report::text(&entries));
    }
    Exit::Done
}

fn refuse(globals: &Globals, class: Class, why: &str) -> Exit {
    let remedy = "`weaviate-provisioner run` times each boot anew.";
    if globals.json {
        say(class, why, remedy, &[]);
    }
    eprintln!("{why}. {remedy}");
    class.into()
}
