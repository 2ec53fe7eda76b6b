//! From a pointer in S3 to data that was counted: choose, stage, restore, verify, refresh, warm.
//!
//! ```text
//! manifest ──▶ manifests/*.json ──▶ restore.from, or */backup_config.json ──▶ nothing      choose::decide
//!    └──────────────┴─────────────────────┴──────────────────┴──▶ ChosenBackup
//! ChosenBackup + DataVolume ──stage::decide──▶ Keep │ Restore (bring, checked) │ Empty │ Refuse ──▶ StagedBackup
//! StagedBackup + Running ──empty directory, own accepted order, SUCCESS, times put back──▶ Restored
//! Restored ──counts, tenants, aliases, 401, 403, version──▶ Verified      (kept data: kept::decide)
//! Verified + AttachedEni ──manifest read again; if it moved, all of it again; the link still here──▶ Fresh
//! Running + Closed ──counted once more──▶ LastCount ──server stopped──▶ clean_stop of the record
//! ```
//!
//! All collections are brought before the first is restored. Measured with 4 GB: 26.7 s to fetch at 150 MB/s, 12.3 s to
//! unpack; one after the other would hide at most the shorter of both, and nothing where one collection holds most of it.
//! But each order costs 2.2 s, whatever it holds (the server's own start of a restore, and the first poll): with a hundred
//! collections minutes. What does not fit beside its own backup is for the direct mode, which needs no room for it.
//!
//! To add a check of the restored data: a pure comparison in `verify.rs` that returns sentences, a row in its
//! table, and its place in [`verify`].

mod aside;
mod choose;
mod direct;
mod elsewhere;
mod error;
mod evidence;
mod kept;
mod lease;
mod part;
mod refresh;
mod samples;
mod serve;
mod settings;
mod space;
mod stage;
mod steps;
mod unverified;
mod verify;

pub use aside::{bring_aside, prove};
pub use choose::{Plan as ChoosePlan, check_version};
pub use error::RestoreError;
pub use evidence::{ChosenBackup, Fresh, Restored, StagedBackup, Verified, Warm};
pub use kept::to_record;
pub use lease::{FOLDER as LEASES, Lease};
pub use part::{Part, bring_part, cut, lacking, order_part};
pub use refresh::{Plan as RefreshPlan, decide as decide_refresh};
pub use samples::take as take_samples;
pub use settings::{Around, Mode, Settings, Source, Unverified};
pub use space::Room;
pub use stage::{Facts as StageFacts, Plan as StagePlan, Remembered, decide as decide_stage};
#[cfg(test)]
pub(crate) use steps::{CHOOSE_LONGEST, WARM_LONGEST};
pub use steps::{
    LastCount, choose, clear, connect, connect_writer, count_last, note_stop, plan, refresh, restore, stage,
    verify, warm,
};
pub use unverified::described;
pub use verify::{Seen, count, count_at_rest};

use crate::disk::DataVolume;
use crate::store::{Owner, Tree};
use crate::weaviate::descriptor::Global;

/// A backup belongs to nodes by name: one, and this one.
fn check_nodes(id: &str, global: &Global, node: &str) -> Result<(), RestoreError> {
    if global.nodes.len() == 1 && global.nodes.contains_key(node) {
        return Ok(());
    }
    Err(RestoreError::OtherNode {
        backup: id.to_owned(),
        nodes: global.nodes.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        node: node.to_owned(),
    })
}

/// Work on the disk, which must not hold up heartbeats.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RestoreError> + Send + 'static,
) -> Result<T, RestoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| {
        Err(RestoreError::Local { path: "data".to_owned(), source: std::io::Error::other(panic) })
    })
}

/// The staging tree of a volume: `backups/`, which the container sees.
fn staging(volume: &DataVolume) -> Result<Tree, RestoreError> {
    let (uid, gid) = volume.owner();
    Ok(Tree::open(&volume.backups_dir(), Owner { uid, gid })?)
}

#[cfg(test)]
mod tests;
