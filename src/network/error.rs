//! Why the address is not served.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use super::DoorState;
use crate::aws::CallError;
use crate::config::Cidr;
use crate::explain::{Class, Explain};
use crate::instance::InstanceError;
use crate::process::ProcessError;
use crate::state::StateError;

#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Metadata(#[from] InstanceError),
    #[error(transparent)]
    State(#[from] StateError),

    // locate
    #[error("no network interface has {selector}")]
    EniNotFound { selector: String },
    #[error("{} network interfaces have {selector}: {}", ids.len(), ids.join(", "))]
    EniAmbiguous { selector: String, ids: Vec<String> },
    #[error("{eni} is in {zone}, this instance in {own}")]
    WrongZone { eni: String, zone: String, own: String },
    #[error("{eni} is in {vpc}, this instance in {own}")]
    WrongVpc { eni: String, vpc: String, own: String },
    #[error("{eni} has the tag {tag}={found:?}, not {wanted:?}")]
    ForeignTag { eni: String, tag: &'static str, found: String, wanted: String },
    #[error("{eni} lacks the tag {tag}={wanted:?}")]
    MissingTag { eni: String, tag: &'static str, wanted: String },
    #[error("{eni} cannot be claimed: {why}")]
    Unusable { eni: String, why: String },
    #[error("EC2 describes {what} in a way that this program does not understand: {found:?}")]
    Misunderstood { what: String, found: String },
    #[error("the bridge's subnet {bridge} overlaps {range} of the VPC")]
    Overlap { bridge: Cidr, range: Cidr },

    // claim
    #[error("{eni} is still held by {owner} ({state}) after {} s", waited.as_secs())]
    Held { eni: String, owner: String, state: String, waited: Duration },
    #[error("{eni} did not become attached to {instance} within {} s", waited.as_secs())]
    NotAttached { eni: String, instance: String, waited: Duration },
    #[error(
        "{instance} cannot have {eni} attached: it already has as many network interfaces as its type allows"
    )]
    NoFreeSlot { eni: String, instance: String, source: CallError },
    #[error("EC2 does not attach {eni} to {instance}")]
    AttachRefused { eni: String, instance: String, source: CallError },
    #[error("{eni} would be deleted with {instance}, and its address with it")]
    DeletedOnTermination { eni: String, instance: String },
    #[error("the interface of {eni} ({mac}) did not appear within {} s", waited.as_secs())]
    LinkAbsent { eni: String, mac: String, waited: Duration },

    // routes
    #[error("the kernel did not {operation}")]
    Netlink { operation: String, source: rtnetlink::Error },
    #[error("a change of the network did not stay: {what}")]
    Undone { what: String },
    #[error("the netlink socket could not be opened")]
    Socket { source: std::io::Error },
    #[error("the bridge {bridge} does not exist after {} s", waited.as_secs())]
    BridgeAbsent { bridge: String, waited: Duration },
    #[error("routing table {table} is used by others: {by}")]
    TableTaken { table: u32, by: String },
    #[error("rule priority {priority} is used by others: {by}")]
    PriorityTaken { priority: u32, by: String },
    #[error("{path} could not be written")]
    Unwritable { path: PathBuf, source: std::io::Error },
    #[error("systemd-networkd did not reload its configuration")]
    Reload { source: ProcessError },

    // the door
    #[error("nft did not {operation} the door")]
    Door { operation: &'static str, source: ProcessError },
    #[error("nft lists the door in a way that this program does not understand")]
    DoorUnreadable { source: serde_json::Error },
    #[error("the door does not keep clients out: {found}")]
    Ajar { found: DoorState },

    // probe
    #[error("no client for the probe could be made")]
    Client { source: reqwest::Error },
    #[error("the server does not answer at {url}")]
    Silent { url: String, source: reqwest::Error },
    #[error("the server answers {status} at {url}, not {wanted}")]
    Answer { url: String, status: u16, wanted: u16 },
    #[error("the server lets anybody in: {url} without a key answers {status}, not 401")]
    OpenWithoutKey { url: String, status: u16 },
    #[error("the gRPC server at {address} is not healthy: {said}")]
    Grpc { address: String, said: String },
    #[error("packets from {from} to {destination} would leave by {link}, not by {wanted}")]
    WrongWay { from: Ipv4Addr, destination: Ipv4Addr, link: String, wanted: String },
}

impl Explain for NetworkError {
    fn class(&self) -> Class {
        match self {
            Self::Call(call) => call.class(),
            Self::Metadata(metadata) => metadata.class(),
            Self::State(state) => state.class(),
            Self::EniNotFound { .. }
            | Self::EniAmbiguous { .. }
            | Self::WrongZone { .. }
            | Self::WrongVpc { .. }
            | Self::ForeignTag { .. }
            | Self::MissingTag { .. }
            | Self::Unusable { .. }
            | Self::Misunderstood { .. }
            | Self::Overlap { .. }
            | Self::NoFreeSlot { .. }
            | Self::AttachRefused { .. }
            | Self::TableTaken { .. }
            | Self::PriorityTaken { .. }
            | Self::DoorUnreadable { .. }
            | Self::Client { .. }
            | Self::OpenWithoutKey { .. } => Class::Final,
            Self::Held { .. }
            | Self::NotAttached { .. }
            | Self::DeletedOnTermination { .. }
            | Self::LinkAbsent { .. }
            | Self::Netlink { .. }
            | Self::Undone { .. }
            | Self::Socket { .. }
            | Self::BridgeAbsent { .. }
            | Self::Unwritable { .. }
            | Self::Reload { .. }
            | Self::Door { .. }
            | Self::Ajar { .. }
            | Self::Silent { .. }
            | Self::Answer { .. }
            | Self::Grpc { .. }
            | Self::WrongWay { .. } => Class::Retry,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Call(call) => call.remedy(),
            Self::Metadata(metadata) => metadata.remedy(),
            Self::State(state) => state.remedy(),
            Self::EniNotFound { .. } => {
                "Create the interface in this VPC, or mend `network.eni`.".to_owned()
            }
            Self::EniAmbiguous { .. } => "Name one of them in `network.eni.id`.".to_owned(),
            Self::WrongZone { zone, .. } => {
                format!("An interface cannot leave its zone: let the group launch in {zone} only.")
            }
            Self::WrongVpc { vpc, .. } => format!("Launch the instance in {vpc}, or mend `network.eni`."),
            Self::ForeignTag { tag, .. } => format!(
                "It belongs to another node: mend `network.eni` or `node`, or the tag {tag} if that is wrong."
            ),
            Self::MissingTag { eni, tag, wanted } => {
                format!("Tag {eni} with {tag}={wanted}; the instance role's policy is bound to it.")
            }
            Self::Unusable { .. } => "Name an interface of your own, not the primary one.".to_owned(),
            Self::Misunderstood { .. } | Self::DoorUnreadable { .. } | Self::Client { .. } => {
                "This is a bug; please report it with its details.".to_owned()
            }
            Self::Overlap { .. } => "Set `network.bridge_subnet` to a network outside the VPC.".to_owned(),
            Self::Held { owner, state, .. } if state == "running" => format!(
                "A living owner is never robbed: end {owner}, or check that the group terminates before it launches."
            ),
            Self::Held { owner, .. } => {
                format!("EC2 releases it when {owner} has ended; raise `network.claim_deadline` if that takes longer.")
            }
            Self::NotAttached { .. } | Self::LinkAbsent { .. } => {
                "It is tried again; raise `network.link_deadline` if EC2 needs longer.".to_owned()
            }
            Self::NoFreeSlot { .. } => "Detach another interface, or take a larger instance type.".to_owned(),
            Self::AttachRefused { .. } => "See EC2's own words in the details.".to_owned(),
            Self::DeletedOnTermination { .. } => {
                "Allow ec2:ModifyNetworkInterfaceAttribute for the instance role, on interface and instance.".to_owned()
            }
            Self::Netlink { .. } | Self::Socket { .. } => {
                "Run as root with CAP_NET_ADMIN in the host's network namespace.".to_owned()
            }
            Self::Undone { .. } => {
                "Find who else changes addresses, routes and rules: systemd-networkd, NetworkManager, cloud-init."
                    .to_owned()
            }
            Self::BridgeAbsent { bridge, .. } => {
                format!("Look with `docker network ls` who removed the network of {bridge}.")
            }
            Self::TableTaken { .. } => "Set `network.table` to a table that nobody uses.".to_owned(),
            Self::PriorityTaken { .. } => {
                "Set `network.priority` so that it and the next one are free, and lower than those of others.".to_owned()
            }
            Self::Unwritable { path, .. } => format!("Make {} writable for root.", path.display()),
            Self::Reload { .. } => "Look at `systemctl status systemd-networkd`.".to_owned(),
            Self::Door { .. } => "Install nftables; the kernel needs nf_tables with inet tables.".to_owned(),
            Self::Ajar { .. } => {
                "Find who changes the nft table inet weaviate_provisioner; the next run writes it anew.".to_owned()
            }
            Self::Silent { .. } | Self::Answer { .. } | Self::Grpc { .. } => {
                "Look at the container's log; the door is closed again, and opened once the server answers.".to_owned()
            }
            Self::OpenWithoutKey { .. } => {
                "Look why the server did not read its key file; `weaviate.anonymous = true` if it is meant.".to_owned()
            }
            Self::WrongWay { .. } => {
                "Look with `ip rule` who else routes this interface (cloud-init, ec2-net-utils, NetworkManager).".to_owned()
            }
        }
    }
}
