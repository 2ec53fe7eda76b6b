//! Why there is no data volume.

use std::path::PathBuf;

use super::Plan;
use crate::explain::{Class, Explain};
use crate::process::ProcessError;
use crate::state::StateError;

#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("{} cannot be read to find the instance store", path.display())]
    Sysfs { path: PathBuf, source: std::io::Error },
    #[error("the instance store {serial} {what}")]
    Odd { serial: String, what: String },
    #[error("{} is no longer the instance store {serial}", node.display())]
    Moved { serial: String, node: PathBuf },
    #[error("{} cannot be {operation}", node.display())]
    Device { node: PathBuf, operation: &'static str, source: std::io::Error },
    #[error("the mount table cannot be read")]
    Mounts { source: std::io::Error },
    #[error("what lies on {} cannot be told", node.display())]
    Probe { node: PathBuf, source: ProcessError },
    /// A plan that ends in a refusal says why.
    #[error("{0}")]
    Refused(Box<Plan>),
    #[error("the serial {serial} cannot be written to the journal, so the disk is not touched")]
    Journal { serial: String, source: StateError },
    #[error("making the file system on {} failed", node.display())]
    Format { node: PathBuf, source: ProcessError },
    #[error("mounting {} on {} failed", node.display(), mount.display())]
    Mount { node: PathBuf, mount: PathBuf, source: std::io::Error },
    #[error("systemd did not mount {} on {}", node.display(), mount.display())]
    MountUnit { node: PathBuf, mount: PathBuf, source: Box<ProcessError> },
    #[error("{} on the data volume cannot be {operation}", path.display())]
    Volume { path: PathBuf, operation: &'static str, source: std::io::Error },
    #[error("{} carries another file system than the one that was prepared", mount.display())]
    Changed { mount: PathBuf },
    #[error("the data volume does not settle; last: {last}")]
    Unsettled { last: String },
}

/// Whether the trouble is the machine's and may pass; any other word of the kernel is about what lies on the disk.
/// An error without a number is not the kernel's.
pub fn passes(error: &std::io::Error) -> bool {
    use nix::errno::Errno;
    const PASSING: [Errno; 6] =
        [Errno::EBUSY, Errno::ENOMEM, Errno::EAGAIN, Errno::EINTR, Errno::ENFILE, Errno::EMFILE];
    error.raw_os_error().is_none_or(|number| PASSING.iter().any(|errno| *errno as i32 == number))
}

impl Explain for DiskError {
    fn class(&self) -> Class {
        match self {
            Self::Sysfs { .. }
            | Self::Device { .. }
            | Self::Mounts { .. }
            | Self::Probe { .. }
            | Self::Journal { .. }
            | Self::MountUnit { .. }
            | Self::Volume { .. }
            | Self::Moved { .. }
            | Self::Changed { .. }
            | Self::Format { .. }
            | Self::Unsettled { .. } => Class::Retry,
            Self::Mount { source, .. } if passes(source) => Class::Retry,
            Self::Mount { .. } | Self::Odd { .. } => Class::Final,
            Self::Refused(plan) => plan.class(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Sysfs { path, .. } => format!("Check that {} can be read by root.", path.display()),
            Self::Odd { .. } => {
                "Replace the instance: its disk does not answer as an instance store does.".to_owned()
            }
            Self::Moved { .. } => {
                "It is looked up again by the next run; the kernel's log tells more.".to_owned()
            }
            Self::Device { .. } | Self::Mounts { .. } => "Look into the kernel's log (dmesg).".to_owned(),
            Self::Probe { .. } => "Install util-linux: `blkid` is needed.".to_owned(),
            Self::Refused(plan) => plan.remedy(),
            Self::Journal { .. } => "Make room on the root volume and check its mode.".to_owned(),
            Self::Format { .. } => "Install xfsprogs; look into the kernel's log (dmesg).".to_owned(),
            Self::Mount { .. } | Self::MountUnit { .. } => {
                "Look into the kernel's log (dmesg) for XFS and NVMe messages.".to_owned()
            }
            Self::Volume { .. } => "Check that the disk is neither full nor read-only.".to_owned(),
            Self::Changed { mount } => {
                format!("Find who mounts on {} besides this program.", mount.display())
            }
            Self::Unsettled { .. } => "This is a bug: report it with the log.".to_owned(),
        }
    }
}
