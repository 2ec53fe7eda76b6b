//! `state.json`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::explain::{Class, Explain, Failure};

/// Where provisioning stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Provisioning {
    #[default]
    Running,
    Serving {
        since: Timestamp,
    },
    Failed {
        failure: Failure,
    },
}

/// Where the answer to the lifecycle hook stands: apart from provisioning, because an unsent signal is sent by
/// the next run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum SignalOutcome {
    #[default]
    Unsent,
    Sent {
        result: String,
        at: Timestamp,
    },
    /// There is no hook, or nothing waits for it any more.
    NotNeeded {
        why: String,
    },
}

/// What is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub schema: u32,
    pub instance_id: String,
    pub boot_id: String,
    /// When the first run of this boot began, in milliseconds since the kernel did: all runs of one boot share one
    /// deadline, and a clock that is set meanwhile must neither end it nor make it longer.
    #[serde(default)]
    pub began_ms: Option<u64>,
    /// The boot in which the data was verified and the door opened: a second run of the same boot leaves the
    /// door as it is.
    #[serde(default)]
    pub opened_in: Option<String>,
    /// Serials of the disks that this program may have formatted: named before the first byte is changed.
    pub disks: Vec<String>,
    /// Answers to hooks belong to an instance: another one starts with none.
    pub provisioning: Provisioning,
    pub signal: SignalOutcome,
}

impl State {
    /// How long the runs of this boot have gone on.
    pub fn running_for(&self, uptime: Duration) -> Duration {
        self.began_ms.map_or(Duration::ZERO, |began| uptime.saturating_sub(Duration::from_millis(began)))
    }
}

/// Since the kernel began, suspensions included: CLOCK_BOOTTIME, which nobody can set (clock_gettime(2)).
pub fn uptime() -> Duration {
    nix::time::ClockId::CLOCK_BOOTTIME.now().map(Duration::from).unwrap_or_default()
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the journal {path} cannot be read")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the journal {path} is not what this program wrote")]
    Corrupt { path: PathBuf, source: serde_json::Error },
    #[error("the journal {path} cannot be written")]
    Unwritable { path: PathBuf, source: std::io::Error },
    #[error("another run holds {path}")]
    Locked { path: PathBuf },
    #[error("the journal {path} was opened only to be looked at")]
    Observed { path: PathBuf },
}

impl Explain for StateError {
    fn class(&self) -> Class {
        match self {
            Self::Unreadable { .. } | Self::Unwritable { .. } | Self::Locked { .. } => Class::Retry,
            Self::Corrupt { .. } | Self::Observed { .. } => Class::Final,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Unreadable { path, .. } | Self::Unwritable { path, .. } => {
                format!("Check the file system and the mode of {}.", path.display())
            }
            Self::Corrupt { path, .. } => {
                format!(
                    "The next `run` moves {} aside and begins a new one; the volume's own identity decides then.",
                    path.display()
                )
            }
            Self::Observed { .. } => "This is a bug: a command that only looks wanted to write.".to_owned(),
            Self::Locked { .. } => "Wait for it, or ask it with `weaviate-provisioner status`.".to_owned(),
        }
    }
}

/// The journal, open and locked for the life of this value.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    state: Mutex<State>,
    /// Its lock is the evidence that nobody else writes; `None` for a journal that is only looked at.
    lock: Option<File>,
    /// Where a journal lies that could not be understood.
    set_aside: Option<PathBuf>,
}

impl Journal {
    /// Opens the journal in `directory`, creating both, and takes the lock. One that cannot be understood is set
    /// aside: nothing in it is needed to be safe, because a volume proves itself by its own record and a door of
    /// which nothing is known is closed; and a node whose disk holds the only copy of the latest writes must not
    /// end for a torn file of ours.
    pub fn open(directory: &Path) -> Result<Self, StateError> {
        let path = directory.join("state.json");
        let unwritable = |source| StateError::Unwritable { path: path.clone(), source };
        std::fs::create_dir_all(directory).map_err(unwritable)?;
        let lock = File::create(directory.join("lock")).map_err(unwritable)?;
        if lock.try_lock().is_err() {
            return Err(StateError::Locked { path: directory.join("lock") });
        }
        let (state, set_aside) = match Self::peek(directory) {
            Ok(state) => (state.unwrap_or_default(), None),
            Err(error @ StateError::Corrupt { .. }) => {
                tracing::error!(%error, "set aside: {error}");
                let aside = directory.join("state.json.corrupt");
                std::fs::rename(&path, &aside).map_err(unwritable)?;
                (State::default(), Some(aside))
            }
            Err(error) => return Err(error),
        };
        Ok(Self { path, state: Mutex::new(state), lock: Some(lock), set_aside })
    }

