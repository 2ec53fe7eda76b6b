//! `run`: the boot, its answer to the lifecycle hook, and the life after it.
//!
//! ```text
//! close ─▶ identify ─▶ heartbeat ∥ boot ─┬─ Serving ─▶ READY, CONTINUE ─▶ stay (watchdog) until SIGTERM
//!                                        ├─ retry  ─▶ exit 75; past the deadline: ABANDON, exit 78
//!                                        └─ final  ─▶ ABANDON, or hold until the deadline; exit 78
//! ```

use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use super::keep::keep_report;
use super::{Exit, Globals, context, logging};
use crate::boot;
use crate::container;
use crate::disk;
use crate::explain::{Class, Explain, Failure};
use crate::host::Host;
use crate::instance::{self, Identity};
use crate::network::{self, Serving};
use crate::report::{Outcome, Report, RestoredReport, Step, Timeline};
use crate::signal::{self, Heartbeat, OnFinal, Target, systemd};
use crate::state::Provisioning;

/// The boot as a whole took too long.
#[derive(Debug, thiserror::Error)]
#[error("the boot did not end within {} s", deadline.as_secs())]
struct TooLate {
    deadline: Duration,
    said: String,
}

impl Explain for TooLate {
    fn class(&self) -> Class {
        Class::Final
    }
    fn remedy(&self) -> String {
        "Look where the time went with `weaviate-provisioner timeline`; `boot.deadline` allows more."
            .to_owned()
    }
    fn details(&self) -> Vec<String> {
        vec![format!("it last said: {}", self.said)]
    }
}

