//! The report that outlives the instance: `<prefix>/reports/<instance>-<boot id>.json`.

use std::time::Duration;

use crate::host::Host;
use crate::instance::Identity;
use crate::report::Report;
use crate::restore;
use crate::store::Condition;

/// The answer to the hook waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Puts the report of this boot into the bucket; a later run of the same boot replaces it. A report that cannot be
/// sent is a warning of the one that stays here, and nothing else.
pub async fn keep_report(host: &Host, me: &Identity) {
    let report = match Report::read(&host.roots.state) {
        Ok(Some(report)) => report,
        Ok(None) => return,
        Err(error) => return tracing::error!(%error, "the report could not be read back"),
    };
    let sent = match tokio::time::timeout(PATIENCE, send(host, me, &report)).await {
        Ok(sent) => sent,
        Err(_) => Err(format!("nothing within {} s", PATIENCE.as_secs())),
    };
    let Err(why) = sent else { return };
    host.status.warn(format!("the report could not be put into the bucket: {why}"));
    let report = Report { warnings: host.status.warnings(), ..report };
    if let Err(error) = report.write(&host.roots.state) {
        tracing::error!(%error, "the report could not be written");
    }
}

async fn send(host: &Host, me: &Identity, report: &Report) -> Result<(), String> {
    let store = restore::connect(host, me).await.map_err(|error| error.to_string())?;
    let key = store.settings().key(&format!("reports/{}-{}.json", me.instance_id(), me.boot_id()));
    let bytes = serde_json::to_vec_pretty(report).map_err(|error| error.to_string())?;
    store.put(&key, bytes, &Condition::Always).await.map(drop).map_err(|error| error.to_string())
}
