//! Commands that the `run` does which serves the node: they ask, and show how far it is.

use super::exit::say;
use super::{Exit, Globals, context};
use crate::control::{self, Answer, Request};
use crate::explain::Failure;

/// How long a command stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    Ended,
    /// `--no-wait`.
    Begun,
}

impl Wait {
    pub const fn of(no_wait: bool) -> Self {
        if no_wait { Self::Begun } else { Self::Ended }
    }
}

/// The answer, or the exit that says why there is none.
pub async fn ask(globals: &Globals, request: Request, wait: Wait) -> Result<Answer, Exit> {
    let run = context::roots(globals).run;
    let progress = |line: &str| {
        if !globals.json {
            eprintln!("{line}");
        }
    };
    let answer = match wait {
        Wait::Ended => control::ask(&run, &request, progress).await,
        Wait::Begun => control::order(&run, &request).await,
    };
    match answer {
        Ok(Answer::Failed(failure)) => Err(failed(globals, &failure)),
        Ok(Answer::Says(_)) if wait == Wait::Begun => {
            if globals.json {
                println!("{}", serde_json::json!({ "under_way": true }));
            } else {
                println!("It is under way: `weaviate-provisioner status` says how far it is.");
            }
            Err(Exit::Done)
        }
        Ok(answer) => Ok(answer),
        Err(error) => Err(Exit::answer(globals.json, &error)),
    }
}

/// Shows why an order came to nothing.
pub fn failed(globals: &Globals, failure: &Failure) -> Exit {
    if globals.json {
        say(failure.class, &failure.reason, &failure.remedy, &failure.details);
    }
    eprintln!("{failure}");
    for line in &failure.details {
        eprintln!("  {line}");
    }
    failure.class.into()
}
