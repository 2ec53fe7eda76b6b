//! What to do with the instance store: a pure function of what was seen.

use std::fmt;
use std::path::PathBuf;

use super::discover::Disk;
use super::record::{Found, Record};
use crate::explain::Class;

/// Everything that the decision depends on.
#[derive(Clone, Debug)]
pub struct Facts {
    pub deployment: String,
    pub node: String,
    pub instance_id: String,
    /// The model that was looked for.
    pub model: String,
    pub mount: PathBuf,
    pub mountpoint: Mountpoint,
    pub disks: Vec<Disk>,
    /// Of the only disk.
    pub content: Content,
    /// Who holds the only disk, other than our mount: another mount point, swap, RAID.
    pub held: Option<String>,
    /// Whether the journal names the only disk: this instance has written to it.
    pub named: bool,
}

/// What is at `storage.mount`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mountpoint {
    /// Absent, or an empty directory.
    Free,
    /// A directory of the file system above, with files in it.
    Files { first: String },
    /// A mounted file system, by its device number.
    Mounted { device: u64 },
}

/// What is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// `blkid` knows nothing there.
    Blank,
    /// Something that this program did not make: a partition table, another file system, another label.
    Foreign {
        what: String,
    },
    /// Our label on a file system that mkfs did not finish (`sb_inprogress`).
    Unfinished,
    Ours {
        uuid: String,
        peek: Peek,
    },
}

/// What a file system with our label holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peek {
    Unmountable { why: String },
    Inside { record: Found, data_empty: bool },
}

/// What will be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    Format {
        disk: Disk,
        /// Over our own file system that mkfs did not finish.
        again: bool,
    },
    Mount {
        disk: Disk,
        mount: PathBuf,
        /// What it says about itself, where that could be read without replaying its log.
        record: Option<Box<Record>>,
    },
    /// Mounted, ours and without a record: the last run ended right after mkfs.
    Complete {
        disk: Disk,
        uuid: String,
    },
    Use {
        disk: Disk,
        uuid: String,
        record: Box<Record>,
    },
    RefuseNone {
        model: String,
    },
    RefuseSeveral {
        serials: Vec<String>,
    },
    RefuseForeign {
        disk: Disk,
        what: String,
    },
    RefuseMountpoint {
        mount: PathBuf,
        what: String,
    },
    RefuseBusy {
        disk: Disk,
        holder: String,
    },
    RefuseRecord {
        disk: Disk,
        what: String,
    },
}

/// The one place where it is decided what happens to a disk.
pub fn decide(facts: &Facts) -> Plan {
    let disk = match facts.disks.as_slice() {
        [] => return Plan::RefuseNone { model: facts.model.clone() },
        [disk] => disk.clone(),
        several => {
            return Plan::RefuseSeveral { serials: several.iter().map(|disk| disk.serial.clone()).collect() };
        }
    };
    let refuse_mountpoint = |what: String| Plan::RefuseMountpoint { mount: facts.mount.clone(), what };
    let mounted = match &facts.mountpoint {
        Mountpoint::Mounted { device } if *device == disk.device() => true,
        Mountpoint::Mounted { device } => {
            let (major, minor) = (nix::sys::stat::major(*device), nix::sys::stat::minor(*device));
            return refuse_mountpoint(format!("has the device {major}:{minor} mounted on it"));
        }
        Mountpoint::Files { first } => return refuse_mountpoint(format!("holds files already ({first})")),
        Mountpoint::Free => false,
    };
    if let (false, Some(holder)) = (mounted, &facts.held) {
        return Plan::RefuseBusy { disk, holder: holder.clone() };
    }
    let refuse = |what: String| Plan::RefuseRecord { disk: disk.clone(), what };
    match &facts.content {
        Content::Foreign { what } => Plan::RefuseForeign { disk, what: what.clone() },
        Content::Blank | Content::Unfinished if mounted => {
            refuse("is mounted, but its superblock is not ours any more".to_owned())
        }
        Content::Blank => Plan::Format { disk, again: false },
        Content::Unfinished => Plan::Format { disk, again: true },
        // After a power cut the look, which replays no log, may find anything. What this instance has written itself
        // is looked at again once the log is replayed.
        Content::Ours {
            peek:
                Peek::Unmountable { .. } | Peek::Inside { record: Found::Corrupt(_) | Found::Unreadable(_), .. },
            ..
        } if facts.named && !mounted => Plan::Mount { disk, mount: facts.mount.clone(), record: None },
        Content::Ours { peek: Peek::Unmountable { why }, .. } => {
            refuse(format!("carries our file system, which cannot be mounted ({why})"))
        }
        Content::Ours { uuid, peek: Peek::Inside { record, data_empty } } => match record {
            Found::Here(record) => match stranger(facts, &disk, uuid, record) {
                Some(what) => refuse(what),
                None if mounted => Plan::Use { disk, uuid: uuid.clone(), record: record.clone() },
                None => Plan::Mount { disk, mount: facts.mount.clone(), record: Some(record.clone()) },
            },
            Found::Corrupt(why) => refuse(format!("has an identity.json that nobody of us wrote ({why})")),
            Found::Unreadable(why) => refuse(format!("has an identity.json that cannot be read ({why})")),
            // Its log was not replayed for the look: the record may be there once it is mounted.
            Found::Absent if !mounted => Plan::Mount { disk, mount: facts.mount.clone(), record: None },
            Found::Absent if *data_empty => Plan::Complete { disk, uuid: uuid.clone() },
            Found::Absent => refuse("holds data but no identity.json".to_owned()),
        },
    }
}

