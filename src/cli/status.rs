//! `status`: how this node stands, from journal and report; nothing is changed and nobody is asked.

use super::exit::say;
use super::{Exit, Globals, context};
use crate::backup::{self, Last};
use crate::explain::Class;
use crate::report::{Entry, Outcome, Report};
use crate::state::{Journal, Provisioning, SignalOutcome};

pub fn status(globals: &Globals) -> Exit {
    let directory = context::roots(globals).state;
    let state = match Journal::peek(&directory) {
        Ok(state) => state,
        Err(error) => return Exit::answer(globals.json, &error),
    };
    let report = match Report::read(&directory) {
        Ok(report) => report,
        Err(error) => {
            let why = format!("{}/{} cannot be read: {error}", directory.display(), Report::FILE);
            if globals.json {
                say(Class::Final, &why, "Run the boot again: it writes the report anew.", &[]);
            }
            eprintln!("{why}.");
            return Exit::Final;
        }
    };
    // What the boot is at, or was when it was interrupted; a timeline that cannot be read is not worth a failure.
    let steps: Vec<Entry> = std::fs::read(directory.join("timeline.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let (last, drilled) = (backup::last(&directory), crate::drill::last(&directory));
    if globals.json {
        let shown = serde_json::json!({ "state": state, "report": report, "steps": steps, "backup": last, "drill": drilled });
        println!("{shown}");
        return Exit::Done;
    }
    let Some(state) = state else {
        println!("This machine was never provisioned: there is no journal in {}.", directory.display());
        return Exit::Done;
    };
    println!("instance   {}", state.instance_id);
    match state.provisioning {
        Provisioning::Running => {
            println!("boot       running, or interrupted: `systemctl status weaviate-provisioner` knows");
            for step in steps.iter().filter(|step| step.end_ms.is_none()) {
                println!("           {} since {} s after its start", step.name.name(), step.start_ms / 1000);
            }
        }
        Provisioning::Serving { since } => println!("boot       serving since {since}"),
        Provisioning::Failed { failure } => {
            println!("boot       failed in {}: {}.", failure.step, failure.reason);
            println!("           {}", failure.remedy);
        }
    }
    match state.signal {
        SignalOutcome::Unsent => println!("hook       not answered yet"),
        SignalOutcome::Sent { result, at } => println!("hook       {result}, at {at}"),
        SignalOutcome::NotNeeded { why } => println!("hook       no answer needed: {why}"),
    }
    if let Some(last) = &last {
        println!("backup     {}", about(last));
    }
    if let Some(drilled) = &drilled {
        println!("drill      {} ({:.0})", super::drill::sentence(drilled), drilled.at);
    }
    if let Some(report) = report {
        if let Some(restored) = report.restored.filter(|_| report.outcome == Outcome::Serving) {
            let objects: u64 = restored.collections.values().flat_map(|tenants| tenants.values()).sum();
            let id =
                restored.backup_id.unwrap_or_else(|| "nothing (an empty database, by permission)".to_owned());
            let from = restored.from.map(|from| format!(" of {from}")).unwrap_or_default();
            println!(
                "data       {id}{from}, {objects} objects in {} collections",
                restored.collections.len()
            );
        }
        for warning in report.warnings {
            println!("warning    {warning}");
        }
    }
    Exit::Done
}

/// The last backup of this machine.
fn about(last: &Last) -> String {
    match last {
        Last::UnderWay { id, files, bytes } => {
            format!("{id} is being made: {files} files, {} MiB are in the bucket", bytes >> 20)
        }
        Last::Made { made, at } => format!("{} ({at:.0})", super::backup::sentence(made)),
        Last::Failed { failure, at } => format!("failed: {}. ({at:.0})", failure.reason),
    }
}
