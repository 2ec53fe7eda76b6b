//! `plan`: everything looked up, nothing changed; what `run` would do in each step, and why.
//!
//! ```text
//! identify ─▶ locate ─┬─ claim, expose ─┐
//!                     ├─ choose ────────┼─▶ stage ─▶ take-over, mark ─▶ rows ─▶ table or JSON
//!                     └─ prepare, fetch, image, start, signal ─┘
//! ```
//!
//! Each row is the same decision that the step itself makes, by the same function from the same kind of facts.
//!
//! To add a step's row: a function here that asks its domain, and its line in [`look`].

use std::net::Ipv4Addr;

use serde::Serialize;
use tokio::join;

use super::{Exit, Globals, context};
use crate::explain::{Class, Explain, Failure};
use crate::host::Host;
use crate::instance::{self, Identity};
use crate::network::{ClaimPlan, DoorState, LocatedEni};
use crate::report::Step;
use crate::restore::{ChosenBackup, RestoreError};
use crate::{container, disk, network, restore, secrets, signal};

/// What one step would do, or why it would not.
#[derive(Debug, Serialize)]
struct Row {
    step: Step,
    decision: String,
    /// A refusal: what the reader should do.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    #[serde(skip)]
    class: Option<Class>,
}

impl Row {
    fn does(step: Step, decision: impl Into<String>) -> Self {
        Self { step, decision: decision.into(), remedy: None, class: None }
    }

    fn refuses(step: Step, error: &(impl Explain + ?Sized)) -> Self {
        let failure = Failure::new(step.name(), error);
        let decision = format!("would fail: {}", failure.reason);
        Self { step, decision, remedy: Some(failure.remedy), class: Some(failure.class) }
    }

    fn of<E: Explain>(step: Step, decided: Result<String, E>) -> Self {
        match decided {
            Ok(decision) => Self::does(step, decision),
            Err(error) => Self::refuses(step, &error),
        }
    }
}

pub async fn plan(globals: &Globals) -> Exit {
    let host = match context::observer(globals) {
        Ok(host) => host,
        Err(exit) => return exit,
    };
    let mut rows = look(&host).await;
    rows.sort_by_key(|row| row.step);
    let warnings = host.status.warnings();
    if globals.json {
        println!("{}", serde_json::json!({ "steps": rows, "warnings": warnings }));
    } else {
        for row in &rows {
            println!("{:<10} {}", row.step.name(), row.decision);
            if let Some(remedy) = &row.remedy {
                println!("{:<10} {remedy}", "");
            }
        }
        for warning in &warnings {
            println!("{:<10} {warning}", "warning");
        }
    }
    match rows.iter().filter_map(|row| row.class).max_by_key(|class| *class == Class::Final) {
        Some(class) => class.into(),
        None => Exit::Done,
    }
}

/// Whatever a row needs and cannot have leaves the row out; the refusal itself is a row.
async fn look(host: &Host) -> Vec<Row> {
    let me = match instance::identify(host).await {
        Ok(me) => me,
        Err(error) => return vec![Row::refuses(Step::Identify, &error)],
    };
    let this = format!("this is {}, {} in {}", me.instance_id(), me.instance_type(), me.zone());
    let mut rows = vec![Row::does(Step::Identify, this)];
    let volume = disk::plan(host, &me).await;
    let located = network::locate(host, &me).await;
    let address = located.as_ref().ok().map(LocatedEni::address);
    let (fetched, image, started, door, signalled) = join!(
        fetch(host, &me),
        container::plan_image(host),
        container::plan(host),
        door(host, address),
        hook(host, &me)
    );
    rows.extend([
        prepare(&volume),
        fetched,
        Row::of(Step::Image, image),
        Row::of(Step::Start, started),
        door,
        signalled,
    ]);
    let located = match located {
        Ok(located) => located,
        Err(error) => {
            rows.push(Row::refuses(Step::Locate, &error));
            return rows;
        }
    };
    rows.push(Row::does(Step::Locate, format!("{} with {}", located.id(), located.address())));
    let (claimed, chosen) = join!(claim(host, &me, &located), restore::choose(host, &me, &located));
    rows.push(claimed);
    rows.extend(data(host, &located, &volume, chosen));
    rows
}

async fn claim(host: &Host, me: &Identity, located: &LocatedEni) -> Row {
    match network::audit(host, me, located).await {
        Ok(warnings) => warnings.into_iter().for_each(|warning| host.status.warn(warning)),
        Err(error) => host.status.warn(format!("the security groups could not be looked at: {error}")),
    }
    match network::plan_claim(host, me, located).await {
        Ok(ClaimPlan::Refuse { why }) => Row {
            remedy: Some("Free the interface, or name another in [network] eni.".to_owned()),
            class: Some(Class::Final),
            ..Row::does(Step::Claim, format!("would fail: {why}"))
        },
        Ok(plan) => Row::does(Step::Claim, plan.to_string()),
        Err(error) => Row::refuses(Step::Claim, &error),
    }
}

