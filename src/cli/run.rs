//! `run`: the boot, its answer to the lifecycle hook, and the life after it.
//!
//! ```text
//! close ─▶ identify ─▶ heartbeat ∥ boot ─┬─ Serving ─▶ READY ─▶ CONTINUE ∥ watch ∥ attend ─▶ lost: door closed, exit 75
//!                                        ├─ retry  ─▶ exit 75; past the deadline: ABANDON, exit 78
//!                                        └─ final  ─▶ ABANDON, or hold until the deadline; exit 78
//! SIGTERM ─┬─ of this unit ───▶ the node serves on, exit 0
//!          └─ of the machine ─▶ clean stop: door closed, counted, server stopped, exit 0
//! ```

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::attend::attend;
use super::failed::{self, fail};
use super::keep::{conclude, keep_report};
use super::{Exit, Globals, context, logging};
use crate::boot;
use crate::config;
use crate::container;
use crate::control::Desk;
use crate::explain::{Class, Explain, Failure};
use crate::host::Host;
use crate::instance::{self, Identity};
use crate::network::{self, Serving};
use crate::report::{Entry, How, Outcome, Step, Timeline, Work};
use crate::signal::{self, Heartbeat, Patience, SignalError, Target, systemd};
use crate::state::{Provisioning, uptime};
use crate::watch::{self, Loss};

/// The boot as a whole took too long.
#[derive(Debug, thiserror::Error)]
#[error("the boot did not end within {} s{}{}", deadline.as_secs(), after(", and was at: ", said), after("; the run before it: ", before))]
struct TooLate {
    deadline: Duration,
    /// What each step that had not ended was doing, with the names of those that it waited for.
    said: String,
    /// Why the run before this one ended, where the boot has taken several: this one may just have begun.
    before: String,
}

fn after(words: &str, said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("{words}{said}") }
}

/// Why an earlier run of this boot ended.
fn run_before(host: &Host, me: &Identity) -> Option<Failure> {
    let state = host.journal.read();
    match state.provisioning {
        Provisioning::Failed { failure } if state.boot_id == me.boot_id() => Some(failure),
        Provisioning::Failed { .. } | Provisioning::Running | Provisioning::Serving { .. } => None,
    }
}

impl Explain for TooLate {
    fn class(&self) -> Class {
        Class::Final
    }
    fn remedy(&self) -> String {
        "Look where the time went with `weaviate-provisioner timeline`; `boot.deadline` allows more."
            .to_owned()
    }
}

/// Between offers of an answer that was refused for good: somebody may mend the cause while the hook still waits.
const SLOWLY: Duration = Duration::from_secs(15);

/// The node that this run serves, for whoever must stop it.
type Served = Mutex<Option<Arc<Serving>>>;

pub async fn run(globals: &Globals, once: bool) -> Exit {
    logging::start();
    let settings = match config::load(&globals.config) {
        Ok(settings) => settings,
        Err(error) => return failed::refused_configuration(globals, &error).await,
    };
    let host = match context::host(globals, settings) {
        Ok(host) => host,
        Err(exit) => return exit,
    };
    let _voice = systemd::Voice::start(host.status.clone());
    let timeline = Timeline::new(host.status.clone(), host.roots.state.join("timeline.json"));
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        eprintln!("The handlers of SIGTERM and SIGINT could not be set.");
        return Exit::Retry;
    };
    let served = Served::default();
    // Dropping the work is the orderly stop: every step survives it, and the next run goes on from there. The
    // hook is not answered: an operator's restart of the unit must not cost the machine.
    tokio::select! {
        exit = provision(globals, &host, &timeline, once, &served) => exit,
        _ = terminate.recv() => terminated(&host, &served).await,
        // A person at a terminal ends this program, never the node.
        _ = interrupt.recv() => {
            systemd::stopping("stopped by request");
            Exit::Done
        }
    }
}

/// The server is stopped only where the whole machine stops: then its last counts are what the next boot compares
/// with.
async fn terminated(host: &Host, served: &Served) -> Exit {
    let serving = served.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let (Some(serving), signal::Ending::Machine) = (serving, signal::ending().await) {
        systemd::stopping("the machine stops: counts and stops the server");
        if let Err(failure) = boot::stop(host, &serving).await {
            tracing::error!(error_class = failure.class.name(), "not a clean stop: {failure}");
        }
    } else {
        systemd::stopping("stopped by request");
    }
    Exit::Done
}