/// What in the record is not ours.
fn stranger(facts: &Facts, disk: &Disk, uuid: &str, record: &Record) -> Option<String> {
    let Record { schema: _, deployment, node, instance_id, uuid: recorded, serials, .. } = record;
    let rows = [
        ("deployment", deployment.as_str(), facts.deployment.as_str()),
        ("node", node, &facts.node),
        // An instance store dies with its instance: this can only be a copy.
        ("instance", instance_id, &facts.instance_id),
        ("file system", recorded, uuid),
    ];
    let differs = rows.iter().find(|(_, found, wanted)| found != wanted);
    if let Some((what, found, wanted)) = differs {
        return Some(format!("says that it belongs to the {what} {found}, not {wanted}"));
    }
    (*serials != [disk.serial.clone()])
        .then(|| format!("says that it was made on the disk {}, not {}", serials.join(", "), disk.serial))
}

impl Plan {
    /// What the volume says about itself, where it is ours and could be read: mounted already, or not yet.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Use { record, .. } | Self::Mount { record: Some(record), .. } => Some(record),
            Self::Format { .. }
            | Self::Mount { record: None, .. }
            | Self::Complete { .. }
            | Self::RefuseNone { .. }
            | Self::RefuseSeveral { .. }
            | Self::RefuseForeign { .. }
            | Self::RefuseMountpoint { .. }
            | Self::RefuseBusy { .. }
            | Self::RefuseRecord { .. } => None,
        }
    }

    pub fn class(&self) -> Class {
        match self {
            // The mount of a machine that was cut off, or of another program, may end.
            Self::RefuseBusy { .. } => Class::Retry,
            Self::Format { .. }
            | Self::Mount { .. }
            | Self::Complete { .. }
            | Self::Use { .. }
            | Self::RefuseNone { .. }
            | Self::RefuseSeveral { .. }
            | Self::RefuseForeign { .. }
            | Self::RefuseMountpoint { .. }
            | Self::RefuseRecord { .. } => Class::Final,
        }
    }

    pub fn remedy(&self) -> String {
        match self {
            Self::Format { .. } | Self::Mount { .. } | Self::Complete { .. } | Self::Use { .. } => String::new(),
            Self::RefuseNone { .. } => {
                "Use an instance type with an instance store (c8gd, …), or set storage.model.".to_owned()
            }
            Self::RefuseSeveral { .. } => {
                "Use an instance type with one instance store (up to c8gd.8xlarge): several are not joined yet."
                    .to_owned()
            }
            Self::RefuseForeign { disk, .. } | Self::RefuseRecord { disk, .. } => format!(
                "If nothing on it is needed, run `wipefs --all {}` and start again; nothing was changed.",
                disk.node.display()
            ),
            Self::RefuseMountpoint { mount, .. } => format!(
                "Move away what is in {} and unmount it, or set storage.mount; nothing was changed.",
                mount.display()
            ),
            Self::RefuseBusy { .. } => "Let go of the disk; it is tried again.".to_owned(),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |disk: &Disk| format!("the instance store {} ({})", disk.serial, disk.node.display());
        match self {
            Self::Format { disk, again: false } => write!(f, "formats {}, which is blank", named(disk)),
            Self::Format { disk, again: true } => {
                write!(f, "formats {} again: its mkfs was not finished", named(disk))
            }
            Self::Mount { disk, mount, record: _ } => {
                write!(f, "mounts {} on {}", named(disk), mount.display())
            }
            Self::Complete { disk, .. } => write!(f, "writes the identity of {}", named(disk)),
            Self::Use { disk, record, .. } => {
                let restored = record.restored.as_ref().and_then(|restored| restored.backup_id.as_deref());
                write!(f, "uses {}, restored from {}", named(disk), restored.unwrap_or("nothing yet"))
            }
            Self::RefuseNone { model } => write!(f, "there is no disk of the model {model:?}"),
            Self::RefuseSeveral { serials } => {
                write!(f, "there are {} instance stores ({})", serials.len(), serials.join(", "))
            }
            Self::RefuseForeign { disk, what } => write!(f, "{} carries {what}", named(disk)),
            Self::RefuseMountpoint { mount, what } => write!(f, "{} {what}", mount.display()),
            Self::RefuseBusy { disk, holder } => write!(f, "{} is held by {holder}", named(disk)),
            Self::RefuseRecord { disk, what } => write!(f, "{} {what}", named(disk)),
        }
    }
}
