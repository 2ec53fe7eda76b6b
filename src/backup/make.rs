//! The server's part: it takes the order, packs its files, and says how it ended.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::error::BackupError;
use crate::explain::{Class, Explain as _};
use crate::report::{Status, Work};
use crate::restore::Room;
use crate::retry::{Limits, retry};
use crate::weaviate::{Backend, BackupOrder, Client, State, WeaviateError};

/// How often it is asked, and how long nothing may happen.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub poll: Duration,
    /// Nothing moves: `backup.stall`.
    pub quiet: Duration,
    /// No answer at all.
    pub silent: Duration,
}

impl Patience {
    pub const fn of(stall: Duration) -> Self {
        // The answer comes from the server's memory; it changes once.
        Self { poll: Duration::from_millis(250), quiet: stall, silent: Duration::from_secs(30) }
    }
}

/// What a refused order means: a pure function of the answer.
pub fn refused(backup: &str, error: WeaviateError) -> BackupError {
    match error {
        WeaviateError::Refused { message, .. } if message.contains("already in progress") => {
            BackupError::Busy { message }
        }
        // An index is rebuilt, or whether one is cannot be told (entities/backup/errors.go, `ErrBackupBlockedByInFlightReindex`
        // and its like); some seconds to some minutes, as the server's source says.
        WeaviateError::Refused { message, .. } if message.contains("backup blocked:") => {
            BackupError::Blocked { message }
        }
        // usecases/backup/scheduler.go of 1.39.0, `validateBackupRequest`.
        WeaviateError::Refused { message, .. } if message.contains("nothing to do here") => {
            BackupError::Nothing
        }
        WeaviateError::Refused { status, message, .. } => {
            // "try again later": a single node between two elections. An id that is taken is another one next time.
            let taken = ["already exists", "check if backup"].iter().any(|words| message.contains(words));
            let again = status >= 500 || taken;
            BackupError::NotAccepted { backup: backup.to_owned(), message, again }
        }
        error => error.into(),
    }
}

/// Whether the server says that it spoilt its own backup, which it does where an index began to be rebuilt in the middle:
/// `backup blocked: runtime-reindex in flight` of a shard that was not yet taken, `backup spanned a runtime-reindex` at the
/// end (entities/backup/errors.go). What it rebuilt ends by itself, and another backup is as good.
pub fn is_spoilt(error: &BackupError) -> bool {
    matches!(
        error,
        BackupError::Ended { state: State::Failed, message, .. } if message.contains("runtime-reindex")
    )
}

/// The server's only slot is taken for up to 10 s after the backup before it has ended (recording 05).
const SLOT: Limits = Limits::new(Duration::from_secs(20), Duration::from_millis(250), Duration::from_secs(2));

/// Gives the order; the collections that will be in the backup. A server that is at something else is waited for, `blocked`
/// at the most.
pub async fn order(
    client: &Client,
    backend: Backend,
    order: &BackupOrder,
    blocked: Duration,
    status: &Status,
) -> Result<Vec<String>, BackupError> {
    let begun = Instant::now();
    let note = |error: &BackupError| tracing::info!(%error, "{} is ordered again: {error}", order.id);
    let ask =
        || async { client.start_backup(backend, order).await.map_err(|error| refused(&order.id, error)) };
    let taken = loop {
        // No try is begun after it: clients may be kept out meanwhile.
        let left = blocked.saturating_sub(begun.elapsed());
        let slot = Limits { deadline: SLOT.deadline.min(left), ..SLOT };
        match retry(slot, note, ask).await {
            // With less time than a pause it would be asked again and again without one.
            Err(BackupError::Blocked { message }) if begun.elapsed() + SLOT.first < blocked => {
                status.say(Work::Backup, format!("waits for the server: {message}"));
            }
            ended => break ended?,
        }
    };
    tracing::info!(backup_id = order.id, "the server makes {}: {:?}", order.id, taken.classes);
    Ok(taken.classes)
}

/// A server that writes beside its data may take what serving needs: above 90 % it sets its shards READONLY.
pub fn no_room(backend: Backend, mount: &Path, room: Room) -> Result<(), BackupError> {
    let (free, kept) = (room.free, room.kept());
    if backend == Backend::Filesystem && free < kept {
        let mount = mount.display().to_string();
        return Err(BackupError::NoRoom { mount, free: free >> 20, kept: kept >> 20 });
    }
    Ok(())
}

