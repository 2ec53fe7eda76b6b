//! What a case says about its cloud. Every field has a default; the default cloud is one group with one
//! instance in `Pending:Wait` and a free ENI.
//!
//! ```toml
//! enis = [{ owner = "i-0aaaaaaaaaaaaaa01" }]
//! instances = [{}, { id = "i-0aaaaaaaaaaaaaa01", address = "10.0.1.11", state = "shutting-down" }]
//! delays = { shutting_down = 8.0 }
//! ```
//!
//! A list replaces the default list; within an entry, what is left out keeps its default.

mod group;
mod network;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

pub use group::{GroupSpec, Hook, MemberSpec, Transition, Verdict, WarmPool};
pub use network::{Route, RouteTable, Rule, SecurityGroup, Subnet, Vpc};

use super::resources::InstanceState;
use network::{default_security_groups, default_subnets};

/// The instance in which the agent runs, by default.
pub const NEW: &str = "i-0aaaaaaaaaaaaaa02";
/// The instance that comes after it, where a case has one.
pub const NEXT: &str = "i-0aaaaaaaaaaaaaa03";
/// The instance that had the ENI before, where a case has one.
pub const OLD: &str = "i-0aaaaaaaaaaaaaa01";
/// The node's ENI.
pub const ENI: &str = "eni-0aaaaaaaaaaaaaa15";
/// The role of the instances' profile.
pub const ROLE: &str = "weaviate-node";
/// The group and its launching hook.
pub const GROUP: &str = "weaviate-0";
pub const HOOK: &str = "weaviate-ready";

const ZONE: &str = "eu-central-1a";

/// The whole cloud of a case.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloudSpec {
    pub region: String,
    pub account: String,
    pub vpc: Vpc,
    pub subnets: Vec<Subnet>,
    pub route_tables: Vec<RouteTable>,
    pub security_groups: Vec<SecurityGroup>,
    pub enis: Vec<EniSpec>,
    pub instances: Vec<InstanceSpec>,
    pub groups: Vec<GroupSpec>,
    pub delays: Delays,
    pub secrets: Vec<SecretSpec>,
    pub parameters: Vec<ParameterSpec>,
    pub credentials: CredentialSpec,
    /// Roles that may be assumed, by name.
    pub roles: BTreeMap<String, RoleSpec>,
    /// Long-lived keys of the administrator: for case scripts and real clients.
    pub operators: Vec<OperatorSpec>,
    /// EC2 answers an attach in use with one of two codes: `InvalidNetworkInterface.InUse` or `InvalidParameterValue`.
    pub in_use_code: String,
}

impl Default for CloudSpec {
    fn default() -> Self {
        Self {
            region: "eu-central-1".into(),
            account: "123456789012".into(),
            vpc: Vpc::default(),
            subnets: default_subnets(),
            route_tables: vec![RouteTable::default()],
            security_groups: default_security_groups(),
            enis: vec![EniSpec::default()],
            instances: vec![InstanceSpec::default()],
            groups: vec![GroupSpec::default()],
            delays: Delays::default(),
            secrets: Vec::new(),
            parameters: Vec::new(),
            credentials: CredentialSpec::default(),
            roles: BTreeMap::new(),
            operators: vec![OperatorSpec::default()],
            in_use_code: "InvalidNetworkInterface.InUse".into(),
        }
    }
}