async fn provision(globals: &Globals, host: &Host, timeline: &Timeline, once: bool, served: &Served) -> Exit {
    // An earlier run of this very boot has verified and opened: then the door stays as it is, because nothing has
    // changed that made it right. A container that must be replaced closes it first.
    let was_open = network::is_open(host).await;
    if !was_open && let Err(failure) = timeline.step(Step::Close, network::close(host)).await {
        return failed::before_the_boot(globals, host, timeline, &failure).await;
    }
    let me = match timeline.step(Step::Identify, instance::identify(host)).await {
        Ok(me) => me,
        Err(failure) => return failed::before_the_boot(globals, host, timeline, &failure).await,
    };
    let before = run_before(host, &me);
    if let Err(error) = host.journal.begin(me.instance_id(), me.boot_id()) {
        return Exit::refuse(&error);
    }
    match Target::read(me.lifecycle_target()) {
        Target::Warm(state) => return prepare(globals, host, &me, timeline, &state, once).await,
        // The address may be a successor's by now.
        Target::Terminated => {
            let (instance, stage) = (me.instance_id().to_owned(), "Terminated".to_owned());
            let failure = Failure::new("identify", &SignalError::Ending { instance, stage });
            return fail(globals, host, &me, timeline, &failure, None, true).await;
        }
        Target::NoGroup | Target::InService | Target::Other(_) => {}
    }
    let again = before.as_ref().is_some_and(|before| before.step == watch::STEP);
    let before = before.map(|before| before.reason).unwrap_or_default();
    let (booted, heartbeat) = boot_in_time(host, timeline, &me, before).await;
    match booted {
        Ok(serving) => {
            let (serving, shown) = (Arc::new(serving), Instant::now());
            *served.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&serving));
            match serve(globals, host, &me, timeline, &serving, heartbeat, once).await {
                Ok(exit) => exit,
                Err(loss) => {
                    // Nothing is left that could be stopped in order.
                    served.lock().unwrap_or_else(PoisonError::into_inner).take();
                    lose(globals, host, &me, timeline, &loss, watch::rest(shown.elapsed(), again)).await
                }
            }
        }
        Err(failure) => {
            // A door that this run opened, or closed and opened again for what it has taken over, stands open for a
            // node of which nobody knows that it serves.
            let taken = |entry: &Entry| entry.name == Step::TakeOver && entry.status == Some(How::Done);
            let opened =
                host.journal.read().opened_in.is_some() && (!was_open || timeline.read().iter().any(taken));
            fail(globals, host, &me, timeline, &failure, heartbeat, opened).await
        }
    }
}

/// How long the runs of this boot may still go on, and how long they may in all.
pub(super) fn left(host: &Host, patience: Patience) -> (Duration, Duration) {
    let deadline = boot::allowed(&host.settings.boot, patience);
    if let (Some(wanted), Patience::Hook(global)) = (host.settings.boot.deadline, patience)
        && wanted > deadline
    {
        let (wanted, global, deadline) = (wanted.as_secs(), global.as_secs(), deadline.as_secs());
        host.status.warn(format!(
            "boot.deadline is {wanted} s, but the hook's global timeout is {global} s: {deadline} s count"
        ));
    }
    (deadline.saturating_sub(host.journal.read().running_for(uptime())), deadline)
}

/// The boot, its heartbeats, and the deadline that follows from what the hook allows. The hook is asked beside the
/// boot: its two answers would cost every boot their latency.
async fn boot_in_time(
    host: &Host,
    timeline: &Timeline,
    me: &Identity,
    before: String,
) -> (Result<Serving, Failure>, Option<Heartbeat>) {
    let mut heartbeat = None;
    let mut late = Box::pin(async {
        let started = Heartbeat::start(host, me).await;
        let (left, deadline) = left(host, started.patience());
        heartbeat = Some(started);
        tokio::time::sleep(left).await;
        Failure::new("boot", &TooLate { deadline, said: host.status.read().0, before })
    });
    let booted = tokio::select! {
        booted = Box::pin(boot::boot(host, timeline, me)) => booted,
        failure = &mut late => Err(failure),
    };
    drop(late);
    (booted, heartbeat)
}

/// A warm pool: the image is made ready and the hook is answered, but nothing is claimed and nothing restored: a
/// pool's instance is stopped, which ends its disk, and must not take the address from the node that serves.
async fn prepare(
    globals: &Globals,
    host: &Host,
    me: &Identity,
    timeline: &Timeline,
    state: &str,
    once: bool,
) -> Exit {
    let heartbeat = Heartbeat::start(host, me).await;
    let prepared = async {
        timeline.step(Step::Image, container::ready_image(host)).await?;
        timeline.step(Step::Signal, signal::warmed(host, me)).await
    };
    if let Err(failure) = prepared.await {
        return fail(globals, host, me, timeline, &failure, Some(heartbeat), false).await;
    }
    drop(heartbeat);
    conclude(globals, host, None, timeline, Ok(()), Outcome::Prepared);
    let said = format!("prepared for {state}");
    host.status.rest(&said);
    systemd::ready(&said);
    if once {
        return Exit::Done;
    }
    // A running pool's instance is put to work without a reboot: the next run, which systemd starts, boots it.
    if let Err(error) = instance::until_target_changes(host, state).await {
        return Exit::refuse(&error);
    }
    // Its deadline begins with it: the rest in the pool, which may last for days, is no part of the boot.
    match host.journal.write(|state| state.began_ms = None) {
        Ok(()) => Exit::Retry,
        Err(error) => Exit::refuse(&error),
    }
}

