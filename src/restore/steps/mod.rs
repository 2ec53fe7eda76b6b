//! The steps of the boot that belong to this domain, in their order: one file each.

mod choose;
mod refresh;
mod restore;
mod stage;
mod stop;
mod verify;
mod warm;

pub use choose::{choose, connect, connect_writer};
pub use refresh::refresh;
pub use restore::restore;
pub use stage::{plan, stage};
pub use stop::{LastCount, count_last, note_stop};
pub use verify::verify;
pub use warm::{clear, warm};

use std::time::Duration;

use crate::container::Running;
use crate::explain::Explain;
use crate::host::Host;
use crate::report::Step;
use crate::retry::Limits;
use crate::secrets::Secrets;
use crate::weaviate::Client;

/// What only asks is asked again for so long before the whole run is given up: a run costs a minute.
const ASK: Limits = Limits::new(Duration::from_secs(90), Duration::from_millis(300), Duration::from_secs(10));

/// Both keys of `backup.credentials`, one after the other, and the look.
#[cfg(test)]
pub(crate) const CHOOSE_LONGEST: Duration =
    Duration::from_secs(2 * crate::secrets::LONGEST.as_secs() + ASK.deadline.as_secs());
#[cfg(test)]
pub(crate) const WARM_LONGEST: Duration = warm::BUDGET;

/// Says that something is tried again, which is a sign of life too.
fn again<E: Explain>(host: &Host, step: Step) -> impl FnMut(&E) {
    move |error| host.status.say(step, format!("tries again: {error}"))
}

fn client(running: &Running, secrets: &Secrets) -> Client {
    Client::new(&running.base_url(), Some(secrets.admin().clone()))
}
