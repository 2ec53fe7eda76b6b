//! What becomes of a run that does not serve: the door, the report, and the hook's answer.
//!
//! ```text
//! failure ─▶ doubted? door closed ─┬─ retry, or the door does not close: report, exit 75
//!                                  └─ final: report ─┬─ abandon: ABANDON, exit 78
//!                                                    └─ hold: heartbeats until the deadline ─▶ ABANDON, exit 78
//! ```
//!
//! The report goes into the bucket too, where this instance knows who it is and where the bucket is.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::keep::{conclude, keep_report};
use super::run::left;
use super::{Exit, Globals, context};
use crate::config;
use crate::explain::{Class, Explain as _, Failure};
use crate::host::Host;
use crate::instance::{self, Identity};
use crate::network;
use crate::report::{Outcome, Report, Status, Step, Timeline, Work};
use crate::signal::{self, Heartbeat, OnFinal, Patience, systemd};
use crate::state::{Journal, Provisioning, uptime};

/// How often a held instance says that it lives: systemd's own patience is three minutes.
const SIGN: Duration = Duration::from_secs(30);
/// For an answer that is given as well as it can be.
const BEST_EFFORT: Duration = Duration::from_mins(1);

/// Ends a run that failed. `opened`: it has opened the door itself.
pub(super) async fn fail(
    globals: &Globals,
    host: &Host,
    me: &Identity,
    timeline: &Timeline,
    failure: &Failure,
    heartbeat: Option<Heartbeat>,
    opened: bool,
) -> Exit {
    let noted =
        host.journal.write(|state| state.provisioning = Provisioning::Failed { failure: failure.clone() });
    if let Err(error) = noted {
        tracing::error!(%error, "the failure could not be written down: {error}");
    }
    host.status.rest(failure.to_string());
    systemd::status(&failure.to_string());
    let withdrawn =
        if opened || must_close(failure) { network::withdraw(host).await.map(drop) } else { Ok(()) };
    if let Err(error) = &withdrawn {
        tracing::error!(%error, "the door could not be closed: {error}");
        host.status.warn(format!("the door could not be closed: {error}; {}", error.remedy()));
    }
    // An instance whose door stands open is not given up before it is closed: its clients would go on.
    if withdrawn.is_err() || failure.class == Class::Retry {
        conclude(globals, host, None, timeline, Err(failure), Outcome::Failed);
        keep_report(host, me).await;
        return Exit::Retry;
    }
    match host.settings.signal.on_final {
        OnFinal::Hold if host.settings.signal.asg.is_some() => {
            let heartbeat = match heartbeat {
                Some(heartbeat) => heartbeat,
                None => Heartbeat::start(host, me).await,
            };
            conclude(globals, host, None, timeline, Err(failure), Outcome::Held);
            keep_report(host, me).await;
            hold(host, failure, &heartbeat).await;
            drop(heartbeat);
        }
        OnFinal::Hold | OnFinal::Abandon => {
            conclude(globals, host, None, timeline, Err(failure), Outcome::Refused);
            // Before ABANDON, which may end the instance within seconds.
            keep_report(host, me).await;
            drop(heartbeat);
        }
    }
    let told = timeline.step(Step::Signal, signal::abandon(host, me, failure)).await;
    if let Err(error) = told {
        tracing::error!(%error, "the hook was not told: {error}");
        return Exit::Retry;
    }
    Exit::Final
}

/// A door that an earlier run of this boot opened stays open while what is behind it is right and ours. Where the
/// door itself is what failed, it is closed whatever the class.
fn must_close(failure: &Failure) -> bool {
    let step = Step::ALL.into_iter().find(|step| step.name() == failure.step);
    match step {
        Some(Step::Expose | Step::Probe) => true,
        Some(step) => failure.class == Class::Final && step.doubts_what_is_served(),
        None => false,
    }
}

/// Until the time is up, or nobody waits any more. A person who looks can end the unit at any moment.
async fn hold(host: &Host, failure: &Failure, heartbeat: &Heartbeat) {
    heartbeat.hold();
    let _working = host.status.begin(Work::Hold);
    host.status.say(Work::Hold, format!("{failure} Held for a person to look; heartbeats go on."));
    let (left, _) = left(host, heartbeat.patience());
    let end = Instant::now() + left;
    while Instant::now() < end && heartbeat.is_waited_for() {
        host.status.alive();
        tokio::time::sleep(SIGN.min(end - Instant::now())).await;
    }
}

