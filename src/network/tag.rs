//! The tag that says that the deployment has had a backup: from then on it never starts empty.
//!
//! It is set beside the last steps of the boot, once a backup was restored and the generation is ours. A tag that
//! cannot be set does not keep verified data from its clients: it is a warning of the report, and the next run
//! looks and sets it. The manifest names the backup meanwhile, so nothing starts empty for want of the tag alone.

use std::time::Duration;

use aws_sdk_ec2::types::Tag;

use super::NetworkError;
use super::eni::{INITIALIZED_TAG, LocatedEni};
use crate::aws::failed;
use crate::host::Host;
use crate::instance::Identity;
use crate::report::{Evidence, How, Step};
use crate::retry::{Limits, retry};

/// Less than a client would notice: the boot waits for it before it says READY.
pub(super) const LIMITS: Limits =
    Limits::new(Duration::from_secs(20), Duration::from_millis(500), Duration::from_secs(5));

/// How the tag stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    Set,
    /// It was there when the interface was located.
    Already,
    /// An empty database has no backup that a successor would miss.
    NoBackup,
    /// Warned of; the next run sets it.
    Unset,
}

impl Evidence for Marked {
    fn how(&self) -> How {
        match self {
            Self::Set => How::Done,
            Self::Already => How::Reused,
            Self::NoBackup => How::Skipped,
            Self::Unset => How::Failed,
        }
    }
}

/// Sets the tag `weaviate:initialized`, unless the interface had it when it was located, or no backup was
/// restored. Setting it twice is setting it once.
pub async fn mark_initialized(
    host: &Host,
    identity: &Identity,
    eni: &LocatedEni,
    backup_id: Option<&str>,
) -> Result<Marked, NetworkError> {
    let Some(backup) = backup_id else { return Ok(Marked::NoBackup) };
    if eni.initialized() {
        return Ok(Marked::Already);
    }
    let ec2 = &host.aws(identity.region()).await.ec2;
    let note = |error: &NetworkError| host.status.say(Step::Mark, format!("tries again: {error}"));
    let work = retry(LIMITS, note, || async {
        let tag = Tag::builder().key(INITIALIZED_TAG).value("true").build();
        let sent = ec2.create_tags().resources(eni.id()).tags(tag).send().await;
        sent.map(drop).map_err(|error| NetworkError::from(failed("ec2:CreateTags", &error)))
    });
    // One call that hangs must not take what is left for the others.
    let why = match tokio::time::timeout(LIMITS.deadline, work).await {
        Ok(Ok(())) => {
            tracing::info!(eni = eni.id(), backup_id = backup, "tagged {} as initialized", eni.id());
            return Ok(Marked::Set);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("nothing within {} s", LIMITS.deadline.as_secs()),
    };
    host.status.warn(format!(
        "the tag {INITIALIZED_TAG} could not be set on {}: {why}; the next run tries again, or set it by hand",
        eni.id()
    ));
    Ok(Marked::Unset)
}
