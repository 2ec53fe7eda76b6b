//! What other commands ask of the `run` that serves.
//!
//! ```text
//! what a killed run left of a backup, a drill or a restore is settled
//! `backup.marker` was written ─▶ an order of our own
//! Desk ─┬▶ backup ─┬─ made   ─▶ the ENI is marked: this deployment has had a backup
//!       ├▶ drill ──┤
//!       ├▶ restore ┤
//!       └▶ prune ──┼─ failed ─▶ the sentence, to whoever asked and to the journal
//!                  └─ the manifest is another instance's ─▶ Loss: the door closes, and the next run decides
//! ```

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::backup::{self, BackupError, Last, Made, Order};
use crate::control::{Answer, Desk, Ordered, Orders, Request};
use crate::drill::{self, DrillError};
use crate::explain::{Class, Failure};
use crate::host::Host;
use crate::instance::Identity;
use crate::manifest::ManifestError;
use crate::network::{self, Serving};
use crate::regain::{self, RegainError};
use crate::watch::{self, Loss};

/// Between two lines to whoever waits.
const SAY: Duration = Duration::from_secs(1);

/// Does what is asked for, until the node turns out to be another's.
pub async fn attend(host: &Host, me: &Identity, serving: &Serving, desk: Desk) -> Loss {
    if let Err(error) = Box::pin(backup::clean_up(host, me, serving)).await {
        tracing::warn!(%error, "what is left of a backup that came to no end is removed by the next one: {error}");
    }
    if let Err(error) = drill::clean_up(host).await {
        tracing::warn!(%error, "what is left of a drill that came to no end is removed by the next one: {error}");
    }
    if let Err(error) = Box::pin(regain::clean_up(host, me, serving)).await {
        tracing::warn!(%error, "what is left of a restore that came to no end is settled by the next one: {error}");
    }
    let (dethroned, mut told_so) = mpsc::channel(1);
    let work = async |order: Ordered| {
        let done = match order.request.clone() {
            Request::Backup(what) => {
                let made = told(host, &order, Box::pin(back_up(host, me, serving, &what, &order)));
                if let Some(made) = unless_cancelled(&order, made).await {
                    made.map(Answer::Made).map_err(Trouble::from)
                } else {
                    let cleaned = Box::pin(backup::clean_up(host, me, serving)).await;
                    Err(cleaned.map_or_else(Trouble::from, |()| BackupError::Cancelled.into()))
                }
            }
            Request::Prune { apply } => {
                let pruned = told(host, &order, Box::pin(backup::prune(host, me, serving, apply)));
                // What it has begun the next one ends.
                let pruned = unless_cancelled(&order, pruned).await.unwrap_or(Err(BackupError::Cancelled));
                pruned.map(Answer::Pruned).map_err(Trouble::from)
            }
            Request::Drill { id } => {
                let drilled =
                    drill::drill(host, me, serving.running().into(), id.as_deref(), |id| order.is_about(id));
                let drilled = match unless_cancelled(&order, told(host, &order, Box::pin(drilled))).await {
                    Some(drilled) => drilled,
                    None => drill::clean_up(host).await.and(Err(DrillError::Cancelled)),
                };
                drilled
                    .map(Answer::Drilled)
                    .map_err(|error| Trouble { failure: Failure::new("drill", &error), lost: false })
            }
            Request::Restore(what) => {
                let regained = regain::regain(host, me, serving, &what, |id| order.is_about(id));
                let regained = told(host, &order, Box::pin(regained));
                let regained = match unless_cancelled(&order, regained).await {
                    Some(regained) => regained,
                    None => {
                        Box::pin(regain::clean_up(host, me, serving)).await.and(Err(RegainError::Cancelled))
                    }
                };
                regain::keep(host, order.about().as_deref(), regained.as_ref());
                regained
                    .map(Answer::Regained)
                    .map_err(|error| Trouble { failure: Failure::new("restore", &error), lost: false })
            }
            // The desk's own.
            Request::Cancel { .. } => Ok(Answer::Cancelled { was: false }),
        };
        let at = host.now();
        match (&order.request, &done) {
            (_, Ok(Answer::Made(made))) => backup::note(host, &Last::Made { made: made.clone(), at }),
            (Request::Backup(_), Err(Trouble { failure, .. })) => {
                let id = order.about();
                backup::note(host, &Last::Failed { id, failure: failure.clone(), at });
            }
            _ => {}
        }
        match done {
            Ok(answer) => order.ends(answer).await,
            Err(Trouble { failure, lost }) => {
                tracing::error!(step = failure.step, error_class = failure.class.name(), "{failure}");
                order.ends(Answer::Failed(failure.clone())).await;
                if lost {
                    // Whoever holds the address is the owner: the next run looks, and serves what is named now, or
                    // waits. A full channel knows it already.
                    let _ = dethroned.try_send(Failure { class: Class::Retry, ..failure });
                }
            }
        }
    };
    let orders = desk.orders();
    tokio::select! {
        never = follow(host, me, &orders) => match never {},
        () = desk.serve(work) => std::future::pending().await,
        Some(failure) = told_so.recv() => watch::another_owns(host, failure).await,
    }
}

/// The work's end; `None` where somebody wanted it to end before, and it was dropped.
async fn unless_cancelled<T>(order: &Ordered, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = order.cancelled() => None,
    }
}

/// Why an order came to nothing.
struct Trouble {
    failure: Failure,
    /// The manifest is another instance's.
    lost: bool,
}

impl From<BackupError> for Trouble {
    fn from(error: BackupError) -> Self {
        let lost = matches!(error, BackupError::Manifest(ManifestError::Lost { .. }));
        Self { failure: Failure::new("backup", &error), lost }
    }
}

/// Orders a backup for each writing of `backup.marker`.
async fn follow(host: &Host, me: &Identity, orders: &Orders) -> Infallible {
    let making = &host.settings.making;
    if making.marker.is_none() {
        return std::future::pending().await;
    }
    let mut pace = backup::Pace::new(making.marker_every);
    loop {
        tokio::time::sleep(pace.pause()).await;
        match backup::waiting(host, me).await {
            Ok(None) => pace.succeeded(),
            Ok(Some(marker)) => {
                tracing::info!("`backup.marker` was written ({marker}): a backup is made for it");
                let order = Order { marker: Some(marker), ..Order::default() };
                match orders.place(Request::Backup(order)).await {
                    Some(Answer::Made(_)) => pace.succeeded(),
                    // Said where it was done.
                    Some(_) => pace.failed(),
                    // Nobody serves the desk: so nobody waits for this either.
                    None => return std::future::pending().await,
                }
            }
            // A look costs little: it is had again as soon as ever.
            Err(error) => tracing::warn!(%error, "`backup.marker` cannot be looked for: {error}"),
        }
    }
}

async fn back_up(
    host: &Host,
    me: &Identity,
    serving: &Serving,
    what: &Order,
    order: &Ordered,
) -> Result<Made, BackupError> {
    let made = backup::back_up(host, me, serving, what, |id| order.is_about(id)).await?;
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
