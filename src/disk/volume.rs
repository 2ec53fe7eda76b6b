//! Evidence: the data volume of this node, mounted and recognised.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::record::{FILE, Record, SCHEMA};
use super::{Disk, DiskError, act};
use crate::host::Host;
use crate::instance::Identity;
use crate::report::Step;
use crate::state::replace;

/// Inside `data/`: holds the volume's nonce, so that it can be read back through the container.
pub const PROOF: &str = ".weaviate-provisioner";

/// The mounted file system that this node's data lives on.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::disk::DataVolume;
/// fn forge(evidence: DataVolume) -> DataVolume { DataVolume { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::disk::DataVolume;
/// fn hand_on(evidence: DataVolume) -> DataVolume { evidence }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataVolume {
    mount: PathBuf,
    device: u64,
    record: Record,
    fresh: bool,
    owner: (u32, u32),
}

/// Evidence: whatever lay on the volume when this was made is on its disk.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0423
/// # use weaviate_provisioner::disk::Synced;
/// fn forge() -> Synced { Synced(()) }
/// ```
/// ```
/// # use weaviate_provisioner::disk::Synced;
/// fn hand_on(evidence: Synced) -> Synced { evidence }
/// ```
#[derive(Clone, Debug)]
pub struct Synced(());

impl DataVolume {
    /// Makes the directories, and the proof inside `data/`, that are not there.
    pub(super) fn new(host: &Host, disk: &Disk, uuid: &str, record: &Record) -> Result<Self, DiskError> {
        let settings = &host.settings.storage;
        let mount = settings.mount.clone();
        // Somebody else may have mounted it: a run that was killed, or the OS.
        act::name(host, disk)?;
        let device = std::fs::metadata(&mount)
            .map_err(|source| DiskError::Volume { path: mount.clone(), operation: "looked at", source })?
            .dev();
        if device != disk.device() || record.uuid != uuid {
            return Err(DiskError::Changed { mount });
        }
        let empty = |mount: &Path| {
            data_is_empty(mount).map_err(|source| DiskError::Volume {
                path: mount.join("data"),
                operation: "looked into",
                source,
            })
        };
        let fresh = record.restored.is_none() && empty(&mount)?;
        let volume =
            Self { mount, device, record: record.clone(), fresh, owner: (settings.uid, settings.gid) };
        for directory in [volume.data_dir(), volume.backups_dir()] {
            make(&directory, volume.owner).map_err(|source| DiskError::Volume {
                path: directory,
                operation: "made",
                source,
            })?;
        }
        volume.write_proof()?;
        Ok(volume)
    }

    /// `storage.mount`. Only root can write here.
    pub fn mount(&self) -> &Path {
        &self.mount
    }
    /// `/var/lib/weaviate` of the container.
    pub fn data_dir(&self) -> PathBuf {
        self.mount.join("data")
    }
    /// `/var/lib/weaviate-backups` of the container.
    pub fn backups_dir(&self) -> PathBuf {
        self.mount.join("backups")
    }
    pub fn uuid(&self) -> &str {
        &self.record.uuid
    }
    pub fn nonce(&self) -> &str {
        &self.record.nonce
    }
    /// As `stat` gives it.
    pub fn device(&self) -> u64 {
        self.device
    }
    /// User and group of the server.
    pub fn owner(&self) -> (u32, u32) {
        self.owner
    }
    /// What an earlier run of ours left here, as it was when the volume was prepared; `None` when nothing but
    /// an identity is there. A record without `restored` is a restore that did not finish.
    pub fn record(&self) -> Option<&Record> {
        (!self.fresh).then_some(&self.record)
    }
    /// The volume's identity, to be completed and handed to [`Self::write_record`].
    pub fn identity(&self) -> &Record {
        &self.record
    }
    /// The record as it is on the disk now.
    pub fn reread(&self) -> Result<Record, DiskError> {
        use super::record::Found;
        let path = self.mount.join(FILE);
        let error = |text: String| DiskError::Volume {
            path: path.clone(),
            operation: "read",
            source: std::io::Error::other(text),
        };
        match Record::read(&self.mount) {
            Found::Here(record) => Ok(*record),
            Found::Absent => Err(error("it is gone".to_owned())),
            Found::Unreadable(why) | Found::Corrupt(why) => Err(error(why)),
        }
    }

    /// Makes `record` durable, which must be this volume's. What it says of data must have been there before: new
    /// words about data go by [`Self::write_of_data`].
    pub fn write_record(&self, record: &Record) -> Result<(), DiskError> {
        if record.uuid != self.record.uuid || record.nonce != self.record.nonce || !self.is_mounted() {
            return Err(DiskError::Changed { mount: self.mount.clone() });
        }
        write(&self.mount, record)
    }

