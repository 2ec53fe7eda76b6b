//! Whether what was restored is still the latest.

use super::stage;
use crate::manifest::{Held, Manifest, Pointer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    Unchanged,
    /// Somebody wrote the pointer, but it names the same bytes: only the fence is another one.
    Follow,
    /// It names another backup: choose, stage, restore and verify again.
    Again,
    Vanished,
}

/// Compares what was restored from with what lies there now.
pub fn decide(held: &Held, now: Option<&Pointer>, kept: &stage::Plan, restored: &Manifest) -> Plan {
    match (held, now) {
        (Held::Nothing, None) => Plan::Unchanged,
        (Held::Pointer(_), None) => Plan::Vanished,
        (Held::Pointer(held), Some(now)) if held.etag == now.etag => Plan::Unchanged,
        // Kept data is right only while the fence is ours; it is not a copy of any backup.
        (_, Some(_)) if matches!(kept, stage::Plan::Keep { .. }) => Plan::Again,
        (_, Some(now))
            if now.manifest.backup_id == restored.backup_id
                && now.manifest.checksum == restored.checksum
                && now.manifest.collections == restored.collections
                && now.manifest.aliases == restored.aliases =>
        {
            Plan::Follow
        }
        (_, Some(_)) => Plan::Again,
    }
}
