//! The instance store: found by model, formatted once, mounted, recognised again.
//!
//! ```text
//!  sysfs ─▶ Disk ─┐
//!  superblock ────┼─▶ Facts ──decide──▶ Plan ─▶ Format ─┐
//!  mountinfo ─────┤                       ├──▶ Mount ───┼─▶ look again
//!  identity.json ─┘                       ├──▶ Complete ┘
//!                                         ├──▶ Use ───────▶ DataVolume
//!                                         └──▶ Refuse… ───▶ DiskError
//! ```
//!
//! Every turn changes one thing and then looks again, so a run that was killed anywhere is continued by the
//! next one at the turn that it did not finish. Nothing is changed on a disk before the journal names its
//! serial, and nothing at all on one that is not recognised: looking into an unmounted file system is done
//! read-only and without replaying its log.
//!
//! To add a kind of refusal: a field of [`Facts`] that tells it, a variant of [`Plan`] with its sentence, a row
//! in the table of `decide.rs`.

mod act;
mod decide;
mod discover;
mod error;
mod identify;
mod look;
mod record;
mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod volume;

pub use decide::{Content, Facts, Mountpoint, Peek, Plan, decide};
pub use discover::Disk;
pub use error::DiskError;
pub use record::{FILE as RECORD, Record, Restored, ServerProcess, TenantRecord};
pub use settings::Settings;
pub use volume::{DataVolume, PROOF, Synced, empty_data};

use crate::host::Host;
use crate::instance::Identity;
use crate::report::Step;

/// What would be done next, without doing it.
pub async fn plan(host: &Host, me: &Identity) -> Result<Plan, DiskError> {
    Ok(decide(&look::look(host, me).await?))
}

/// Format, mount, complete, use: one turn more than there are things to change.
const TURNS: u64 = 5;

/// The disk awaited, looked at in each turn, formatted and mounted by three calls of systemd and the mount itself.
#[cfg(test)]
pub(crate) const LONGEST: std::time::Duration = std::time::Duration::from_secs(
    look::WAIT.as_secs()
        + TURNS * (identify::BLKID.as_secs() + identify::PEEK.as_secs())
        + act::FORMAT.as_secs()
        + 3 * act::SOON.as_secs()
        + act::MOUNT.as_secs(),
);

/// Makes the instance store into the mounted data volume of this node.
pub async fn prepare(host: &Host, me: &Identity) -> Result<DataVolume, DiskError> {
    look::wait_for_disk(host).await?;
    let mut last = None;
    for _ in 0..TURNS {
        let facts = look::look(host, me).await?;
        let plan = decide(&facts);
        host.status.say(Step::Prepare, plan.to_string());
        match &plan {
            Plan::Format { disk, .. } => act::format(host, disk, &plan).await?,
            Plan::Mount { disk, .. } => act::mount(host, disk).await?,
            Plan::Complete { disk, uuid } => volume::complete(host, me, disk, uuid)?,
            Plan::Use { disk, uuid, record } => {
                return DataVolume::new(host, disk, uuid, record);
            }
            Plan::RefuseNone { .. }
            | Plan::RefuseSeveral { .. }
            | Plan::RefuseForeign { .. }
            | Plan::RefuseMountpoint { .. }
            | Plan::RefuseBusy { .. }
            | Plan::RefuseRecord { .. } => return Err(DiskError::Refused(Box::new(plan))),
        }
        last = Some(plan);
    }
    Err(DiskError::Unsettled { last: last.map(|plan| plan.to_string()).unwrap_or_default() })
}
