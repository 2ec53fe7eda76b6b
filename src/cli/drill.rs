//! `drill`: asks the `run` that serves the node to restore a backup beside it and to compare it; with `--alone` does so
//! itself, on a host that serves nobody.

use super::asked::Wait;
use super::{Exit, Globals, asked, backup, context};
use crate::backup::Order;
use crate::config;
use crate::container::{self, Stuff};
use crate::control::{Answer, Request};
use crate::disk;
use crate::drill::{self, Drilled};
use crate::explain::{Explain, Failure};
use crate::host::Host;
use crate::instance;
use crate::report::Step;
use crate::secrets;

pub async fn drill(globals: &Globals, id: Option<String>, create: bool, wait: Wait) -> Exit {
    if create {
        match backup::backup(globals, Order::default(), Wait::Ended).await {
            Exit::Done => {}
            refused => return refused,
        }
    }
    match asked::ask(globals, Request::Drill { id }, wait).await {
        Ok(Answer::Drilled(drilled)) => show(globals, &drilled),
        Ok(_) => Exit::Bug,
        Err(exit) => exit,
    }
}

fn show(globals: &Globals, drilled: &Drilled) -> Exit {
    if globals.json {
        println!("{}", serde_json::json!(drilled));
    } else {
        println!("{}", sentence(drilled));
    }
    Exit::Done
}

/// On a host of its own: its disk is prepared as a node's, and nothing is claimed, signalled or shown to anybody. A `run`
/// that lives here holds the journal.
pub async fn alone(globals: &Globals, id: Option<String>) -> Exit {
    let settings = match config::load(&globals.config) {
        Ok(settings) => settings,
        Err(error) => return Exit::answer(globals.json, &error),
    };
    let host = match context::host(globals, settings) {
        Ok(host) => host,
        Err(exit) => return exit,
    };
    match context::told(globals, &host, Box::pin(by_itself(&host, id.as_deref()))).await {
        Ok(drilled) => show(globals, &drilled),
        Err(failure) => asked::failed(globals, &failure),
    }
}

async fn by_itself(host: &Host, id: Option<&str>) -> Result<Drilled, Failure> {
    let step = |step: Step| move |error: &dyn Explain| Failure::new(step.name(), error);
    let me = instance::identify(host).await.map_err(|error| step(Step::Identify)(&error))?;
    let volume = async { disk::prepare(host, &me).await.map_err(|error| step(Step::Prepare)(&error)) };
    let secrets = async { secrets::fetch(host, &me).await.map_err(|error| step(Step::Fetch)(&error)) };
    let image = async { container::ready_image(host).await.map_err(|error| step(Step::Image)(&error)) };
    let (volume, secrets, image) = tokio::try_join!(volume, secrets, image)?;
    let stuff = Stuff { volume: &volume, secrets: &secrets, image: &image };
    drill::drill(host, &me, stuff, id, |_| {}).await.map_err(|error| Failure::new("drill", &error))
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
