//! Programs of the user's, before a backup and after it: to hold an indexing job, to tell somebody.
//!
//! ```text
//! before … ID ─┬─ 0 ─▶ the backup ─┬─▶ after … ID made | held-back | failed
//!              └─ else ─▶ none ────┘
//! ```
//!
//! Whatever `before` has begun `after` ends: also where the backup fails, and, by the next run, where this one is killed.

use super::error::BackupError;
use super::{Job, Made};
use crate::process;
use crate::report::Work;

/// How a backup ended, as `after` is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Made,
    /// In the bucket, and not named by the manifest.
    HeldBack,
    Failed,
}

impl Ending {
    pub const fn of(made: Option<&Made>) -> Self {
        match made {
            Some(Made { held_back: None, .. }) => Self::Made,
            Some(Made { held_back: Some(_), .. }) => Self::HeldBack,
            None => Self::Failed,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::HeldBack => "held-back",
            Self::Failed => "failed",
        }
    }
}

/// Runs `backup.before`; without its consent there is no backup.
pub async fn before(job: &Job<'_>, id: &str) -> Result<(), BackupError> {
    let making = &job.host.settings.making;
    let Some(hook) = &making.before else { return Ok(()) };
    job.host.status.say(Work::Backup, format!("runs `backup.before` for {id}"));
    let arguments: Vec<&str> = hook.iter().skip(1).map(String::as_str).chain([id]).collect();
    let program = hook.first().map_or("", String::as_str);
    match process::run(program, &arguments, None, making.hook_deadline).await {
        Ok(_) => Ok(()),
        Err(source) => Err(BackupError::Hook { source }),
    }
}

/// Runs `backup.after`. That it fails changes nothing: what it is told of has happened.
pub async fn after(job: &Job<'_>, id: &str, ending: Ending) {
    let making = &job.host.settings.making;
    let Some(hook) = &making.after else { return };
    job.host.status.say(Work::Backup, format!("runs `backup.after` for {id}"));
    let arguments: Vec<&str> = hook.iter().skip(1).map(String::as_str).chain([id, ending.name()]).collect();
    let program = hook.first().map_or("", String::as_str);
    if let Err(error) = process::run(program, &arguments, None, making.hook_deadline).await {
        job.host.status.warn(format!("`backup.after` for {id}, which is {}, failed: {error}", ending.name()));
    }
}
