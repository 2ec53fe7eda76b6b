//! What a booting node reads is not pruned: it says so before it fetches the first byte.
//!
//! ```text
//! ChosenBackup ─▶ reports/leases/<instance>.json {chain, until} ─▶ the bytes
//!                              └── read by `prune`, before it decides
//! ```
//!
//! It lies below `reports/`, where the instance's own role may write. Nobody gives it back: it ends by itself.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::evidence::Task;
use crate::host::Host;
use crate::report::Step;
use crate::store::Condition;

/// Below the prefix.
pub const FOLDER: &str = "reports/leases";
/// A boot without a deadline of its own takes at most as long (`boot::deadline`).
const LONGEST: Duration = Duration::from_hours(2);

/// Backups that an instance is reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub instance_id: String,
    pub chain: Vec<String>,
    pub until: Timestamp,
}

impl Lease {
    /// Whether `id` may not go at this time.
    pub fn holds(&self, id: &str, now: Timestamp) -> bool {
        self.until > now && self.chain.iter().any(|held| held == id)
    }
}

/// Takes it. A boot does not fail for it: `prune` keeps the newest backups in any case.
pub(super) async fn take(host: &Host, task: &Task) {
    // Nothing is written where another environment's backups lie.
    if task.manifest.chain.is_empty() || task.from.is_some() {
        return;
    }
    let longest = host.settings.boot.deadline.unwrap_or(LONGEST).max(LONGEST);
    let Ok(until) = host.now().checked_add(longest) else { return };
    let (instance_id, chain) = (task.instance_id.clone(), task.manifest.chain.clone());
    let lease = Lease { instance_id, chain, until };
    let key = task.store.settings().key(&format!("{FOLDER}/{}.json", lease.instance_id));
    let Ok(bytes) = serde_json::to_vec(&lease) else { return };
    if let Err(error) = task.store.put(&key, bytes, &Condition::Always).await {
        tracing::warn!(step = Step::Stage.name(), %error, "what is read is not leased: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_holds_its_chain_until_its_end() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let chain = vec!["full".to_owned(), "more".to_owned()];
        let lease = Lease { instance_id: "i-1".to_owned(), chain, until: at("2026-01-01T12:00:00Z") };
        let (before, after) = (at("2026-01-01T11:59:59Z"), at("2026-01-01T12:00:00Z"));
        for (id, now, expected) in
            [("full", before, true), ("more", before, true), ("other", before, false), ("full", after, false)]
        {
            assert_eq!(lease.holds(id, now), expected, "{id} {now}");
        }
    }
}
