//! `status`: how this node stands, from journal and report; with an id, what this machine knows of that backup. Nothing is
//! changed and nobody is asked.

use std::path::Path;

use super::exit::say;
use super::{Exit, Globals, context};
use crate::backup::{self, Last};
use crate::drill::{self, Drilled};
use crate::explain::Class;
use crate::regain;
use crate::report::{Entry, Outcome, Report};
use crate::state::{Journal, Provisioning, SignalOutcome};

pub fn status(globals: &Globals, id: Option<&str>) -> Exit {
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
    if let Some(id) = id {
        return of_backup(globals, &directory, report, id);
    }
    // What the boot is at, or was when it was interrupted; a timeline that cannot be read is not worth a failure.
    let steps: Vec<Entry> = std::fs::read(directory.join("timeline.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let Works { backup, drill, restore } = Works::read(&directory);
    if globals.json {
        let shown = serde_json::json!({
            "state": state, "report": report, "steps": steps, "backup": backup, "drill": drill, "restore": restore,
        });
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
    Works { backup, drill, restore }.print();
    if let Some(report) = report {
        if let Some(line) = served(&report) {
            println!("data       {line}");
        }
        for warning in report.warnings {
            println!("warning    {warning}");
        }
    }
    Exit::Done
}

/// What this machine did last with backups, or does.
#[derive(Default)]
pub(super) struct Works {
    pub backup: Option<Last>,
    pub drill: Option<Drilled>,
    pub restore: Option<regain::Last>,
}

impl Works {
    pub fn read(state: &Path) -> Self {
        Self { backup: backup::last(state), drill: drill::last(state), restore: regain::last(state) }
    }

    /// Those that are about this backup.
    fn of(self, id: &str) -> Self {
        Self {
            backup: self.backup.filter(|last| last.id() == Some(id)),
            drill: self.drill.filter(|drilled| drilled.backup_id == id),
            restore: self.restore.filter(|last| last.id() == Some(id)),
        }
    }

    fn print(&self) {
        if let Some(last) = &self.backup {
            println!("backup     {}", about(last));
        }
        if let Some(drilled) = &self.drill {
            println!("drill      {} ({:.0})", super::drill::sentence(drilled), drilled.at);
        }
        if let Some(last) = &self.restore {
            println!("restore    {}", super::restore::about(last));
        }
    }
}

/// What this machine knows of one backup.
fn of_backup(globals: &Globals, state: &Path, report: Option<Report>, id: &str) -> Exit {
    let works = Works::read(state).of(id);
    let is_served =
        |report: &Report| report.restored.as_ref().is_some_and(|r| r.backup_id.as_deref() == Some(id));
    let data = report.filter(is_served).and_then(|report| served(&report));
    let Works { backup, drill, restore } = &works;
    let nothing = data.is_none() && backup.is_none() && drill.is_none() && restore.is_none();
    if globals.json {
        let shown = serde_json::json!({ "data": data, "backup": backup, "drill": drill, "restore": restore });
        println!("{shown}");
    } else if nothing {
        println!("This machine knows nothing of {id}: `weaviate-provisioner list` asks the bucket.");
    } else {
        if let Some(line) = data {
            println!("data       {line}");
        }
        works.print();
    }
    if nothing { Exit::Final } else { Exit::Done }
}

/// What the node serves, by its last boot.
fn served(report: &Report) -> Option<String> {
    let restored = report.restored.as_ref().filter(|_| report.outcome == Outcome::Serving)?;
    let objects: u64 = restored.collections.values().flat_map(|tenants| tenants.values()).sum();
    let id = restored.backup_id.as_deref().unwrap_or("nothing (an empty database, by permission)");
    let from = restored.from.as_ref().map(|from| format!(" of {from}")).unwrap_or_default();
    Some(format!("{id}{from}, {objects} objects in {} collections", restored.collections.len()))
}

/// The last backup of this machine.
fn about(last: &Last) -> String {
    match last {
        Last::UnderWay { id, direct: true, .. } => {
            format!("{id} is being made: the server writes it into the bucket itself")
        }
        Last::UnderWay { id, files, bytes, direct: false } => {
            format!("{id} is being made: {files} files, {} MiB are in the bucket", bytes >> 20)
        }
        Last::Made { made, at } => format!("{} ({at:.0})", super::backup::sentence(made)),
        Last::Failed { id: _, failure, at } => format!("failed: {}. ({at:.0})", failure.reason),
    }
}
