//! What other commands ask of the `run` that serves.
//!
//! ```text
//! what a killed run left of a backup is removed
//! Desk ─┬▶ backup ─┬─ made   ─▶ the ENI is marked: this deployment has had a backup
//!       └▶ prune ──┼─ failed ─▶ the sentence, to whoever asked and to the journal
//!                  └─ the manifest is another instance's ─▶ Loss: the door closes, and the next run decides
//! ```

use std::time::Duration;

use tokio::sync::mpsc;

use crate::backup::{self, BackupError, Made, Order};
use crate::control::{Answer, Desk, Ordered, Request};
use crate::explain::{Class, Failure};
use crate::host::Host;
use crate::instance::Identity;
use crate::manifest::ManifestError;
use crate::network::{self, Serving};
use crate::watch::{self, Loss};

/// Between two lines to whoever waits.
const SAY: Duration = Duration::from_secs(1);
/// The step of a [`Failure`] that was found here.
const STEP: &str = "backup";

/// Does what is asked for, until the node turns out to be another's.
pub async fn attend(host: &Host, me: &Identity, serving: &Serving, desk: Desk) -> Loss {
    if let Err(error) = Box::pin(backup::clean_up(host, me, serving)).await {
        tracing::warn!(%error, "what is left of a backup that came to no end is removed by the next one: {error}");
    }
    let (dethroned, mut told_so) = mpsc::channel(1);
    let work = async |order: Ordered| {
        let done = match order.request.clone() {
            Request::Backup(what) => {
                let made = told(host, &order, Box::pin(back_up(host, me, serving, &what))).await;
                made.map(Answer::Made)
            }
            Request::Prune { apply } => {
                let pruned = told(host, &order, Box::pin(backup::prune(host, me, serving, apply))).await;
                pruned.map(Answer::Pruned)
            }
        };
        match done {
            Ok(answer) => order.ends(answer),
            Err(error) => {
                let failure = Failure::new(STEP, &error);
                tracing::error!(step = STEP, error_class = failure.class.name(), "{failure}");
                order.ends(Answer::Failed(failure.clone()));
                if let BackupError::Manifest(ManifestError::Lost { .. }) = error {
                    // Whoever holds the address is the owner: the next run looks, and serves what is named now, or
                    // waits. A full channel knows it already.
                    let _ = dethroned.try_send(Failure { class: Class::Retry, ..failure });
                }
            }
        }
    };
    tokio::select! {
        () = desk.serve(work) => std::future::pending().await,
        Some(failure) = told_so.recv() => watch::another_owns(host, failure).await,
    }
}

async fn back_up(host: &Host, me: &Identity, serving: &Serving, order: &Order) -> Result<Made, BackupError> {
    let made = backup::back_up(host, me, serving, order).await?;
    // What cannot be set is warned of; the manifest names the backup in any case.
    if let Err(error) = network::mark_initialized(host, me, serving.eni().eni(), Some(&made.id)).await {
        tracing::warn!(%error, "the interface is not marked: {error}");
    }
    Ok(made)
}

/// `work`, and what the status says meanwhile to whoever asked for it.
async fn told<T>(host: &Host, order: &Ordered, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(SAY);
    let mut said = String::new();
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = ticks.tick() => {
                let (line, _) = host.status.read();
                if line != said && !line.is_empty() {
                    order.says(line.clone());
                    said = line;
                }
            }
        }
    }
}
