//! Commands that the `run` does which serves the node: they ask, and show how far it is.

use super::exit::say;
use super::{Exit, Globals, context};
use crate::control::{self, Answer, Request};

/// The answer, or the exit that says why there is none.
pub async fn ask(globals: &Globals, request: Request) -> Result<Answer, Exit> {
    let roots = context::roots(globals);
    let progress = |line: &str| {
        if !globals.json {
            eprintln!("{line}");
        }
    };
    match control::ask(&roots.run, &request, progress).await {
        Ok(Answer::Failed(failure)) => {
            if globals.json {
                say(failure.class, &failure.reason, &failure.remedy, &failure.details);
            }
            eprintln!("{failure}");
            for line in &failure.details {
                eprintln!("  {line}");
            }
            Err(failure.class.into())
        }
        Ok(answer) => Ok(answer),
        Err(error) => Err(Exit::answer(globals.json, &error)),
    }
}
