//! What each step hands to the next. Private fields, made in this domain only.

use std::collections::BTreeSet;
use std::path::Path;

use crate::container::Running;
use crate::disk::{DataVolume, DiskError, Synced};
use crate::manifest::{Held, Manifest, Origin};
use crate::network::AttachedEni;
use crate::store::Store;

use super::choose::{Choice, Wish};
use super::elsewhere::Elsewhere;
use super::settings::Mode;
use super::stage::Plan;
use super::verify::Seen;

/// Evidence: what is to be restored, or that nothing is, and why.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::restore::ChosenBackup;
/// fn forge(evidence: ChosenBackup) -> ChosenBackup { ChosenBackup { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::restore::ChosenBackup;
/// fn hand_on(evidence: ChosenBackup) -> ChosenBackup { evidence }
/// ```
#[derive(Debug)]
pub struct ChosenBackup {
    pub(super) store: Store,
    pub(super) elsewhere: Option<Elsewhere>,
    pub(super) wish: Wish,
    pub(super) instance_id: String,
    pub(super) choice: Choice,
}

impl ChosenBackup {
    pub fn backup_id(&self) -> Option<&str> {
        self.choice.manifest.backup_id.as_deref()
    }
    /// Of the manifest that lies in the bucket; 0 where there is none.
    pub fn generation(&self) -> u64 {
        match &self.choice.held {
            Held::Pointer(pointer) => pointer.manifest.generation,
            Held::Nothing => 0,
        }
    }
    /// What was decided, as a sentence.
    pub fn decision(&self) -> String {
        self.choice.plan.to_string()
    }
}

/// What is done on this volume, with what it needs. Shared by the evidence of all later steps.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// The bucket of `[backup]`: manifest, leases, reports.
    pub store: Store,
    /// `restore.from`.
    pub elsewhere: Option<Elsewhere>,
    /// What is restored, where it lies there.
    pub from: Option<Origin>,
    pub wish: Wish,
    pub volume: DataVolume,
    pub plan: Plan,
    pub manifest: Manifest,
    /// What the fence is expected to be when it is taken.
    pub held: Held,
    pub mode: Mode,
    /// Of this instance.
    pub instance_id: String,
}

impl Task {
    /// Where the backup lies that is restored.
    pub fn lies(&self) -> &Store {
        match (&self.from, &self.elsewhere) {
            (Some(_), Some(elsewhere)) => elsewhere.store(),
            (Some(_) | None, _) => &self.store,
        }
    }

    /// Whose backup it is.
    pub fn node(&self) -> &str {
        self.from.as_ref().map_or(&self.wish.node, |from| &from.node)
    }

    /// The collections that are restored, where it is not all that the backup has.
    pub fn only(&self) -> Option<BTreeSet<String>> {
        let some = self.from.as_ref().is_some_and(|from| !from.left_out.is_empty());
        some.then(|| self.manifest.collections.keys().cloned().collect())
    }

    /// The old name and the new one, where the server has another than the one that made the backup.
    pub fn renamed(&self) -> Option<(&str, &str)> {
        let (old, new) = (self.node(), self.wish.node.as_str());
        (old != new).then_some((old, new))
    }
}

/// Evidence: the bytes lie on the volume, checked; or need not.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::restore::StagedBackup;
/// fn forge(evidence: StagedBackup) -> StagedBackup { StagedBackup { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::restore::StagedBackup;
/// fn hand_on(evidence: StagedBackup) -> StagedBackup { evidence }
/// ```
#[derive(Debug)]
pub struct StagedBackup {
    pub(super) task: Task,
}

impl StagedBackup {
    pub fn decision(&self) -> String {
        self.task.plan.to_string()
    }
    /// The data on the volume is ours: nothing is restored.
    pub fn is_kept(&self) -> bool {
        matches!(self.task.plan, Plan::Keep { .. })
    }
    pub fn bytes(&self) -> u64 {
        self.task.manifest.bytes()
    }
}

/// Evidence: the server says that it has the data. It says so of corrupt data too.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::restore::Restored;
/// fn forge(evidence: Restored) -> Restored { Restored { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::restore::Restored;
/// fn hand_on(evidence: Restored) -> Restored { evidence }
/// ```
#[derive(Debug)]
pub struct Restored {
    pub(super) task: Task,
    pub(super) running: Running,
}