pub(super) fn node_tags() -> BTreeMap<String, String> {
    [("weaviate:deployment", "acme-prod"), ("weaviate:node", "weaviate-0")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// A secondary interface; primary ones come with their instances.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EniSpec {
    pub id: String,
    pub address: String,
    pub subnet: String,
    /// Derived from the address where it is left out.
    pub mac: Option<String>,
    pub groups: Vec<String>,
    pub tags: BTreeMap<String, String>,
    pub description: String,
    /// The instance that has it when the case starts, at device index 1.
    pub owner: Option<String>,
    pub delete_on_termination: bool,
    /// Belongs to a service (`amazon-elb`): attaching it is not permitted.
    pub requester_managed: bool,
}

impl Default for EniSpec {
    fn default() -> Self {
        Self {
            id: ENI.into(),
            address: "10.0.2.15".into(),
            subnet: "subnet-0aaaaaaaaaaaaaa02".into(),
            mac: None,
            groups: vec!["sg-0aaaaaaaaaaaaaa02".into()],
            tags: node_tags(),
            description: "weaviate".into(),
            owner: None,
            delete_on_termination: false,
            requester_managed: false,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceSpec {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// Of the primary interface.
    pub address: String,
    pub subnet: String,
    pub mac: Option<String>,
    pub groups: Vec<String>,
    pub tags: BTreeMap<String, String>,
    pub role: Option<String>,
    /// `None`: not launched yet; [`super::Cloud::launch`] does that.
    pub state: Option<InstanceState>,
    pub user_data: Option<String>,
    /// Whether the metadata shows the instance's tags.
    pub metadata_tags: bool,
}

impl Default for InstanceSpec {
    fn default() -> Self {
        Self {
            id: NEW.into(),
            kind: "c8gd.xlarge".into(),
            address: "10.0.1.10".into(),
            subnet: "subnet-0aaaaaaaaaaaaaa01".into(),
            mac: None,
            groups: vec!["sg-0aaaaaaaaaaaaaa01".into()],
            tags: node_tags(),
            role: Some(ROLE.into()),
            state: Some(InstanceState::Running),
            user_data: None,
            metadata_tags: true,
        }
    }
}

/// How long the cloud takes, in seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delays {
    /// pending → running.
    #[serde(deserialize_with = "seconds")]
    pub boot: Duration,
    /// shutting-down → terminated; the ENI is free then.
    #[serde(deserialize_with = "seconds")]
    pub shutting_down: Duration,
    /// stopping → stopped.
    #[serde(deserialize_with = "seconds")]
    pub stopping: Duration,
    /// terminated → the ENI is available.
    #[serde(deserialize_with = "seconds")]
    pub release: Duration,
    /// attaching → attached.
    #[serde(deserialize_with = "seconds")]
    pub attach: Duration,
    /// The attach call → the interface appears in the instance.
    #[serde(deserialize_with = "seconds")]
    pub hotplug: Duration,
    /// detaching → available; the interface leaves the instance then.
    #[serde(deserialize_with = "seconds")]
    pub detach: Duration,
    /// The attach call → the metadata lists the MAC.
    #[serde(deserialize_with = "seconds")]
    pub metadata: Duration,
    /// The attach call → the metadata's device-number is right; 0 before.
    #[serde(deserialize_with = "seconds")]
    pub device_number: Duration,
    /// Each step of a lifecycle: Pending → Pending:Wait, Pending:Proceed → InService, ...
    #[serde(deserialize_with = "seconds")]
    pub lifecycle: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            boot: ms(200),
            shutting_down: ms(3000),
            stopping: ms(1000),
            release: ms(0),
            attach: ms(500),
            hotplug: ms(700),
            detach: ms(500),
            metadata: ms(900),
            device_number: ms(1500),
            lifecycle: ms(300),
        }
    }
}

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// A secret of Secrets Manager. Exactly one of `value` and `binary` (base64).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretSpec {
    pub name: String,
    pub value: Option<String>,
    pub binary: Option<String>,
    /// A key of the customer's own; reading needs `kms:Decrypt` then.
    pub kms_key: Option<String>,
    pub deleted: bool,
    pub tags: BTreeMap<String, String>,
}

/// A parameter of SSM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterSpec {
    pub name: String,
    pub value: String,
    #[serde(default = "secure")]
    pub secure: bool,
    pub kms_key: Option<String>,
}

const fn secure() -> bool {
    true
}

/// The credentials that the metadata vends for an instance's role, in seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CredentialSpec {
    #[serde(deserialize_with = "seconds")]
    pub lifetime: Duration,
    /// New ones are vended when the old ones have less than this left.
    #[serde(deserialize_with = "seconds")]
    pub rotate_before: Duration,
}

impl Default for CredentialSpec {
    fn default() -> Self {
        Self { lifetime: Duration::from_hours(6), rotate_before: Duration::from_mins(5) }
    }
}

/// A role that may be assumed; without a policy it may do nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoleSpec {
    /// JSON, without placeholders.
    pub policy: Option<String>,
    pub tags: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperatorSpec {
    pub access_key: String,
    pub secret: String,
}

impl Default for OperatorSpec {
    fn default() -> Self {
        Self { access_key: "AKIAWORLDOPERATOR000".into(), secret: "world-operator-secret".into() }
    }
}
