//! The report: here, on the terminal, and in the bucket, where it outlives the instance:
//! `<prefix>/reports/<instance>-<boot id>.json`.

use std::time::Duration;

use jiff::Timestamp;

use super::Globals;
use crate::disk;
use crate::explain::Failure;
use crate::host::Host;
use crate::instance::Identity;
use crate::network::Serving;
use crate::report::{Outcome, Report, RestoredReport, Timeline, Work};
use crate::restore;
use crate::store::Condition;

/// The answer to the hook, or the next run, waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Puts the report of this boot into the bucket; a later run of the same boot replaces it. A report that cannot be
/// sent is a warning of the one that stays here, and nothing else.
pub async fn keep_report(host: &Host, me: &Identity) {
    let _working = host.status.begin(Work::Report);
    let report = match Report::read(&host.roots.state) {
        Ok(Some(report)) => report,
        Ok(None) => return,
        Err(error) => return tracing::error!(%error, "the report could not be read back: {error}"),
    };
    host.status.say(Work::Report, "puts the report into the bucket");
    let sent = match tokio::time::timeout(PATIENCE, send(host, me, &report)).await {
        Ok(sent) => sent,
        Err(_) => Err(format!("nothing within {} s", PATIENCE.as_secs())),
    };
    let Err(why) = sent else { return };
    host.status.warn(format!("the report could not be put into the bucket: {why}"));
    let report = Report { warnings: host.status.warnings(), ..report };
    if let Err(error) = report.write(&host.roots.state) {
        tracing::error!(%error, "the report could not be written: {error}");
    }
}

async fn send(host: &Host, me: &Identity, report: &Report) -> Result<(), String> {
    let store = restore::connect(host, me).await.map_err(|error| error.to_string())?;
    let key = store.settings().key(&format!("reports/{}-{}.json", me.instance_id(), me.boot_id()));
    let bytes = serde_json::to_vec_pretty(report).map_err(|error| error.to_string())?;
    store.put(&key, bytes, &Condition::Always).await.map(drop).map_err(|error| error.to_string())
}

/// Writes the report and tells the person at the terminal.
pub fn conclude(
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
        tracing::error!(%error, "the report could not be written: {error}");
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
    let disk::Restored {
        backup_id,
        from,
        generation: _,
        nonce: _,
        mode,
        bytes,
        collections,
        verified: _,
        taken: _,
    } = record;
    let counts = collections.iter().map(|(collection, tenants)| {
        let counted = tenants.iter().filter_map(|(tenant, what)| Some((tenant.clone(), what.objects?)));
        (collection.clone(), counted.collect())
    });
    RestoredReport {
        backup_id: backup_id.clone(),
        from: from.clone(),
        mode: mode.clone(),
        bytes: *bytes,
        collections: counts.collect(),
    }
}