/// Waits until the order has ended well. `moved` grows with what was carried away; the volume's free space tells of what
/// the server writes.
pub async fn wait(
    client: &Client,
    backend: Backend,
    backup: &str,
    mount: &Path,
    moved: &AtomicU64,
    patience: Patience,
    status: &Status,
) -> Result<(), BackupError> {
    let sight = || {
        let room = Room::look(mount)?;
        no_room(backend, mount, room)?;
        Ok::<_, BackupError>((room.free, moved.load(Ordering::Relaxed)))
    };
    let mut seen = sight()?;
    let (mut last, mut answered) = (Instant::now(), Instant::now());
    loop {
        match client.backup_status(backend, backup).await {
            Ok(now) => {
                answered = Instant::now();
                match now.state {
                    State::Success => return Ok(()),
                    State::Failed | State::Canceled => {
                        let (backup, state, message) = (backup.to_owned(), now.state, now.error);
                        return Err(BackupError::Ended { backup, state, message });
                    }
                    State::Started
                    | State::Transferring
                    | State::Transferred
                    | State::Finalizing
                    | State::Cancelling
                    | State::Unknown(_) => {}
                }
            }
            Err(WeaviateError::Refused { status: 404, .. }) => {
                return Err(BackupError::Forgotten { backup: backup.to_owned() });
            }
            Err(error) if error.class() == Class::Final || answered.elapsed() > patience.silent => {
                return Err(error.into());
            }
            Err(error) => tracing::warn!(%error, "the backup is asked after again: {error}"),
        }
        let now = sight()?;
        if now != seen {
            seen = now;
            last = Instant::now();
            status.alive();
        }
        if last.elapsed() > patience.quiet {
            return Err(BackupError::Stalled { backup: backup.to_owned(), quiet: patience.quiet });
        }
        tokio::time::sleep(patience.poll).await;
    }
}

/// A participant that is packing looks for it between two files.
const CANCEL: Duration = Duration::from_secs(30);
const ASK: Duration = Duration::from_millis(100);

/// Ends what is at work, and waits until the server does nothing for it any more; best effort, because what it is for
/// has failed already.
pub async fn cancel(client: &Client, backend: Backend, backup: &str, status: &Status) {
    match client.cancel_backup(backend, backup).await {
        Ok(()) => status.say(Work::Backup, format!("cancelled {backup}")),
        // It has ended, or this server never heard of it.
        Err(error) => return tracing::debug!(%error, "{backup} is not cancelled: {error}"),
    }
    let end = Instant::now() + CANCEL;
    while Instant::now() < end {
        match client.backup_status(backend, backup).await {
            Ok(now) if !matches!(now.state, State::Success | State::Failed | State::Canceled) => {}
            Ok(_) | Err(WeaviateError::Refused { .. }) => return,
            Err(error) => tracing::debug!(%error, "the end of {backup} cannot be seen: {error}"),
        }
        tokio::time::sleep(ASK).await;
    }
    tracing::warn!("{backup} was cancelled, and has not ended within {} s", CANCEL.as_secs());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_needs_stays_free() {
        let rows = [
            (Backend::Filesystem, 110, true),
            (Backend::Filesystem, 109, false),
            // Nothing is written beside the data.
            (Backend::S3, 0, true),
        ];
        for (backend, free, expected) in rows {
            let room = Room { free, total: 1000 };
            let refused = no_room(backend, Path::new("/m"), room);
            assert_eq!(refused.is_ok(), expected, "{backend:?} {free}");
            assert!(matches!(refused, Ok(()) | Err(BackupError::NoRoom { kept: 0, .. })), "{refused:?}");
        }
    }

    #[test]
    fn a_backup_that_the_server_spoilt_is_told_from_one_that_failed() {
        let ended = |state, message: &str| BackupError::Ended {
            backup: "b".to_owned(),
            state,
            message: message.to_owned(),
        };
        let rows = [
            (
                ended(State::Failed, "node \"n\": backup blocked: runtime-reindex in flight: shard \"s\""),
                true,
            ),
            (
                ended(State::Failed, "backup spanned a runtime-reindex: collection \"Article\" was migrated"),
                true,
            ),
            (ended(State::Canceled, "backup spanned a runtime-reindex"), false),
            (ended(State::Failed, "write file: no space left on device"), false),
            (BackupError::Blocked { message: "backup blocked: runtime-reindex in flight".to_owned() }, false),
        ];
        for (error, expected) in rows {
            assert_eq!(is_spoilt(&error), expected, "{error}");
        }
    }

    #[test]
    fn each_refusal_means_something_else() {
        let said = |status, message: &str| {
            let (call, message) = ("POST /v1/backups/filesystem".to_owned(), message.to_owned());
            refused("b", WeaviateError::Refused { call, status, message })
        };
        assert!(matches!(said(422, "backup full-1 already in progress"), BackupError::Busy { .. }));
        for words in [
            "backup blocked: runtime-reindex in flight",
            "node \"n\": cannot commit : backup blocked: whether a runtime-reindex",
        ] {
            assert!(matches!(said(422, words), BackupError::Blocked { .. }), "{words}");
        }
        let nothing = "no available classes to backup, there's nothing to do here";
        assert!(matches!(said(422, nothing), BackupError::Nothing));
        let taken = "backup \"b\" already exists at \"/backups/b\"";
        let rows = [
            (422, taken, true),
            (500, "leader not found, try again later", true),
            (422, "code 608", false),
            (422, "class Nobody doesn't exist", false),
        ];
        for (status, message, expected) in rows {
            let error = said(status, message);
            assert!(
                matches!(error, BackupError::NotAccepted { again, .. } if again == expected),
                "{message}"
            );
        }
        let malformed = WeaviateError::Malformed { call: "GET".to_owned(), what: "x".to_owned() };
        assert!(matches!(refused("b", malformed), BackupError::Server(_)));
    }
}
