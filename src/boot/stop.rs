//! The clean stop, when the machine goes down in order: the next boot compares with what is counted here.
//!
//! ```text
//! Serving ─▶ withdraw ─▶ Closed ─▶ count ─▶ LastCount ─▶ server stopped, exit code 0 ─▶ clean_stop in the record
//! ```
//!
//! Whatever fails leaves the record without a clean stop, and the next boot says so.

use super::restore;
use crate::container::{self, ContainerError, LastWords};
use crate::explain::Failure;
use crate::host::Host;
use crate::network::{self, Serving};

/// Closes the door, counts, and stops the server.
pub async fn stop(host: &Host, serving: &Serving) -> Result<(), Failure> {
    let closed = network::withdraw(host).await.map_err(|error| Failure::new("stop", &error))?;
    let counted = restore::count_last(host, serving.running(), &closed).await;
    // Docker would stop it too, and after ten seconds kill it: a flush may take longer.
    let stopped = in_order(host, serving).await;
    let counted = counted.map_err(|error| Failure::new("stop", &error))?;
    stopped.map_err(|error| Failure::new("stop", &error))?;
    restore::note_stop(serving.running(), counted).map_err(|error| Failure::new("stop", &error))
}

async fn in_order(host: &Host, serving: &Serving) -> Result<(), ContainerError> {
    container::stop(host, serving.running()).await?;
    match container::last_words(host, serving.running()).await? {
        LastWords { code: Some(0), .. } => Ok(()),
        LastWords { code, oom, log } => Err(ContainerError::Exited { code: code.unwrap_or(-1), oom, log }),
    }
}
