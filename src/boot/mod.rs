//! The boot on one screen: each line is a box of the drawing, each argument the evidence that it needs.
//!
//! ```text
//!  identify ─┬─▶ locate ─┬─▶ claim ────────────────────────────────────────┐
//!            │           ├─▶ choose ───────▶ stage ─┐                      │
//!            │           │                    ▲     ├─▶ restore ─▶ verify ─┴─▶ refresh
//!            ├─▶ prepare ┼──────────────┬─────┘     │                             │
//!            │           │              ▼           │                             ▼
//!            │           └─▶ place ─┬─▶ start ──────┘           mark ◀─┬────── take over
//!            ├─▶ fetch ─────────────┤                                  ▼
//!            └─▶ image ─────────────┘             probe ◀─ expose ◀─ warm
//! ```
//!
//! `┼` is a crossing. `mark` and `probe` both end before anybody is told that the node serves.
//!
//! To add a step: its function from evidence to evidence in its domain, a variant of [`Step`], one line here.

mod deadline;
mod evidence;
mod settings;
mod stop;

pub use deadline::allowed;
pub use settings::Settings;
pub use stop::stop;

use futures_util::FutureExt as _;
use tokio::try_join;

use crate::explain::Failure;
use crate::host::Host;
use crate::instance::Identity;
use crate::network::Serving;
use crate::report::{Step, Timeline};
use crate::{container, disk, manifest, network, restore, secrets};

/// From a bare instance to a node that serves verified data.
pub async fn boot(host: &Host, t: &Timeline, me: &Identity) -> Result<Serving, Failure> {
    // Futures are lazy: all start at the last `try_join!`, each as soon as it holds its evidence.
    // The first failure drops the rest, so a step must survive being dropped.
    let located = t.step(Step::Locate, network::locate(host, me)).boxed().shared();
    let volume = t.step(Step::Prepare, disk::prepare(host, me)).boxed().shared();
    let secrets = t.step(Step::Fetch, secrets::fetch(host, me)).boxed().shared();
    let image = t.step(Step::Image, container::ready_image(host));

    let eni = async { t.step(Step::Claim, network::claim(host, me, &located.clone().await?)).await };
    let placed = async { t.step(Step::Place, network::place_address(host, &located.clone().await?)).await };
    let chosen = async { t.step(Step::Choose, restore::choose(host, me, &located.clone().await?)).await };
    let staged = async {
        let (volume, chosen) = try_join!(volume.clone(), chosen)?;
        t.step(Step::Stage, Box::pin(restore::stage(host, &volume, chosen))).await
    };
    let running = async {
        let (placed, volume, secrets, image) = try_join!(placed, volume.clone(), secrets.clone(), image)?;
        let started = async {
            let plan = container::vend::plan(host, me).await?;
            container::start(host, &placed, &volume, &secrets, &image, &plan).await
        };
        t.step(Step::Start, started).await
    };
    let verified = async {
        let (staged, running, secrets) = try_join!(staged, running, secrets.clone())?;
        let restored = t.step(Step::Restore, restore::restore(host, staged, running, &secrets)).await?;
        t.step(Step::Verify, restore::verify(host, restored, &secrets)).await
    };
    let (verified, eni, secrets, located, volume) =
        try_join!(verified, eni, secrets.clone(), located.clone(), volume.clone())?;
    let fresh = t.step(Step::Refresh, restore::refresh(host, me, verified, &eni, &secrets)).await?;
    let again = async |moved, eni: &_| Box::pin(restore::refresh(host, me, moved, eni, &secrets)).await;
    let owned = t.step(Step::TakeOver, manifest::take_over(host, me, fresh, eni, again)).await?;
    let backup = owned.backup_id().map(str::to_owned);
    let marked = t.step(Step::Mark, network::mark_initialized(host, me, &located, backup.as_deref()));
    let serving = async {
        let warm = t.step(Step::Warm, restore::warm(host, owned, &secrets)).await?;
        let exposed = t.step(Step::Expose, network::expose(host, warm)).await?;
        t.step(Step::Probe, network::probe(host, exposed)).await
    };
    let cleared = restore::clear(host, &volume).map(Ok);
    let (_, (), serving) = try_join!(marked, cleared, serving)?;
    Ok(serving)
}
