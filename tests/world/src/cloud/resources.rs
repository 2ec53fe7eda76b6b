//! What exists in the cloud at one moment: plain data, cloned before every change, so that a stale read
//! can be answered with what each resource was before, and an absent one with nothing at all.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::spec::{GroupSpec, RouteTable, SecurityGroup, Subnet, Verdict};

/// All resources.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    pub subnets: Vec<Subnet>,
    pub route_tables: Vec<RouteTable>,
    pub security_groups: Vec<SecurityGroup>,
    pub enis: BTreeMap<String, Eni>,
    pub instances: BTreeMap<String, Instance>,
    pub groups: BTreeMap<String, Group>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    Pending,
    Running,
    Stopping,
    Stopped,
    ShuttingDown,
    Terminated,
}

impl InstanceState {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        }
    }

    /// The numbers of DescribeInstances.
    pub const fn code(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    /// Whether the instance may still write to what it holds: nobody may take its ENI then.
    pub const fn living(self) -> bool {
        match self {
            Self::Pending | Self::Running | Self::Stopping | Self::ShuttingDown => true,
            Self::Stopped | Self::Terminated => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub id: String,
    pub kind: String,
    pub address: String,
    pub subnet: String,
    pub zone: String,
    pub role: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub state: InstanceState,
    pub launched: Timestamp,
    pub user_data: Option<String>,
    pub metadata_tags: bool,
    /// A power cut without a word: EC2 still says `running`.
    pub impaired: bool,
    /// `spot/instance-action`: what, and when.
    pub spot_notice: Option<(String, Timestamp)>,
    pub rebalance_notice: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Eni {
    pub id: String,
    pub address: String,
    pub mac: String,
    pub subnet: String,
    pub zone: String,
    pub groups: Vec<String>,
    pub tags: BTreeMap<String, String>,
    pub description: String,
    pub requester_managed: bool,
    pub attachment: Option<Attachment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachmentStatus {
    Attaching,
    Attached,
    Detaching,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    pub id: String,
    pub instance: String,
    pub index: u32,
    pub status: AttachmentStatus,
    pub delete_on_termination: bool,
    pub since: Timestamp,
    /// Whether the metadata lists the MAC yet, and the right device number.
    pub in_metadata: bool,
    pub index_in_metadata: bool,
}

impl Attachment {
    pub const fn text(&self) -> &'static str {
        match self.status {
            AttachmentStatus::Attaching => "attaching",
            AttachmentStatus::Attached => "attached",
            AttachmentStatus::Detaching => "detaching",
        }
    }
}

impl Eni {
    /// The status of the interface itself, as DescribeNetworkInterfaces gives it.
    pub fn status(&self) -> &'static str {
        match self.attachment.as_ref().map(|a| a.status) {
            None => "available",
            Some(AttachmentStatus::Attaching) => "attaching",
            Some(AttachmentStatus::Attached) => "in-use",
            Some(AttachmentStatus::Detaching) => "detaching",
        }
    }

    pub fn owner(&self) -> Option<&str> {
        self.attachment.as_ref().map(|a| a.instance.as_str())
    }
}

/// The states of an instance in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Lifecycle {
    Pending,
    #[serde(rename = "Pending:Wait")]
    PendingWait,
    #[serde(rename = "Pending:Proceed")]
    PendingProceed,
    InService,
    Terminating,
    #[serde(rename = "Terminating:Wait")]
    TerminatingWait,
    #[serde(rename = "Terminating:Proceed")]
    TerminatingProceed,
    Terminated,
    #[serde(rename = "Warmed:Pending")]
    WarmedPending,
    #[serde(rename = "Warmed:Pending:Wait")]
    WarmedPendingWait,
    #[serde(rename = "Warmed:Pending:Proceed")]
    WarmedPendingProceed,
    #[serde(rename = "Warmed:Stopped")]
    WarmedStopped,
    #[serde(rename = "Warmed:Running")]
    WarmedRunning,
}

impl Lifecycle {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::PendingWait => "Pending:Wait",
            Self::PendingProceed => "Pending:Proceed",
            Self::InService => "InService",
            Self::Terminating => "Terminating",
            Self::TerminatingWait => "Terminating:Wait",
            Self::TerminatingProceed => "Terminating:Proceed",
            Self::Terminated => "Terminated",
            Self::WarmedPending => "Warmed:Pending",
            Self::WarmedPendingWait => "Warmed:Pending:Wait",
            Self::WarmedPendingProceed => "Warmed:Pending:Proceed",
            Self::WarmedStopped => "Warmed:Stopped",
            Self::WarmedRunning => "Warmed:Running",
        }
    }

    pub const fn waiting(self) -> bool {
        matches!(self, Self::PendingWait | Self::TerminatingWait | Self::WarmedPendingWait)
    }
}