    /// The same for a record that says something new of the data, which is durable before: one that outlived it in a
    /// power cut would call an empty server verified.
    pub fn write_of_data(&self, record: &Record, _: &Synced) -> Result<(), DiskError> {
        self.write_record(record)
    }

    /// Makes all of the volume durable: what the server has written stands in files that nobody else has open
    /// (syncfs(2)). As long as the disk needs for what it has not written yet.
    pub fn sync(&self) -> Result<Synced, DiskError> {
        let unsynced = |source| DiskError::Volume { path: self.mount.clone(), operation: "synced", source };
        let directory = std::fs::File::open(&self.mount).map_err(unsynced)?;
        nix::unistd::syncfs(&directory).map_err(|errno| unsynced(errno.into()))?;
        Ok(Synced(()))
    }

    /// Whether the mount is still there: without it the same path is the bare root disk.
    pub fn is_mounted(&self) -> bool {
        std::fs::metadata(&self.mount).is_ok_and(|metadata| metadata.dev() == self.device)
    }

    fn write_proof(&self) -> Result<(), DiskError> {
        let path = self.data_dir().join(PROOF);
        // The server owns the directory. `replace` makes a new file and renames it over whatever is there, so a
        // planted link is replaced, not followed.
        replace(&path, self.record.nonce.as_bytes(), 0o444).map_err(|source| DiskError::Volume {
            path,
            operation: "written",
            source,
        })
    }

    #[cfg(test)]
    pub(crate) fn for_tests(mount: PathBuf, record: Record, fresh: bool, owner: (u32, u32)) -> Self {
        let device = std::fs::metadata(&mount).map_or(0, |metadata| metadata.dev());
        Self { mount, device, record, fresh, owner }
    }
}

fn make(directory: &Path, (uid, gid): (u32, u32)) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, lchown};
    match std::fs::DirBuilder::new().mode(0o750).create(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = std::fs::symlink_metadata(directory)?;
    if !metadata.is_dir() {
        return Err(std::io::ErrorKind::NotADirectory.into());
    }
    if (metadata.uid(), metadata.gid()) != (uid, gid) {
        lchown(directory, Some(uid), Some(gid))?;
    }
    Ok(())
}

fn write(mount: &Path, record: &Record) -> Result<(), DiskError> {
    let path = mount.join(FILE);
    let unwritable = |source| DiskError::Volume { path: path.clone(), operation: "written", source };
    let text = serde_json::to_vec_pretty(record).map_err(|error| unwritable(error.into()))?;
    replace(&path, &text, 0o600).map_err(unwritable)
}

/// Whether `data/` is absent or holds nothing but the proof.
pub(super) fn data_is_empty(mount: &Path) -> std::io::Result<bool> {
    match std::fs::read_dir(mount.join("data")) {
        Ok(entries) => {
            for entry in entries {
                if !entry?.file_name().to_string_lossy().starts_with(PROOF) {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Gives a new file system its identity. The record comes before the directories, so that data without a record
/// is never ours.
pub(super) fn complete(host: &Host, me: &Identity, disk: &Disk, uuid: &str) -> Result<(), DiskError> {
    let mount = &host.settings.storage.mount;
    let record = Record {
        schema: SCHEMA,
        deployment: host.settings.node.deployment.to_string(),
        node: host.settings.node.name.to_string(),
        instance_id: me.instance_id().to_owned(),
        uuid: uuid.to_owned(),
        serials: vec![disk.serial.clone()],
        nonce: format!("{:032x}", rand::random::<u128>()),
        restored: None,
        clean_stop: None,
        served: None,
        ended_in_order: false,
    };
    act::name(host, disk)?;
    write(mount, &record)
}

/// Empties `data/` for a new restore. The record is changed first: what it said was restored is no more.
///
/// The server could write here, so its links are removed and never followed.
pub async fn empty_data(host: &Host, volume: &DataVolume) -> Result<(), DiskError> {
    let before = volume.reread()?;
    let record =
        Record { restored: None, clean_stop: None, served: None, ended_in_order: false, ..before.clone() };
    if record != before {
        volume.write_record(&record)?;
    }
    if !volume.is_mounted() {
        return Err(DiskError::Changed { mount: volume.mount.clone() });
    }
    let _working = host.status.begin(Step::Prepare);
    host.status.say(Step::Prepare, "empties the data directory");
    let path = volume.data_dir();
    let failed = |source| DiskError::Volume { path: volume.data_dir(), operation: "emptied", source };
    let work = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
        let data = cap_std::fs::Dir::open_ambient_dir(&path, cap_std::ambient_authority())?;
        for entry in data.entries()? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                data.remove_dir_all(entry.file_name())?;
            } else {
                data.remove_file(entry.file_name())?;
            }
        }
        Ok(())
    });
    work.await.map_err(|broken| failed(std::io::Error::other(broken)))?.map_err(failed)?;
    volume.write_proof()
}
