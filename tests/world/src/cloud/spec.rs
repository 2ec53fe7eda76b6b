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

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::resources::{InstanceState, Lifecycle};

/// The instance in which the agent runs, by default.
pub const NEW: &str = "i-0aaaaaaaaaaaaaa02";
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

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vpc {
    pub id: String,
    pub cidr: String,
}

impl Default for Vpc {
    fn default() -> Self {
        Self { id: "vpc-0aaaaaaaaaaaaaa00".into(), cidr: "10.0.0.0/16".into() }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subnet {
    pub id: String,
    pub cidr: String,
    #[serde(default = "default_zone")]
    pub zone: String,
}

fn default_zone() -> String {
    ZONE.into()
}

fn default_subnets() -> Vec<Subnet> {
    [("1", "10.0.1.0/24"), ("2", "10.0.2.0/24"), ("3", "10.0.3.0/24"), ("4", "10.0.4.0/24")]
        .map(|(n, cidr)| Subnet {
            id: format!("subnet-0aaaaaaaaaaaaaa0{n}"),
            cidr: cidr.into(),
            zone: ZONE.into(),
        })
        .into()
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteTable {
    pub id: String,
    pub main: bool,
    /// Subnets that are associated by name; the others use the main table.
    pub subnets: Vec<String>,
    pub routes: Vec<Route>,
}

impl Default for RouteTable {
    fn default() -> Self {
        let local = Route { destination: "10.0.0.0/16".into(), target: "local".into() };
        Self { id: "rtb-0aaaaaaaaaaaaaa00".into(), main: true, subnets: Vec::new(), routes: vec![local] }
    }
}

/// The target is `local`, a gateway (`igw-`, `vpce-`, `nat-`) or an ENI.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub destination: String,
    pub target: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityGroup {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub ingress: Vec<Rule>,
}

/// One ingress rule; the protocol `-1` means all, without ports.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub protocol: String,
    pub from: Option<u16>,
    pub to: Option<u16>,
    #[serde(default)]
    pub groups: Vec<String>,
    #[serde(default)]
    pub cidrs: Vec<String>,
}

fn default_security_groups() -> Vec<SecurityGroup> {
    let port = |port| Rule {
        protocol: "tcp".into(),
        from: Some(port),
        to: Some(port),
        groups: vec!["sg-0aaaaaaaaaaaaaa03".into()],
        cidrs: Vec::new(),
    };
    let group = |n: u8, name: &str, ingress| SecurityGroup {
        id: format!("sg-0aaaaaaaaaaaaaa0{n}"),
        name: name.into(),
        ingress,
    };
    vec![
        group(1, "instances", Vec::new()),
        group(2, "weaviate", vec![port(8080), port(50051)]),
        group(3, "ray", Vec::new()),
    ]
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

/// An Auto Scaling group. `hooks` and `members` decide what a case sees.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupSpec {
    pub name: String,
    pub hooks: Vec<Hook>,
    pub members: Vec<MemberSpec>,
    pub subnets: Vec<String>,
    pub min: u32,
    pub max: u32,
    pub desired: u32,
    /// `InstanceMaintenancePolicy`; 0/100 is terminate first. Absent: no policy.
    pub min_healthy: Option<u32>,
    pub max_healthy: Option<u32>,
    pub suspended: Vec<String>,
    /// The state in which instances rest in the warm pool; absent: no pool.
    pub warm_pool: Option<WarmPool>,
    /// So many Complete- and Heartbeat calls after each `:Wait` still find no action, though Describe shows it.
    pub race: u32,
}

impl Default for GroupSpec {
    fn default() -> Self {
        Self {
            name: GROUP.into(),
            hooks: vec![Hook::default()],
            members: vec![MemberSpec::default()],
            subnets: vec!["subnet-0aaaaaaaaaaaaaa01".into()],
            min: 1,
            max: 1,
            desired: 1,
            min_healthy: Some(0),
            max_healthy: Some(100),
            suspended: vec!["AZRebalance".into()],
            warm_pool: None,
            race: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarmPool {
    Stopped,
    Running,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemberSpec {
    pub instance: String,
    pub state: Lifecycle,
}

impl Default for MemberSpec {
    fn default() -> Self {
        Self { instance: NEW.into(), state: Lifecycle::PendingWait }
    }
}

/// When a hook holds an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transition {
    Launching,
    Terminating,
}

/// What a hook, or its timeout, says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    Continue,
    Abandon,
}

impl Verdict {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Abandon => "ABANDON",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hook {
    pub name: String,
    pub transition: Transition,
    /// Seconds; the real range is 30 to 7200, here any.
    pub heartbeat: f64,
    /// Seconds; absent: 100 heartbeats or 48 hours, whichever is less.
    pub global: Option<f64>,
    pub default_result: Verdict,
}

impl Default for Hook {
    fn default() -> Self {
        Self {
            name: HOOK.into(),
            transition: Transition::Launching,
            heartbeat: 300.0,
            global: None,
            default_result: Verdict::Abandon,
        }
    }
}

impl Hook {
    pub fn heartbeat(&self) -> Duration {
        Duration::from_secs_f64(self.heartbeat)
    }

    pub fn global(&self) -> Duration {
        let longest = (self.heartbeat * 100.0).min(172_800.0);
        Duration::from_secs_f64(self.global.unwrap_or(longest))
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
        Self { lifetime: Duration::from_secs(6 * 3600), rotate_before: Duration::from_secs(300) }
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