fn prepare(planned: &Result<disk::Plan, disk::DiskError>) -> Row {
    match planned {
        // Only a refusal has a remedy.
        Ok(plan) if plan.remedy().is_empty() => Row::does(Step::Prepare, plan.to_string()),
        Ok(plan) => Row {
            remedy: Some(plan.remedy()),
            class: Some(plan.class()),
            ..Row::does(Step::Prepare, format!("would fail: {plan}"))
        },
        Err(error) => Row::refuses(Step::Prepare, error),
    }
}

/// The values are read, checked and dropped.
async fn fetch(host: &Host, me: &Identity) -> Row {
    let keys = &host.settings.weaviate.keys;
    let mut names = Vec::new();
    for reference in std::iter::once(&keys.admin).chain(&keys.writer).chain(&keys.reader) {
        if let Err(error) = secrets::value(host, me, reference).await {
            return Row::refuses(Step::Fetch, &error);
        }
        names.push(reference.to_string());
    }
    secrets::remind(host);
    Row::does(Step::Fetch, format!("fetches {}", names.join(", ")))
}

async fn door(host: &Host, address: Option<Ipv4Addr>) -> Row {
    match network::state(host, address).await {
        Ok(DoorState::Open) => Row::does(Step::Expose, "the door is open; it stays so if nothing changed"),
        Ok(DoorState::Closed) => {
            Row::does(Step::Expose, "opens the door once the data is verified; it is closed now")
        }
        Ok(found @ (DoorState::Absent | DoorState::Altered { .. })) => Row::does(
            Step::Expose,
            format!("closes the door first: {found}; opens it once the data is verified"),
        ),
        Err(error) => Row::refuses(Step::Expose, &error),
    }
}

async fn hook(host: &Host, me: &Identity) -> Row {
    match signal::membership(host, me).await {
        Ok(Some((member, timeouts))) => {
            let warning = match signal::replacement(host, me, &member).await {
                Ok(found) => found.and_then(|found| found.warning(&member.group)),
                Err(error) => {
                    Some(format!("how the group replaces an instance cannot be looked up: {error}"))
                }
            };
            if let Some(warning) = warning {
                host.status.warn(warning);
            }
            let facts = signal::Facts { answer: signal::Answer::Continue, stage: member.stage };
            let whole = timeouts.global.as_secs();
            let decision =
                format!("CONTINUE for {}: {}; {whole} s in all", member.group, signal::decide(&facts));
            Row::does(Step::Signal, decision)
        }
        Ok(None) => Row::does(Step::Signal, "no answer is needed: no group, or no [signal.asg]"),
        Err(error) => Row::refuses(Step::Signal, &error),
    }
}

/// Which backup, what becomes of the volume, and what is written down of it.
fn data(
    host: &Host,
    located: &LocatedEni,
    volume: &Result<disk::Plan, disk::DiskError>,
    chosen: Result<ChosenBackup, RestoreError>,
) -> Vec<Row> {
    let chosen = match chosen {
        Ok(chosen) => chosen,
        Err(error) => return vec![Row::refuses(Step::Choose, &error)],
    };
    let backup = chosen.backup_id().map(str::to_owned);
    let decision = match &backup {
        Some(id) => format!("{}: {id}", chosen.decision()),
        None => chosen.decision(),
    };
    let mut rows = vec![Row::does(Step::Choose, decision)];
    // After a reboot it is not mounted yet.
    let record = volume.as_ref().ok().and_then(disk::Plan::record);
    let record = record.and_then(|record| record.restored.as_ref());
    let generation = chosen.generation();
    let kept = match restore::plan(host, record, chosen) {
        Ok(plan) => {
            rows.push(Row::does(Step::Stage, plan.to_string()));
            matches!(plan, restore::StagePlan::Keep { .. })
        }
        Err(error) => {
            rows.push(Row::refuses(Step::Stage, &error));
            return rows;
        }
    };
    let taken = if kept {
        format!("generation {generation} is ours")
    } else {
        format!("takes generation {}, if the manifest is still at {generation}", generation + 1)
    };
    rows.push(Row::does(Step::TakeOver, taken));
    let tag = network::INITIALIZED_TAG;
    rows.push(Row::does(
        Step::Mark,
        match (backup, located.initialized()) {
            (_, true) => format!("{} has the tag {tag}", located.id()),
            (Some(_), false) => format!("sets the tag {tag} on {}", located.id()),
            (None, false) => "nothing: no backup is restored".to_owned(),
        },
    ));
    rows
}
