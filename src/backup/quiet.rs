//! The server without writers, for as long as a backup takes its shards.
//!
//! ```text
//! ReadOnly ─▶ a write is refused: 503 ─▶ counted the same twice: requests in flight are done ─▶ Quiet
//! Quiet dropped, however it ends ─▶ ReadWrite ─▶ a write is taken again
//! ```
//!
//! A run that is killed meanwhile leaves it read-only until the next run, whose `fetch` begins open: systemd starts that
//! within seconds.

use std::time::Duration;

use tokio::time::Instant;

use super::Job;
use super::error::BackupError;
use crate::report::Work;
use crate::restore;
use crate::secrets::Secrets;

/// The server looks for its mode every second.
const OBEYS: Duration = Duration::from_secs(15);
const ASK: Duration = Duration::from_millis(100);
/// Requests that came in before: the server itself drains for 15 s when it stops.
const DRAIN: Duration = Duration::from_secs(30);
/// Between two counts.
const PAUSE: Duration = Duration::from_millis(500);
/// weaviate, adapters/handlers/rest (recording 25).
const READ_ONLY: u16 = 503;

/// Evidence: no client can write, and none is writing. Dropping it lets them again.
#[derive(Debug)]
pub struct Quiet {
    secrets: Secrets,
    owner: (u32, u32),
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Err(error) = self.secrets.let_write(true, self.owner) {
            tracing::error!(%error, "clients cannot write until the next run of the agent: {error}");
        }
    }
}

/// Keeps writers out; the first count of what they cannot change any more.
pub async fn quiesce(job: &Job<'_>) -> Result<(Quiet, restore::Seen), BackupError> {
    job.status().say(Work::Backup, "keeps writers out, and waits for those that are writing");
    let running = job.serving.running();
    let owner = job.serving.volume().owner();
    let quiet = Quiet { secrets: running.secrets().clone(), owner };
    quiet.secrets.let_write(false, owner)?;
    until(job, |status| status == READ_ONLY).await?;
    let seen = restore::count_at_rest(&job.client, job.status(), PAUSE, DRAIN).await?;
    Ok((quiet, seen))
}

/// Lets them write again, and sees that they can.
pub async fn release(job: &Job<'_>, quiet: Quiet) -> Result<(), BackupError> {
    drop(quiet);
    until(job, |status| status != READ_ONLY).await
}

/// A write that changes nothing is answered so.
async fn until(job: &Job<'_>, wanted: impl Fn(u16) -> bool) -> Result<(), BackupError> {
    let end = Instant::now() + OBEYS;
    loop {
        let status = job.client.harmless_write().await?;
        if wanted(status) {
            return Ok(());
        }
        if Instant::now() >= end {
            return Err(BackupError::Deaf { status });
        }
        tokio::time::sleep(ASK).await;
    }
}