/// Until the end of `once`, or until what is served is lost.
async fn serve(
    globals: &Globals,
    host: &Host,
    me: &Identity,
    timeline: &Timeline,
    serving: &Serving,
    heartbeat: Option<Heartbeat>,
    once: bool,
) -> Result<Exit, Loss> {
    if let Err(error) =
        host.journal.write(|state| state.provisioning = Provisioning::Serving { since: host.now() })
    {
        return Ok(Exit::refuse(&error));
    }
    let said = format!("serves on {}", serving.address());
    host.status.rest(&said);
    systemd::ready(&said);
    let told = tell(globals, host, me, timeline, serving, heartbeat, once);
    if once {
        return Ok(told.await);
    }
    let desk = match Desk::open(&host.roots.run) {
        Ok(desk) => desk,
        Err(error) => return Ok(Exit::refuse(&error)),
    };
    tokio::select! {
        // A group that is not told yet must not be told of a server that has died.
        loss = watch::watch(host, serving) => Err(loss),
        loss = Box::pin(attend(host, me, serving, desk)) => Err(loss),
        // Whatever it was told, the node serves on until somebody stops us.
        never = async { told.await; std::future::pending().await } => never,
    }
}

/// Tells the group that the node serves, for as long as it takes.
async fn tell(
    globals: &Globals,
    host: &Host,
    me: &Identity,
    timeline: &Timeline,
    serving: &Serving,
    heartbeat: Option<Heartbeat>,
    once: bool,
) -> Exit {
    let mut unheard = offer(host, me, timeline, serving).await;
    conclude(globals, host, Some(serving), timeline, Ok(()), Outcome::Serving);
    keep_report(host, me).await;
    while let Some(Unheard { failure, ended }) = unheard {
        // The node serves; only the group does not know it. The journal says so, and the next run tells it.
        eprintln!("{failure}");
        if once {
            return failure.class.into();
        }
        if ended {
            break;
        }
        if let Some(heartbeat) = &heartbeat {
            heartbeat.hold();
        }
        if failure.class == Class::Final {
            // A permission that is missing, a hook that is misnamed: mended by somebody, or never.
            tokio::time::sleep(SLOWLY).await;
        }
        // Each offer is a bounded wait of minutes itself; the heartbeats go on meanwhile.
        unheard = offer(host, me, timeline, serving).await;
    }
    drop(heartbeat);
    Exit::Done
}

/// What was served is lost. The next run has a whole boot's time: what began days ago has ended well. It is tried
/// again whatever the hook was told, and nobody is told to give the instance up.
async fn lose(
    globals: &Globals,
    host: &Host,
    me: &Identity,
    timeline: &Timeline,
    loss: &Loss,
    rest: Duration,
) -> Exit {
    let Loss { failure, ajar } = loss;
    if let Err(error) = host.journal.write(|state| state.began_ms = None) {
        tracing::error!(%error, "the next boot has only what is left of this one's time: {error}");
    }
    let exit = fail(globals, host, me, timeline, failure, None, *ajar).await;
    if !rest.is_zero() {
        let _working = host.status.begin(Work::Watch);
        let seconds = rest.as_secs();
        host.status.say(Work::Watch, format!("{failure} It died soon again: tried again in {seconds} s."));
        tokio::time::sleep(rest).await;
    }
    exit
}

/// CONTINUE that was not taken.
struct Unheard {
    failure: Failure,
    /// The group ends the instance: there is nothing left to offer.
    ended: bool,
}

async fn offer(host: &Host, me: &Identity, timeline: &Timeline, serving: &Serving) -> Option<Unheard> {
    let mut ended = false;
    let offered = async {
        signal::proceed(host, me, serving)
            .await
            .inspect_err(|error| ended = matches!(error, SignalError::Ending { .. }))
    };
    let failure = timeline.step(Step::Signal, offered).await.err()?;
    Some(Unheard { failure, ended })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_waited_for_stands_in_the_reason() {
        let late = |said: &str, before: &str| TooLate {
            deadline: Duration::from_secs(12),
            said: said.to_owned(),
            before: before.to_owned(),
        };
        let waits = "claim: waits for i-0old to release eni-1 (running)";
        let rows = [
            (waits, "", format!("the boot did not end within 12 s, and was at: {waits}")),
            (
                "claim: begins",
                "eni-1 is still held by i-0old",
                "the boot did not end within 12 s, and was at: claim: begins; the run before it: eni-1 is still held by i-0old"
                    .to_owned(),
            ),
            ("", "", "the boot did not end within 12 s".to_owned()),
        ];
        for (said, before, expected) in rows {
            assert_eq!(late(said, before).to_string(), expected);
        }
    }
}
