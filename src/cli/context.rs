//! What commands need before they can begin: a runtime, the roots, a host.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use super::{Exit, Globals};
use crate::config::{self, Settings};
use crate::host::{Host, Roots};
use crate::report::Status;
use crate::state::Journal;

/// A system call that hangs in a blocking thread (a disk that does not answer) must not hold the process: systemd
/// would kill it later, without its exit code.
const STUCK: std::time::Duration = std::time::Duration::from_secs(2);

/// Runs a command's future on a runtime of its own.
pub fn block_on(work: impl Future<Output = Exit>) -> Exit {
    // Two workers: hashing beside transfers; everything else waits for others.
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => {
            // The panic hook has printed what and where; the runtime ends with everything that it ran.
            let ended = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(work)));
            runtime.shutdown_timeout(STUCK);
            ended.unwrap_or_else(|_| {
                eprintln!("This is a bug: report it with the lines above.");
                Exit::Bug
            })
        }
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
pub fn host(globals: &Globals, settings: Settings) -> Result<Host, Exit> {
    let roots = roots(globals);
    let journal = Journal::open(&roots.state).map_err(|error| Exit::answer(globals.json, &error))?;
    Ok(made(settings, roots, journal))
}

fn made(settings: Settings, roots: Roots, journal: Journal) -> Host {
    let status = Status::default();
    settings.idle().into_iter().for_each(|key| status.warn(key));
    if let Some(aside) = journal.set_aside() {
        status.warn(format!(
            "the journal could not be understood and lies in {} now; what the volume itself says decides",
            aside.display()
        ));
    }
    Host::new(settings, roots, Arc::new(journal), status)
}

/// The same for a command that only looks: beside a `run` that holds the journal, and without writing to it.
pub fn observer(globals: &Globals) -> Result<Host, Exit> {
    let settings = config::load(&globals.config).map_err(|error| Exit::answer(globals.json, &error))?;
    let roots = roots(globals);
    let journal = Journal::observe(&roots.state).map_err(|error| Exit::answer(globals.json, &error))?;
    Ok(made(settings, roots, journal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_hangs_does_not_hold_the_exit() {
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let (told, hangs) = std::sync::mpsc::channel::<()>();
        let exit = block_on(async {
            tokio::task::spawn_blocking(move || {
                let _ = told.send(());
                held.recv()
            });
            // The runtime waits only for threads that have begun.
            let _ = hangs.recv();
            Exit::Done
        });
        assert!(matches!(exit, Exit::Done));
        assert!(let_go.send(()).is_ok(), "the thread hangs still, and nobody waits for it");
    }

    #[test]
    fn a_panic_is_a_bug_and_not_a_crash() {
        let never = std::hint::black_box(None::<Exit>);
        assert_eq!(block_on(async { never.expect("a test's own panic") }), Exit::Bug);
        assert_eq!(block_on(async { Exit::Done }), Exit::Done);
    }
}
