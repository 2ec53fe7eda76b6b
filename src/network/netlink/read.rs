//! Reading what the kernel has.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags};
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{IpVersion, RouteMessageBuilder};

use super::{Address, Link, Netlink, PROTOCOL, Route, Rule, Way, failed};
use crate::config::Cidr;
use crate::network::NetworkError;

impl Netlink {
    pub(in crate::network) async fn links(&self) -> Result<Vec<Link>, NetworkError> {
        let messages: Vec<LinkMessage> =
            self.handle.link().get().execute().try_collect().await.map_err(failed("list the links"))?;
        Ok(messages.iter().map(link).collect())
    }

    pub(in crate::network) async fn addresses(&self) -> Result<Vec<Address>, NetworkError> {
        let messages: Vec<_> = self
            .handle
            .address()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(failed("list the addresses"))?;
        let read = messages.iter().filter(|message| message.header.family == AddressFamily::Inet);
        Ok(read
            .filter_map(|message| {
                let ip = message.attributes.iter().find_map(|attribute| match attribute {
                    AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
                    _ => None,
                })?;
                Some(Address {
                    link: message.header.index,
                    ip,
                    prefix: message.header.prefix_len,
                    permanent: message.header.flags.contains(AddressHeaderFlags::Permanent),
                })
            })
            .collect())
    }

    /// The unicast IPv4 routes of `table`, and ours in any other.
    pub(in crate::network) async fn routes(&self, table: u32) -> Result<Vec<Route>, NetworkError> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let messages: Vec<RouteMessage> =
            self.handle.route().get(all).execute().try_collect().await.map_err(failed("list the routes"))?;
        let concerned = |route: &Route| route.table == table || route.ours;
        Ok(messages.iter().filter_map(route).filter(concerned).collect())
    }

    pub(in crate::network) async fn rules(&self) -> Result<Vec<Rule>, NetworkError> {
        let messages: Vec<RuleMessage> = self
            .handle
            .rule()
            .get(IpVersion::V4)
            .execute()
            .try_collect()
            .await
            .map_err(failed("list the rules"))?;
        Ok(messages.iter().map(rule).collect())
    }

    /// Which way a packet to `destination` would leave: `ip route get`.
    pub(in crate::network) async fn way(
        &self,
        destination: Ipv4Addr,
        from: Ipv4Addr,
        arriving: Option<u32>,
    ) -> Result<Way, NetworkError> {
        let mut question = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(destination, 32)
            .source_prefix(from, 32);
        if let Some(index) = arriving {
            question = question.input_interface(index);
        }
        let mut question = question.build();
        // The builder's defaults describe a route to be added; a question has neither table nor kind.
        question.header.table = 0;
        question.header.kind = RouteType::Unspec;
        let operation = || format!("say how {destination} is reached from {from}");
        let answers: Vec<RouteMessage> =
            self.handle.route().get(question).execute().try_collect().await.map_err(failed(operation()))?;
        let link = answers.first().and_then(out_link);
        link.map(|link| Way { link }).ok_or_else(|| failed(operation())(rtnetlink::Error::RequestFailed))
    }
}

fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: None,
        up: message.header.flags.contains(LinkFlags::Up),
        loopback: message.header.flags.contains(LinkFlags::Loopback),
        stacked: false,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) if bytes.len() == 6 => link.mac = Some(mac(bytes)),
            LinkAttribute::LinkInfo(info) => {
                link.stacked = info.iter().any(|info| {
                    matches!(
                        info,
                        LinkInfo::Kind(
                            InfoKind::Vlan
                                | InfoKind::Bridge
                                | InfoKind::MacVlan
                                | InfoKind::MacVtap
                                | InfoKind::IpVlan
                                | InfoKind::Bond
                        )
                    )
                });
            }
            _ => {}
        }
    }
    link
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().enumerate().fold(String::new(), |mut text, (i, byte)| {
        let _ = write!(text, "{}{byte:02x}", if i == 0 { "" } else { ":" });
        text
    })
}

fn route(message: &RouteMessage) -> Option<Route> {
    if message.header.address_family != AddressFamily::Inet || message.header.kind != RouteType::Unicast {
        return None;
    }
    let mut route = Route {
        table: u32::from(message.header.table),
        destination: None,
        gateway: None,
        link: 0,
        ours: message.header.protocol == RouteProtocol::Other(PROTOCOL),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Destination(RouteAddress::Inet(network)) => {
                route.destination =
                    Some(Cidr { network: *network, prefix: message.header.destination_prefix_length });
            }
            RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => route.gateway = Some(*gateway),
            RouteAttribute::Oif(link) => route.link = *link,
            _ => {}
        }
    }
    Some(route)
}

fn out_link(message: &RouteMessage) -> Option<u32> {
    message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(link) => Some(*link),
        _ => None,
    })
}

pub(super) fn rule(message: &RuleMessage) -> Rule {
    let mut rule = Rule { priority: 0, from: None, arriving: None, table: None, ours: false };
    let mut table = u32::from(message.header.table);
    let mut plain = message.header.action == RuleAction::ToTable && message.header.tos == 0;
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Table(found) => table = *found,
            RuleAttribute::Source(IpAddr::V4(network)) => {
                rule.from = Some(Cidr { network: *network, prefix: message.header.src_len });
            }
            RuleAttribute::Iifname(name) => rule.arriving = Some(name.clone()),
            RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)) => rule.ours = true,
            RuleAttribute::Destination(_)
            | RuleAttribute::FwMark(_)
            | RuleAttribute::Oifname(_)
            | RuleAttribute::UidRange(_)
            | RuleAttribute::IpProtocol(_)
            | RuleAttribute::SourcePortRange(_)
            | RuleAttribute::DestinationPortRange(_) => plain = false,
            _ => {}
        }
    }
    rule.table = plain.then_some(table);
    rule
}
