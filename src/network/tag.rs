//! The tag that says that the deployment has had a backup: from then on it never starts empty.

use std::time::Duration;

use aws_sdk_ec2::types::Tag;

use super::NetworkError;
use super::eni::{INITIALIZED_TAG, LocatedEni};
use crate::aws::failed;
use crate::host::Host;
use crate::instance::Identity;
use crate::retry::{Limits, retry};

const LIMITS: Limits =
    Limits::new(Duration::from_mins(2), Duration::from_millis(500), Duration::from_secs(10));

/// Sets the tag `weaviate:initialized`, unless the interface had it when it was located. Setting it twice is
/// setting it once.
pub async fn mark_initialized(
    host: &Host,
    identity: &Identity,
    eni: &LocatedEni,
) -> Result<(), NetworkError> {
    if eni.initialized() {
        return Ok(());
    }
    let ec2 = &host.aws(identity.region()).await.ec2;
    let note = |error: &NetworkError| host.status.say("mark", format!("tries again: {error}"));
    retry(LIMITS, note, || async {
        let tag = Tag::builder().key(INITIALIZED_TAG).value("true").build();
        let sent = ec2.create_tags().resources(eni.id()).tags(tag).send().await;
        sent.map(drop).map_err(|error| NetworkError::from(failed("ec2:CreateTags", &error)))
    })
    .await?;
    host.status.done("mark");
    tracing::info!(eni.id = eni.id(), "tagged the interface as initialized");
    Ok(())
}