impl Restored {
    /// Nothing was restored: the data on the volume is ours.
    pub const fn is_kept(&self) -> bool {
        matches!(self.task.plan, Plan::Keep { .. })
    }
    pub const fn running(&self) -> &Running {
        &self.running
    }
}

/// Evidence: the data was counted and is what the manifest says, is on the disk, and only who may sees it.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::restore::Verified;
/// fn forge(evidence: Verified) -> Verified { Verified { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::restore::Verified;
/// fn hand_on(evidence: Verified) -> Verified { evidence }
/// ```
#[derive(Debug)]
pub struct Verified {
    pub(super) task: Task,
    pub(super) running: Running,
    pub(super) seen: Seen,
    /// `None` for data that was kept: its record has said so since it was restored.
    pub(super) synced: Option<Synced>,
}

impl Verified {
    pub const fn running(&self) -> &Running {
        &self.running
    }
    pub fn backup_id(&self) -> Option<&str> {
        self.task.manifest.backup_id.as_deref()
    }
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }
}

/// Evidence: verified, and still the latest at a moment when the interface was ours.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::restore::Fresh;
/// fn forge(evidence: Fresh) -> Fresh { Fresh { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::restore::Fresh;
/// fn hand_on(evidence: Fresh) -> Fresh { evidence }
/// ```
#[derive(Debug)]
pub struct Fresh {
    pub(super) task: Task,
    pub(super) running: Running,
    pub(super) seen: Seen,
    pub(super) synced: Option<Synced>,
}

impl Fresh {
    pub fn backup_id(&self) -> Option<&str> {
        self.task.manifest.backup_id.as_deref()
    }
    pub const fn running(&self) -> &Running {
        &self.running
    }
    pub const fn volume(&self) -> &DataVolume {
        &self.task.volume
    }
    pub(crate) const fn store(&self) -> &Store {
        &self.task.store
    }
    pub(crate) const fn held(&self) -> &Held {
        &self.task.held
    }
    pub(crate) const fn manifest(&self) -> &Manifest {
        &self.task.manifest
    }
    /// Whose backup it is, where it is another environment's.
    pub(crate) const fn from(&self) -> Option<&Origin> {
        self.task.from.as_ref()
    }
    pub(crate) const fn seen(&self) -> &Seen {
        &self.seen
    }
    /// That a record may speak of the data now.
    pub(crate) fn synced(&self) -> Result<Synced, DiskError> {
        self.synced.clone().map_or_else(|| self.task.volume.sync(), Ok)
    }
    /// The fence is already ours: a reboot, or a second run.
    pub(crate) const fn is_kept(&self) -> bool {
        matches!(self.task.plan, Plan::Keep { .. })
    }
    pub(crate) const fn mode(&self) -> &'static str {
        self.task.mode.name()
    }
    pub(crate) fn into_running(self) -> (Running, DataVolume) {
        (self.running, self.task.volume)
    }
}

/// The fence moved when it was to be taken: back to where it is compared with what lies in the bucket.
impl From<Fresh> for Verified {
    fn from(Fresh { task, running, seen, synced }: Fresh) -> Self {
        Self { task, running, seen, synced }
    }
}

/// Evidence: the owner, with its caches filled. What may be exposed.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::restore::Warm;
/// fn forge(evidence: Warm) -> Warm { Warm { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::restore::Warm;
/// fn hand_on(evidence: Warm) -> Warm { evidence }
/// ```
#[derive(Debug)]
pub struct Warm {
    pub(super) eni: AttachedEni,
    pub(super) running: Running,
    pub(super) volume: DataVolume,
    pub(super) restored: crate::disk::Restored,
}

impl Warm {
    pub const fn eni(&self) -> &AttachedEni {
        &self.eni
    }
    pub const fn running(&self) -> &Running {
        &self.running
    }
    pub const fn volume(&self) -> &DataVolume {
        &self.volume
    }
    /// What was restored, as it was counted.
    pub const fn restored(&self) -> &crate::disk::Restored {
        &self.restored
    }
    /// Where the data is mounted.
    pub fn mount(&self) -> &Path {
        self.volume.mount()
    }
}