    /// Where the journal of an earlier run lies that could not be understood when this one was opened.
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }

    /// For a command that changes nothing: no lock, and every write is refused.
    pub fn observe(directory: &Path) -> Result<Self, StateError> {
        let state = Self::peek(directory)?.unwrap_or_default();
        Ok(Self { path: directory.join("state.json"), state: Mutex::new(state), lock: None, set_aside: None })
    }

    /// What the journal says, without the lock: for `status`. `None` where there is none.
    pub fn peek(directory: &Path) -> Result<Option<State>, StateError> {
        let path = directory.join("state.json");
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| StateError::Corrupt { path, source }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Unreadable { path, source }),
        }
    }

    pub fn read(&self) -> State {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Changes the state and makes it durable before it returns.
    pub fn write(&self, change: impl FnOnce(&mut State)) -> Result<(), StateError> {
        if self.lock.is_none() {
            return Err(StateError::Observed { path: self.path.clone() });
        }
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut next = state.clone();
        change(&mut next);
        next.schema = 1;
        if *state == next && self.path.exists() {
            return Ok(());
        }
        let unwritable = |source| StateError::Unwritable { path: self.path.clone(), source };
        let text = serde_json::to_vec_pretty(&next).map_err(|e| unwritable(e.into()))?;
        replace(&self.path, &text, 0o600).map_err(unwritable)?;
        *state = next;
        Ok(())
    }

    /// Begins this boot: another instance's answers are forgotten, another boot's provisioning is over.
    pub fn begin(&self, instance_id: &str, boot_id: &str) -> Result<(), StateError> {
        self.write(|state| {
            if state.instance_id != instance_id {
                *state = State::default();
            }
            let unfinished = match &state.provisioning {
                Provisioning::Running => true,
                Provisioning::Failed { failure } => failure.class == Class::Retry,
                Provisioning::Serving { .. } => false,
            };
            if state.boot_id != boot_id || state.began_ms.is_none() || !unfinished {
                state.began_ms = u64::try_from(uptime().as_millis()).ok();
            }
            state.provisioning = Provisioning::Running;
            instance_id.clone_into(&mut state.instance_id);
            boot_id.clone_into(&mut state.boot_id);
        })
    }

    /// To be called, and to succeed, before the first byte of a disk is changed.
    pub fn name_disk(&self, serial: &str) -> Result<(), StateError> {
        self.write(|state| {
            if !state.disks.iter().any(|known| known == serial) {
                state.disks.push(serial.to_owned());
            }
        })
    }
}

/// Writes `bytes` to `path` so that a reader, or the next boot after a power cut, finds the old or the new
/// content and nothing between.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let directory = path.parent().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = directory.join(name);
    // A leftover of a run that was killed may have another mode.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    // The unit's UMask= would take from it what others need: networkd reads our file as another user.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::make::reopened;

    #[test]
    fn what_was_written_is_read_by_the_next_run() {
        let directory = tempfile::tempdir().expect("a directory");
        let journal = Journal::open(directory.path()).expect("opens");
        journal.begin("i-1", "boot-1").expect("writes");
        journal.name_disk("AWS1").expect("writes");
        journal.name_disk("AWS1").expect("writes");
        drop(journal);
        let state = Journal::peek(directory.path()).expect("reads").expect("is there");
        assert_eq!((state.instance_id.as_str(), state.disks.len()), ("i-1", 1));
    }

    #[test]
    fn a_file_has_the_mode_that_was_asked_for_whatever_the_mask_is() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("a directory");
        // The usual mask would take the group's and everybody's right to write.
        for mode in [0o400, 0o644, 0o666] {
            let path = directory.path().join("file");
            replace(&path, b"text", mode).expect("writes");
            let found = std::fs::metadata(&path).expect("is there").permissions().mode();
            assert_eq!(found & 0o777, mode, "{found:o}");
        }
    }

    #[test]
    fn another_instance_starts_with_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let journal = Journal::open(directory.path()).expect("opens");
        for (instance, disks) in [("i-1", 1), ("i-1", 1), ("i-2", 0)] {
            journal.begin(instance, "boot").expect("writes");
            if instance == "i-1" {
                journal.name_disk("AWS1").expect("writes");
            }
            assert_eq!(journal.read().disks.len(), disks, "{instance}");
        }
    }

    #[test]
    fn two_runs_cannot_write() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = Journal::open(directory.path()).expect("opens");
        assert!(matches!(Journal::open(directory.path()), Err(StateError::Locked { .. })));
        drop(first);
        assert!(reopened(directory.path()).is_ok());
    }

    #[test]
    fn who_only_looks_neither_waits_nor_writes() {
        let directory = tempfile::tempdir().expect("a directory");
        let none = Journal::observe(directory.path()).expect("looks");
        assert!(matches!(none.begin("i-1", "boot"), Err(StateError::Observed { .. })));
        assert_eq!(std::fs::read_dir(directory.path()).expect("lists").count(), 0);
        let writer = Journal::open(directory.path()).expect("opens");
        writer.begin("i-1", "boot").expect("writes");
        assert_eq!(Journal::observe(directory.path()).expect("looks beside it").read().instance_id, "i-1");
    }

    #[test]
    fn a_corrupt_journal_is_not_an_absent_one() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(Journal::peek(directory.path()).expect("absent"), None);
        std::fs::write(directory.path().join("state.json"), b"{").expect("writes");
        assert!(matches!(Journal::peek(directory.path()), Err(StateError::Corrupt { .. })));
        assert!(matches!(Journal::observe(directory.path()), Err(StateError::Corrupt { .. })));
        let journal = Journal::open(directory.path()).expect("begins a new one");
        let aside = journal.set_aside().expect("the old one is told").to_owned();
        assert_eq!(
            (journal.read(), std::fs::read(aside).expect("is kept")),
            (State::default(), b"{".to_vec())
        );
        drop(journal);
        assert_eq!(reopened(directory.path()).expect("opens").set_aside(), None);
    }

    #[test]
    fn a_place_that_cannot_be_used_is_told_by_what_was_tried() {
        let directory = tempfile::tempdir().expect("a directory");
        // A directory where the file belongs, which nobody can read as one.
        std::fs::create_dir(directory.path().join("state.json")).expect("makes");
        assert!(matches!(Journal::peek(directory.path()), Err(StateError::Unreadable { .. })));
        let file = directory.path().join("file");
        std::fs::write(&file, b"").expect("writes");
        assert!(matches!(Journal::open(&file), Err(StateError::Unwritable { .. })));
    }
}