/// A failure before anybody knows which instance this is. The runs of this boot share the deadline all the same; a
/// final cause is told to the hook where the instance can still be identified.
pub(super) async fn before_the_boot(
    globals: &Globals,
    host: &Host,
    timeline: &Timeline,
    failure: &Failure,
) -> Exit {
    let began = instance::boot_id(host).ok().and_then(|boot| {
        let instance = host.journal.read().instance_id;
        host.journal.begin(&instance, &boot).ok()
    });
    let patience = if host.settings.signal.asg.is_some() { Patience::Unknown } else { Patience::Nobody };
    let late = began.is_some() && left(host, patience).0 == Duration::ZERO;
    let failure = if late { &Failure { class: Class::Final, ..failure.clone() } } else { failure };
    let outcome = if failure.class == Class::Final { Outcome::Refused } else { Outcome::Failed };
    tracing::info!(late, "the boot did not begin; the machine has been up for {} s", uptime().as_secs());
    conclude(globals, host, None, timeline, Err(failure), outcome);
    if failure.class == Class::Final {
        give_up(host, failure, Bucket::Known).await;
    }
    failure.class.into()
}

/// A configuration that cannot be used: the report says so, and where it still names the hook it is answered. A group
/// must not wait an hour for what the next instance cannot do either.
pub(super) async fn refused_configuration(globals: &Globals, error: &config::ConfigError) -> Exit {
    let failure = Failure::new("config", error);
    let exit = Exit::refuse(error);
    let roots = context::roots(globals);
    let settings = config::salvage(&globals.config);
    let report = Report::of_failure(&failure, Outcome::Refused);
    if let Err(error) = report.write(&roots.state) {
        tracing::error!(%error, "the report could not be written: {error}");
    }
    if globals.json {
        println!("{}", serde_json::json!(report));
    }
    let Some(settings) = settings.filter(|settings| settings.signal.on_final == OnFinal::Abandon) else {
        return exit;
    };
    match Journal::open(&roots.state) {
        Ok(journal) => {
            let host = Host::new(settings, roots, Arc::new(journal), Status::default());
            give_up(&host, &failure, Bucket::Unknown).await;
        }
        Err(error) => tracing::warn!(%error, "the hook is not told: {error}"),
    }
    exit
}

/// Whether the settings say where a report may be kept: those that were salvaged from a refused configuration do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bucket {
    Known,
    Unknown,
}

/// As well as it can be done, and within a minute: whoever cannot be asked now is not waited for.
async fn give_up(host: &Host, failure: &Failure, bucket: Bucket) {
    let told = async {
        let me = instance::identify(host).await.map_err(|error| error.to_string())?;
        // It is this instance's journal that remembers the answer.
        host.journal.begin(me.instance_id(), me.boot_id()).map_err(|error| error.to_string())?;
        if bucket == Bucket::Known {
            keep_report(host, &me).await;
        }
        signal::abandon(host, &me, failure).await.map_err(|error| format!("{error}. {}", error.remedy()))
    };
    match tokio::time::timeout(BEST_EFFORT, told).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(error, "the hook is not told: {error}"),
        Err(_) => tracing::warn!("the hook is not told within a minute"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_door_is_closed_for_what_it_shows_and_for_itself() {
        let failure = |step: &str, class| Failure {
            step: step.to_owned(),
            class,
            reason: "it failed".to_owned(),
            remedy: "Wait.".to_owned(),
            details: Vec::new(),
        };
        let rows = [
            ("verify", Class::Final, true),
            ("verify", Class::Retry, false),
            ("probe", Class::Final, true),
            ("probe", Class::Retry, true),
            ("expose", Class::Retry, true),
            ("fetch", Class::Final, false),
            ("boot", Class::Final, false),
        ];
        for (step, class, expected) in rows {
            assert_eq!(must_close(&failure(step, class)), expected, "{step} {class:?}");
        }
    }
}