/// A group and who is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub spec: GroupSpec,
    pub members: BTreeMap<String, Member>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub state: Lifecycle,
    pub healthy: bool,
    /// Names of the hooks that have not been answered yet; only in a `:Wait` state.
    pub open: Vec<OpenAction>,
    /// What the hooks said so far in this wait.
    pub verdict: Verdict,
    /// Calls that still find no action although Describe shows the wait.
    pub race: u32,
}

/// A lifecycle action that waits for an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAction {
    pub hook: String,
    pub token: String,
    /// Counts heartbeats: a timer that was set before the last one is void.
    pub beats: u64,
}

impl Resources {
    /// The group that an instance is in.
    pub fn group_of(&self, instance: &str) -> Option<(&Group, &Member)> {
        self.groups.values().find_map(|g| g.members.get(instance).map(|m| (g, m)))
    }

    pub fn instance_state(&self, id: &str) -> Option<InstanceState> {
        self.instances.get(id).map(|i| i.state)
    }

    /// Keeps, of each resource that moved between the two, what it was before; the others stay as old as they
    /// are. What no call shows (timers, heartbeats, what the metadata lists) is no move.
    pub(super) fn keep(&mut self, before: &Self, now: &Self) {
        let Self { subnets: _, route_tables: _, security_groups: _, enis, instances, groups } = self;
        keep(enis, &before.enis, &now.enis, Eni::shown);
        keep(instances, &before.instances, &now.instances, Instance::clone);
        keep(groups, &before.groups, &now.groups, Group::shown);
    }

    /// What moves, as (what, state): the judge's `State` events are the differences.
    pub(super) fn states(&self) -> BTreeMap<String, String> {
        let instances = self.instances.values().map(|i| (i.id.clone(), i.state.text().to_owned()));
        let enis = self.enis.values().map(|e| {
            let owner = e.owner().map(|owner| format!(" {owner}")).unwrap_or_default();
            (e.id.clone(), format!("{}{owner}", e.status()))
        });
        let members = self.groups.iter().flat_map(|(name, group)| {
            group.members.iter().map(move |(id, m)| (format!("{name}/{id}"), m.state.text().to_owned()))
        });
        instances.chain(enis).chain(members).collect()
    }
}

impl Eni {
    /// As EC2 describes it: the metadata has a time of its own.
    fn shown(&self) -> Self {
        let mut shown = self.clone();
        if let Some(held) = &mut shown.attachment {
            (held.in_metadata, held.index_in_metadata) = (true, true);
        }
        shown
    }
}

fn keep<T: Clone + PartialEq>(
    older: &mut BTreeMap<String, T>,
    before: &BTreeMap<String, T>,
    now: &BTreeMap<String, T>,
    shown: fn(&T) -> T,
) {
    for id in before.keys().chain(now.keys()) {
        let was = before.get(id);
        if was.map(shown) == now.get(id).map(shown) {
            continue;
        }
        match was {
            Some(was) => older.insert(id.clone(), was.clone()),
            None => older.remove(id),
        };
    }
}

impl Group {
    /// As Auto Scaling describes it.
    fn shown(&self) -> Self {
        let members = self.members.iter().map(|(id, member)| {
            (id.clone(), Member { healthy: member.healthy, ..Member::new(member.state) })
        });
        Self { spec: self.spec.clone(), members: members.collect() }
    }
}

impl Member {
    pub(super) const fn new(state: Lifecycle) -> Self {
        Self { state, healthy: true, open: Vec::new(), verdict: Verdict::Continue, race: 0 }
    }
}

/// A locally administered MAC that one can read: 10.0.2.15 is 02:00:0a:00:02:0f.
pub fn mac_of(address: &str) -> String {
    let octets = address.split('.').map(|o| format!("{:02x}", o.parse::<u8>().unwrap_or_default()));
    octets.fold("02:00".to_owned(), |mac, octet| format!("{mac}:{octet}"))
}
