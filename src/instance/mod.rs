//! Who this machine is, from IMDSv2 only.
//!
//! ```text
//! PUT /latest/api/token ──▶ GET each leaf ──401──▶ a new token, once ──▶ GET again
//!          │ late, 5xx, 429: again until the deadline      │ 404: absent (optional) or again (required)
//!          └ 403: switched off, final                      ▼
//!                                                       Identity
//! ```
//!
//! There is no way back to IMDSv1: a token that cannot be had is an error, never a request without one.
//!
//! To add a leaf: read it in `identify` with `required` or [`Metadata::get`], and give it an accessor.

mod error;
mod imds;
mod settings;

pub use error::InstanceError;
pub use imds::Metadata;
pub use settings::Settings;

use std::time::Duration;

use crate::host::Host;
use crate::report::Step;
use crate::retry::{Limits, retry};

/// The service of a fresh instance can be seconds late (nodeadm's e2e case has it 10 s late); a leaf that must
/// exist can be missing for as long (eks-ami #1970). A pause of 100 ms costs little beside them.
const LIMITS: Limits =
    Limits::new(Duration::from_mins(2), Duration::from_millis(100), Duration::from_secs(5));
/// The last try has six leaves, each with its token, and once more with a new one.
#[cfg(test)]
pub(crate) const LONGEST: Duration =
    Duration::from_secs(LIMITS.deadline.as_secs() + 6 * 4 * imds::TIMEOUT.as_secs());

/// Evidence: this instance, as its metadata service told it.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::instance::Identity;
/// fn forge(evidence: Identity) -> Identity { Identity { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::instance::Identity;
/// fn hand_on(evidence: Identity) -> Identity { evidence }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    instance_id: String,
    instance_type: String,
    zone: String,
    region: String,
    primary_mac: String,
    /// `autoscaling/target-lifecycle-state`; `None` where the instance never was in a group (404).
    lifecycle_target: Option<String>,
    /// The kernel's, new at every boot.
    boot_id: String,
}

impl Identity {
    pub fn instance_id(&self) -> &str {
        &self.instance_id
    }
    pub fn instance_type(&self) -> &str {
        &self.instance_type
    }
    pub fn zone(&self) -> &str {
        &self.zone
    }
    pub fn region(&self) -> &str {
        &self.region
    }
    pub fn primary_mac(&self) -> &str {
        &self.primary_mac
    }
    pub fn lifecycle_target(&self) -> Option<&str> {
        self.lifecycle_target.as_deref()
    }
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    #[cfg(test)]
    pub(crate) fn for_tests(instance_id: &str) -> Self {
        Self {
            instance_id: instance_id.to_owned(),
            instance_type: "c8gd.xlarge".to_owned(),
            zone: "eu-central-1a".to_owned(),
            region: "eu-central-1".to_owned(),
            primary_mac: "02:00:00:00:01:10".to_owned(),
            lifecycle_target: None,
            boot_id: "boot".to_owned(),
        }
    }
}

/// Asks the metadata service who this instance is.
pub async fn identify(host: &Host) -> Result<Identity, InstanceError> {
    host.status.say(Step::Identify, "asks the instance metadata service");
    let metadata = Metadata::new(&host.roots.metadata)?;
    let boot_id = boot_id(host)?;
    let identity = ask(&metadata, LIMITS, boot_id).await?;
    tracing::info!(
        instance = %identity.instance_id,
        "this is {}, a {} in {}, on its way to {}",
        identity.instance_id,
        identity.instance_type,
        identity.zone,
        identity.lifecycle_target.as_deref().unwrap_or("no state of a group")
    );
    Ok(identity)
}

/// How often the life after the boot looks at the metadata: the service limits bursts, and nothing here is urgent.
const LOOK: std::time::Duration = std::time::Duration::from_secs(5);

/// Waits for as long as the instance's target state is `known`. Has no deadline: a pool may rest for days.
pub async fn until_target_changes(host: &Host, known: &str) -> Result<(), InstanceError> {
    let metadata = Metadata::new(&host.roots.metadata)?;
    loop {
        tokio::time::sleep(LOOK).await;
        host.status.alive();
        match metadata.get("autoscaling/target-lifecycle-state").await {
            Ok(Some(now)) if now != known => return Ok(()),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "looks at the target state again"),
        }
    }
}

/// The kernel's id of this boot: known without the metadata service.
pub fn boot_id(host: &Host) -> Result<String, InstanceError> {
    let path = host.roots.proc.join("sys/kernel/random/boot_id");
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(InstanceError::BootId { path, source }),
    }
}

async fn ask(metadata: &Metadata, limits: Limits, boot_id: String) -> Result<Identity, InstanceError> {
    let note = |error: &InstanceError| tracing::debug!(%error, "asks the metadata service again");
    retry(limits, note, || async {
        // One after the other: a leaf is under a millisecond away, and the service limits bursts.
        Ok(Identity {
            instance_id: metadata.required("instance-id").await?,
            instance_type: metadata.required("instance-type").await?,
            zone: metadata.required("placement/availability-zone").await?,
            region: metadata.required("placement/region").await?,
            primary_mac: metadata.required("mac").await?.to_ascii_lowercase(),
            lifecycle_target: metadata.get("autoscaling/target-lifecycle-state").await?,
            boot_id: boot_id.clone(),
        })
    })
    .await
}

#[cfg(test)]
mod tests;