pub async fn run(globals: &Globals, once: bool) -> Exit {
    logging::start();
    let host = match context::host(globals) {
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
    // Dropping the work is the orderly stop: every step survives it, and the next run goes on from there. The
    // hook is not answered: an operator's restart of the unit must not cost the machine.
    tokio::select! {
        exit = provision(globals, &host, &timeline, once) => exit,
        _ = terminate.recv() => stopped(),
        _ = interrupt.recv() => stopped(),
    }
}

fn stopped() -> Exit {
    systemd::stopping("stopped by request");
    Exit::Done
}

async fn provision(globals: &Globals, host: &Host, timeline: &Timeline, once: bool) -> Exit {
    let identified = async {
        if !still_serving(host) {
            timeline.step(Step::Close, network::close(host)).await?;
        }
        timeline.step(Step::Identify, instance::identify(host)).await
    };
    let me = match identified.await {
        Ok(me) => me,
        Err(failure) => {
            let outcome = if failure.class == Class::Final { Outcome::Refused } else { Outcome::Failed };
            conclude(globals, host, None, timeline, Err(&failure), outcome);
            return failure.class.into();
        }
    };
    if let Err(error) = host.journal.begin(me.instance_id(), me.boot_id()) {
        return Exit::refuse(&error);
    }
    if let Target::Warm(state) = Target::read(me.lifecycle_target()) {
        return prepare(globals, host, &me, timeline, &state, once).await;
    }
    let (booted, heartbeat) = boot_in_time(host, timeline, &me).await;
    match booted {
        Ok(serving) => serve(globals, host, &me, timeline, serving, heartbeat, once).await,
        Err(failure) => fail(globals, host, &me, timeline, &failure, heartbeat).await,
    }
}

/// How long the runs of this boot may still go on, and how long they may in all.
fn left(host: &Host, heartbeat: &Heartbeat) -> (Duration, Duration) {
    let deadline = boot::allowed(&host.settings.boot, heartbeat.global_timeout());
    (deadline.saturating_sub(host.journal.read().running_for(host.now())), deadline)
}

/// The boot, its heartbeats, and the deadline that follows from what the hook allows. The hook is asked beside the
/// boot: its two answers would cost every boot their latency.
async fn boot_in_time(
    host: &Host,
    timeline: &Timeline,
    me: &Identity,
) -> (Result<Serving, Failure>, Option<Heartbeat>) {
    let mut heartbeat = None;
    let mut late = Box::pin(async {
        let started = Heartbeat::start(host, me).await;
        let (left, deadline) = left(host, &started);
        heartbeat = Some(started);
        tokio::time::sleep(left).await;
        Failure::new("boot", &TooLate { deadline, said: host.status.read().0 })
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
        return fail(globals, host, me, timeline, &failure, Some(heartbeat)).await;
    }
    drop(heartbeat);
    conclude(globals, host, None, timeline, Ok(()), Outcome::Prepared);
    systemd::ready(&format!("prepared for {state}"));
    if once {
        return Exit::Done;
    }
    // A running pool's instance is put to work without a reboot: the next run, which systemd starts, boots it.
    if let Err(error) = instance::until_target_changes(host, state).await {
        return Exit::refuse(&error);
    }
    // Its deadline begins with it: the rest in the pool, which may last for days, is no part of the boot.
    match host.journal.write(|state| state.began = None) {
        Ok(()) => Exit::Retry,
        Err(error) => Exit::refuse(&error),
    }
}

/// Whether an earlier run of this very boot has verified and opened: then the door stays as it is, because
/// nothing has changed that made it right. A container that must be replaced closes it first.
fn still_serving(host: &Host) -> bool {
    let opened_in = host.journal.read().opened_in;
    opened_in.is_some() && opened_in == instance::boot_id(host).ok()
}

async fn serve(
    globals: &Globals,
    host: &Host,
    me: &Identity,
    timeline: &Timeline,
    serving: Serving,
    heartbeat: Option<Heartbeat>,
    once: bool,
) -> Exit {
    if let Err(error) =
        host.journal.write(|state| state.provisioning = Provisioning::Serving { since: host.now() })
    {
        return Exit::refuse(&error);
    }
    systemd::ready(&format!("serves on {}", serving.address()));
    let signalled = timeline.step(Step::Signal, signal::proceed(host, me, &serving)).await;
    conclude(globals, host, Some(&serving), timeline, Ok(()), Outcome::Serving);
    keep_report(host, me).await;
    let mut unheard = signalled.err();
    while let Some(failure) = unheard {
        // The node serves; only the group does not know it. The journal says so, and the next run tells it.
        eprintln!("{failure}");
        if once {
            return failure.class.into();
        }
        if failure.class == Class::Final {
            break;
        }
        // Each offer is a bounded wait of minutes itself; the heartbeats go on meanwhile.
        unheard = timeline.step(Step::Signal, signal::proceed(host, me, &serving)).await.err();
    }
    drop(heartbeat);
    if once {
        return Exit::Done;
    }
    // The life after the boot: the watchdog is kept by the voice until somebody stops us.
    std::future::pending().await
}

async fn fail(
    globals: &Globals,
    host: &Host,
    me: &Identity,
    timeline: &Timeline,
    failure: &Failure,
    heartbeat: Option<Heartbeat>,
) -> Exit {
    let noted =
        host.journal.write(|state| state.provisioning = Provisioning::Failed { failure: failure.clone() });
    if let Err(error) = noted {
        tracing::error!(%error, "the failure could not be written down");
    }
    systemd::status(&failure.to_string());
    // A door that an earlier run of this boot opened stays open while what is behind it is right and ours.
    let doubted = Step::ALL.iter().any(|step| step.name() == failure.step && step.doubts_what_is_served());
    if failure.class == Class::Final
        && doubted
        && let Err(error) = network::withdraw(host).await
    {
        tracing::error!(%error, "the door could not be closed");
        return Exit::Retry;
    }
    if failure.class == Class::Retry {
        conclude(globals, host, None, timeline, Err(failure), Outcome::Failed);
        return Exit::Retry;
    }
    match host.settings.signal.on_final {
        OnFinal::Hold if host.settings.signal.asg.is_some() => {
            let heartbeat = match heartbeat {
                Some(heartbeat) => heartbeat,
                None => Heartbeat::start(host, me).await,
            };
            heartbeat.hold();
            let (left, _) = left(host, &heartbeat);
            conclude(globals, host, None, timeline, Err(failure), Outcome::Held);
            keep_report(host, me).await;
            host.status.say("hold", format!("{failure} Held for a person to look; heartbeats go on."));
            tokio::time::sleep(left).await;
            drop(heartbeat);
        }
        OnFinal::Hold | OnFinal::Abandon => {
            conclude(globals, host, None, timeline, Err(failure), Outcome::Refused);
            // Before ABANDON, which may end the instance within seconds.
            keep_report(host, me).await;
            drop(heartbeat);
            let told = timeline.step(Step::Signal, signal::abandon(host, me, failure)).await;
            if let Err(error) = told {
                tracing::error!(%error, "the hook was not told");
                return Exit::Retry;
            }
        }
    }
    Exit::Final
}

/// Writes the report and tells the person at the terminal.
fn conclude(
    globals: &Globals,
    host: &Host,
    serving: Option<&Serving>,
    timeline: &Timeline,
    ended: Result<(), &Failure>,
    outcome: Outcome,
) {
    let failure = ended.err();
    let report = Report {
        schema: 1,
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        deployment: host.settings.node.deployment.to_string(),
        node: host.settings.node.name.to_string(),
        instance_id: Some(host.journal.read().instance_id).filter(|id| !id.is_empty()),
        written: Timestamp::now(),
        outcome,
        reason: failure.map(|failure| failure.reason.clone()),
        remedy: failure.map(|failure| failure.remedy.clone()),
        details: failure.map(|failure| failure.details.clone()).unwrap_or_default(),
        warnings: host.status.warnings(),
        steps: timeline.read(),
        restored: serving.map(|serving| restored(serving.restored())),
    };
    if let Err(error) = report.write(&host.roots.state) {
        tracing::error!(%error, "the report could not be written");
    }
    if globals.json {
        println!("{}", serde_json::json!(report));
    } else if let Some(failure) = failure {
        eprintln!("{failure}");
        for line in &failure.details {
            eprintln!("  {line}");
        }
    }
}

/// What was restored, as the report shows it.
fn restored(record: &disk::Restored) -> RestoredReport {
    let disk::Restored { backup_id, generation: _, nonce: _, mode, bytes, collections, verified: _ } = record;
    let counts = collections.iter().map(|(collection, tenants)| {
        let counted = tenants.iter().filter_map(|(tenant, what)| Some((tenant.clone(), what.objects?)));
        (collection.clone(), counted.collect())
    });
    RestoredReport {
        backup_id: backup_id.clone(),
        mode: mode.clone(),
        bytes: *bytes,
        collections: counts.collect(),
    }
}
