//! The clean stop: what the server holds when its last client is gone, written down for the next boot.

use std::time::Duration;

use super::super::error::RestoreError;
use super::super::{kept, verify};
use super::client;
use crate::container::Running;
use crate::host::Host;
use crate::manifest::Collections;
use crate::report::Work;

/// Evidence: counted with the door closed.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::restore::LastCount;
/// fn forge(evidence: LastCount) -> LastCount { LastCount { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::restore::LastCount;
/// fn hand_on(evidence: LastCount) -> LastCount { evidence }
/// ```
#[derive(Debug)]
pub struct LastCount {
    collections: Collections,
}

/// Between two counts: as long as the server may take to apply what it has accepted and not yet shown.
const QUIET: Duration = Duration::from_secs(1);
/// For the last count in all. The server itself drains requests for 15 s when it stops (weaviate,
/// adapters/handlers/rest/configure_server.go), and a machine's end waits for this too.
const LAST: Duration = Duration::from_secs(30);

/// Counts for the last time: until two counts are the same, because a request that came in before the door closed
/// may still be at work. `_closed`: no client can send another.
pub async fn count_last(
    host: &Host,
    running: &Running,
    _closed: &crate::network::Closed,
) -> Result<LastCount, RestoreError> {
    host.status.say(Work::Stop, "counts for the last time");
    let client = client(running, running.secrets());
    let seen = verify::count_at_rest(&client, &host.status, QUIET, LAST).await?;
    Ok(LastCount { collections: seen.collections })
}

/// Writes the count into the volume's record: from now on a difference is a fault, until the node serves again.
pub fn note_stop(running: &Running, counted: LastCount) -> Result<(), RestoreError> {
    let LastCount { collections } = counted;
    let volume = running.volume();
    let mut record = volume.reread()?;
    record.clean_stop = Some(kept::to_record(&collections));
    record.served = None;
    let synced = volume.sync()?;
    Ok(volume.write_of_data(&record, &synced)?)
}
