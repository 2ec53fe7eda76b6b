//! `[network]`: the fixed address and how it is published.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::config::{Cidr, Section};

/// Defaults that the door needs even where no configuration can be read.
pub(super) const BRIDGE: &str = "weaviate0";
/// Neither Docker's default pool (172.17-172.31.0.0/16 and up to 172.31, which is also the default VPC) nor a usual
/// VPC: the last /24 of 172.30 is rarely routed. Checked against the VPC's own ranges at boot.
pub(super) const BRIDGE_SUBNET: Cidr = Cidr { network: Ipv4Addr::new(172, 30, 254, 0), prefix: 24 };

/// How the fixed-address ENI is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EniSelector {
    Id(String),
    PrivateIp(Ipv4Addr),
    Tags(BTreeMap<String, String>),
}

/// How the container's ports appear on the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    /// A bridge of our own and published ports.
    Bridge,
    /// The host's network.
    Host,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub eni: EniSelector,
    /// Security groups that may reach the node: audited, anything wider is reported.
    pub clients: Vec<String>,
    pub publish: Publish,
    /// Name of the bridge: fixed, because a rule names it.
    pub bridge: String,
    pub bridge_subnet: Cidr,
    /// Routing table, and priority of the first of our two rules.
    pub table: u32,
    pub priority: u32,
    /// How long a living or terminating owner of the ENI is waited for.
    pub claim_deadline: Duration,
    /// How long the link may take to appear after the attachment.
    pub link_deadline: Duration,
}

impl Settings {
    pub fn read(section: &mut Section<'_>) -> Option<Self> {
        let eni = Self::read_eni(section);
        let clients = section.or("clients", Vec::new());
        let publish = match section.or("publish", "bridge".to_owned()).as_str() {
            "bridge" => Publish::Bridge,
            "host" => Publish::Host,
            other => {
                section.problem("publish", format!("is {other:?}, not \"bridge\" or \"host\""));
                Publish::Bridge
            }
        };
        let bridge = section.or("bridge", BRIDGE.to_owned());
        // IFNAMSIZ is 16 with the closing zero (linux/if.h).
        if bridge.len() > 15 || bridge.contains(['/', ' ']) {
            section
                .problem("bridge", "is not a name for an interface: at most 15 letters without / and blanks");
        }
        let bridge_subnet = section.or("bridge_subnet", BRIDGE_SUBNET);
        // Free on every AMI that we know: cloud-init takes tables from 100 up, ec2-net-utils from 10000 up,
        // both with rules of the same priority, from the very address of the ENI (their own sources). Ours
        // must come before theirs: their tables do not know the bridge.
        let table = section.or("table", 8080);
        // rtnetlink(7), ip-route(8): 0 is unspecified, 253 to 255 are default, main and local.
        if matches!(table, 0 | 253..=255) {
            section.problem("table", format!("is {table}, which is the kernel's own"));
        }
        let priority = section.or("priority", 80);
        // ip-rule(8): 0 looks into local, 32766 into main; there are two rules of ours.
        if !(1..=32764).contains(&priority) {
            section.problem(
                "priority",
                format!(
                    "is {priority}: it and the next one must lie between those of the kernel, 0 and 32766"
                ),
            );
        }
        // "will free up after a minute or two" is what users see; EC2 itself forces a stuck instance only
        // after hours. The hook's timeout bounds the boot as a whole.
        let claim_deadline = section.or("claim_deadline", Duration::from_mins(30));
        // Reported: three minutes between the API's "attached" and the interface (ECS agent #1520).
        let link_deadline = section.or("link_deadline", Duration::from_mins(4));
        Some(Self {
            eni: eni?,
            clients,
            publish,
            bridge,
            bridge_subnet,
            table,
            priority,
            claim_deadline,
            link_deadline,
        })
    }

    fn read_eni(section: &mut Section<'_>) -> Option<EniSelector> {
        if !section.contains("eni") {
            drop(section.section("eni"));
            section.problem(
                "eni",
                "is missing: { id = \"eni-…\" }, { private_ip = \"10.0.2.15\" } or { tags = { … } }",
            );
            return None;
        }
        let mut eni = section.section("eni");
        let id = eni.optional("id");
        let private_ip = eni.optional("private_ip");
        let tags: Option<BTreeMap<String, String>> = eni.optional("tags");
        match (id, private_ip, tags) {
            (Some(id), None, None) => Some(EniSelector::Id(id)),
            (None, Some(address), None) => Some(EniSelector::PrivateIp(address)),
            (None, None, Some(tags)) if !tags.is_empty() => Some(EniSelector::Tags(tags)),
            _ => {
                drop(eni);
                section.problem("eni", "must have exactly one of `id`, `private_ip` and `tags`");
                None
            }
        }
    }
}
