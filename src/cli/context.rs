//! What commands need before they can begin: a runtime, the roots, a host.

use std::future::Future;
use std::sync::Arc;

use super::{Exit, Globals};
use crate::config;
use crate::host::{Host, Roots};
use crate::report::Status;
use crate::state::Journal;

/// Runs a command's future on a runtime of its own.
pub fn block_on(work: impl Future<Output = Exit>) -> Exit {
    // Two workers: hashing beside transfers; everything else waits for others.
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            eprintln!("The runtime could not be started: {error}.");
            Exit::Retry
        }
    }
}

pub fn roots(globals: &Globals) -> Roots {
    Roots { sysfs: globals.sysfs.clone(), ..Roots::default() }
}

/// Settings, journal (locked) and voice, or the exit that says why not.
pub fn host(globals: &Globals) -> Result<Host, Exit> {
    let settings = config::load(&globals.config).map_err(|error| Exit::refuse(&error))?;
    let roots = roots(globals);
    let journal = Journal::open(&roots.state).map_err(|error| Exit::refuse(&error))?;
    Ok(Host::new(settings, roots, Arc::new(journal), Status::default()))
}

/// The same for a command that only looks: beside a `run` that holds the journal, and without writing to it.
pub fn observer(globals: &Globals) -> Result<Host, Exit> {
    let settings = config::load(&globals.config).map_err(|error| Exit::refuse(&error))?;
    let roots = roots(globals);
    let journal = Journal::observe(&roots.state).map_err(|error| Exit::refuse(&error))?;
    Ok(Host::new(settings, roots, Arc::new(journal), Status::default()))
}
