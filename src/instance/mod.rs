//! Who this machine is, from IMDSv2 only.

mod settings;

pub use settings::Settings;

/// Evidence: this instance, as its metadata service told it.
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
}
