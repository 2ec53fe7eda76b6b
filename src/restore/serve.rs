//! The server's part: it unpacks what lies beside its data directory, or what it fetches itself.

use std::path::Path;
use std::time::Duration;

use cap_std::fs::{OpenOptions, OpenOptionsExt as _};
use nix::fcntl::OFlag;
use tokio::time::Instant;

use super::error::RestoreError;
use super::space::Room;
use crate::explain::{Class, Explain as _};
use crate::report::{Status, Step};
use crate::weaviate::descriptor::Node;
use crate::weaviate::{Backend, Client, RestoreConfig, RestoreOrder, State, WeaviateError};

/// One restore by the server.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    pub backend: Backend,
    pub backup: &'a str,
    pub config: RestoreConfig,
    /// Everything where it is empty.
    pub only: Vec<String>,
    /// An alias that is there already names what is restored from then on.
    pub overwrite_alias: bool,
    /// The node that made it and this one, where they have two names.
    pub renamed: Option<(&'a str, &'a str)>,
    /// The volume: the server shows progress nowhere but there.
    pub mount: &'a Path,
}

/// How often the state is asked for, and how long nothing may happen.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub poll: Duration,
    /// Nor state nor disk moves: a big index is loaded into memory at the end, and shows nothing meanwhile.
    pub quiet: Duration,
    /// No answer at all.
    pub silent: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            // The coordinator looks after 2 s and then every 10 s; asking it costs nothing and its answer
            // changes at once when FINALIZING ends (recordings 11, 12).
            poll: Duration::from_millis(100),
            quiet: Duration::from_mins(30),
            silent: Duration::from_secs(30),
        }
    }
}

/// What the server's data directory holds before a restore; `None` where it is as good as empty.
pub async fn occupied(client: &Client, data: &Path) -> Result<Option<String>, RestoreError> {
    // A restore that was killed leaves its files here, and only the same collection's next one removes them.
    if data.join(".backup.tmp").symlink_metadata().is_ok() {
        return Ok(Some(".backup.tmp of a restore that did not end".to_owned()));
    }
    let classes = client.classes().await?;
    Ok(classes.first().map(|class| format!("collection {}", class.name)))
}

/// Whether the server took the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    Yes,
    /// An earlier run's order is still at work in the same process: nothing can be said about it.
    Busy(String),
}

/// Orders the restore. Only after an accepted order the server's status is about this restore.
pub async fn order(client: &Client, order: &Order<'_>) -> Result<Accepted, RestoreError> {
    let Order { backend, backup, config, only, overwrite_alias, renamed, mount: _ } = order;
    let wanted = RestoreOrder {
        config: config.clone(),
        include: only.clone(),
        node_mapping: renamed.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect(),
        overwrite_alias: *overwrite_alias,
    };
    match client.start_restore(*backend, backup, &wanted).await {
        Ok(answer) => {
            tracing::info!(
                backup_id = backup,
                "the server restores {backup} ({}): {:?}",
                answer.state,
                answer.classes
            );
            Ok(Accepted::Yes)
        }
        Err(WeaviateError::Refused { message, .. }) if message.contains("already in progress") => {
            Ok(Accepted::Busy(message))
        }
        Err(WeaviateError::Refused { status, message, .. }) => {
            // The name of the node in the backup is not this one's: 500, and no other time cures it (recording 09).
            let trouble = status >= 500 && !message.contains("cannot resolve hostname");
            // An index that is rebuilt is whole some time later (entities/backup/errors.go, `ErrReindexInFlight`).
            let again = trouble || message.contains("runtime-reindex in flight");
            Err(RestoreError::NotAccepted { backup: (*backup).to_owned(), message, again })
        }
        Err(error) => Err(error.into()),
    }
}

/// Waits until the accepted order has ended well.
pub async fn wait(
    client: &Client,
    order: &Order<'_>,
    patience: Patience,
    status: &Status,
) -> Result<(), RestoreError> {
    let Order { backend, backup, config, only: _, overwrite_alias: _, renamed: _, mount } = order;
    let backup = (*backup).to_owned();
    let mut seen = State::Started;
    let mut free = Room::look(mount)?.free;
    let (mut moved, mut answered) = (Instant::now(), Instant::now());
    loop {
        match client.restore_status(*backend, &backup, config.path.as_deref()).await {
            Ok(now) => {
                answered = Instant::now();
                // It answers, so it lives: `quiet` below ends what does not move for too long.
                status.alive();
                match now.state {
                    State::Success => return Ok(()),
                    State::Failed | State::Canceled => {
                        let (state, message) = (now.state, now.error);
                        return Err(RestoreError::Ended { backup, state, message, log: Vec::new() });
                    }
                    State::Started
                    | State::Transferring
                    | State::Transferred
                    | State::Finalizing
                    | State::Cancelling
                    | State::Unknown(_) => {}
                }
                if now.state != seen {
                    moved = answered;
                    seen = now.state;
                    status.say(Step::Restore, format!("{backup}: {seen}"));
                }
            }
            // It lives in the server's memory only: gone means restarted.
            Err(WeaviateError::Refused { status: 404, .. }) => {
                return Err(RestoreError::Forgotten { backup });
            }
            Err(error) if error.class() == Class::Final || answered.elapsed() > patience.silent => {
                return Err(error.into());
            }
            Err(error) => tracing::warn!(%error, "the restore is asked after again: {error}"),
        }
        let now_free = Room::look(mount)?.free;
        if now_free != free {
            free = now_free;
            moved = Instant::now();
            status.alive();
        }
        if moved.elapsed() > patience.quiet {
            return Err(RestoreError::Stalled { backup, state: seen, quiet: patience.quiet });
        }
        tokio::time::sleep(patience.poll).await;
    }
}

/// Puts the modification times of big files back, from the chain's node descriptors, oldest first. A restore
/// sets none, and the first incremental backup would be as large as a full one: 410 MB instead of 0.2 MB, measured
/// (`tests/recordings`, 26).
///
/// Returns how many were set. The server owns the directory and could plant links: none is followed.
pub fn put_times_back(data: &Path, descriptors: &[Node]) -> Result<usize, RestoreError> {
    let local = |source| RestoreError::Local { path: data.display().to_string(), source };
    let dir = cap_std::fs::Dir::open_ambient_dir(data, cap_std::ambient_authority()).map_err(local)?;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let mut set = 0;
    for (path, big) in descriptors.iter().flat_map(Node::big_files) {
        // Compacted away already, or changed since: not the file that the base holds.
        let Ok(file) = dir.open_with(path, &options) else { continue };
        let same = file.metadata().is_ok_and(|m| m.is_file() && m.len() == big.size);
        let Ok(time) = big.modified_at.parse::<jiff::Timestamp>() else { continue };
        if same && file.into_std().set_modified(time.into()).is_ok() {
            set += 1;
        }
    }
    Ok(set)
}
