//! The clean stop: what the server holds when its last client is gone, written down for the next boot.

use super::super::error::RestoreError;
use super::super::{kept, verify};
use super::client;
use crate::container::Running;
use crate::host::Host;
use crate::manifest::Collections;

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

/// Counts for the last time. `_closed`: no client can change anything any more.
pub async fn count_last(
    host: &Host,
    running: &Running,
    _closed: &crate::network::Closed,
) -> Result<LastCount, RestoreError> {
    host.status.say("stop", "counts for the last time");
    let seen = verify::count(&client(running, running.secrets()), &host.status).await?;
    Ok(LastCount { collections: seen.collections })
}

/// Writes the count into the volume's record: from now on a difference is a fault, until the node serves again.
pub fn note_stop(running: &Running, counted: LastCount) -> Result<(), RestoreError> {
    let LastCount { collections } = counted;
    let volume = running.volume();
    let mut record = volume.reread()?;
    record.clean_stop = Some(kept::to_record(&collections));
    Ok(volume.write_record(&record)?)
}
