//! What commands need before they can begin: a runtime, the roots, a host.

use std::future::Future;
use std::sync::Arc;

use super::{Exit, Globals};
use crate::config::{self, Settings};
use crate::host::{Host, Roots};
use crate::instance::{self, Identity};
use crate::report::Status;
use crate::state::Journal;

/// A system call that hangs in a blocking thread (a disk that does not answer) must not hold the process: systemd
/// would kill it later, without its exit code.
const STUCK: std::time::Duration = std::time::Duration::from_secs(2);

/// From now on a bug in any thread ends the program, with its own exit code. One in a task would otherwise end that task
/// alone, and a node without heartbeats, say, would go on as if nothing were wrong. So nothing is ever unwound, and
/// what is shipped (`profile.dist`) has no code for it.
#[expect(
    clippy::disallowed_methods,
    reason = "after a bug there is nobody to whom an exit code could be returned"
)]
pub fn end_at_bugs() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |bug| {
        told(bug);
        eprintln!("This is a bug: report it with the lines above.");
        std::process::exit(Exit::Bug.code().into());
    }));
}

/// Runs a command's future on a runtime of its own.
pub fn block_on(work: impl Future<Output = Exit>) -> Exit {
    // Two workers: hashing beside transfers; everything else waits for others.
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => {
            let exit = runtime.block_on(work);
            runtime.shutdown_timeout(STUCK);
            exit
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

/// The same with the instance that it is on: for commands that look into the bucket.
pub async fn looker(globals: &Globals) -> Result<(Host, Identity), Exit> {
    let host = observer(globals)?;
    let me = instance::identify(&host).await.map_err(|error| Exit::answer(globals.json, &error))?;
    Ok((host, me))
}

/// `work`, and on the terminal meanwhile how far it is.
pub async fn told<T>(globals: &Globals, host: &Host, work: impl Future<Output = T>) -> T {
    if globals.json {
        return work.await;
    }
    let mut lines = host.status.listen();
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            Some(line) = lines.recv() => eprintln!("{line}"),
        }
    }
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
    fn a_bug_in_a_task_ends_the_program_with_its_own_code() {
        let itself = std::env::current_exe().expect("this test");
        let mut again = std::process::Command::new(itself);
        let ended = again
            .args(["--ignored", "--exact", "cli::context::tests::a_task_with_a_bug", "--nocapture"])
            .output();
        let ended = ended.expect("the test, run alone");
        // The harness itself would say 101, or 0.
        assert_eq!(ended.status.code(), Some(Exit::Bug.code().into()));
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(said.contains("a test's own bug") && said.contains("This is a bug"), "{said}");
    }

    #[test]
    #[ignore = "ends the whole program: the test above runs it in one of its own"]
    fn a_task_with_a_bug() {
        end_at_bugs();
        let exit = block_on(async {
            let never = std::hint::black_box(None::<Exit>);
            let task = tokio::spawn(async move { never.expect("a test's own bug") });
            // Nobody looks at what became of it.
            drop(task.await);
            Exit::Done
        });
        assert_eq!(exit, Exit::Done);
    }
}
