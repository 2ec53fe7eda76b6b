//! Changing what the kernel has. Each change is told what it makes; doing it twice does no harm.

use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt as _;
use rtnetlink::packet_core::ErrorMessage;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::route::{RouteProtocol, RouteScope};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute};
use rtnetlink::{IpVersion, LinkUnspec, RouteMessageBuilder};

use super::{Address, Netlink, PROTOCOL, Route, Rule, failed, read};
use crate::failpoint::around;
use crate::network::NetworkError;

impl Netlink {
    pub(in crate::network) async fn set_up(&self, link: u32) -> Result<(), NetworkError> {
        let up = LinkUnspec::new_with_index(link).up().build();
        around("set_up", self.handle.link().set(up).execute())
            .await
            .map_err(failed(format!("bring link {link} up")))
    }

    pub(in crate::network) async fn add_address(
        &self,
        link: u32,
        address: Ipv4Addr,
    ) -> Result<(), NetworkError> {
        let add = self.handle.address().add(link, IpAddr::V4(address), 32).execute();
        let added = around("add_address", add).await;
        there_is_done(added).map_err(failed(format!("put {address} on link {link}")))
    }

    pub(in crate::network) async fn remove_address(&self, gone: &Address) -> Result<(), NetworkError> {
        let messages: Vec<_> = self
            .handle
            .address()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(failed("list the addresses"))?;
        let same = messages.into_iter().find(|message| {
            message.header.index == gone.link
                && message.header.prefix_len == gone.prefix
                && message.attributes.contains(&AddressAttribute::Local(IpAddr::V4(gone.ip)))
        });
        let Some(message) = same else { return Ok(()) };
        absent_is_done(around("remove_address", self.handle.address().del(message).execute()).await)
            .map_err(failed(format!("take {} off link {}", gone.ip, gone.link)))
    }

    /// Adds the route, in place of one to the same destination in the same table.
    pub(in crate::network) async fn put_route(&self, route: &Route) -> Result<(), NetworkError> {
        around("put_route", self.handle.route().add(message(route)).replace().execute())
            .await
            .map_err(failed(format!("put a route into table {}", route.table)))
    }

    pub(in crate::network) async fn remove_route(&self, route: &Route) -> Result<(), NetworkError> {
        let mut message = message(route);
        // "Whoever added it": the protocol is compared unless it is 0.
        message.header.protocol = RouteProtocol::Unspec;
        absent_is_done(around("remove_route", self.handle.route().del(message).execute()).await)
            .map_err(failed(format!("take a route out of table {}", route.table)))
    }

    pub(in crate::network) async fn add_rule(&self, rule: &Rule) -> Result<(), NetworkError> {
        let Some(table) = rule.table else { return Ok(()) };
        let mut request =
            self.handle.rule().add().v4().priority(rule.priority).table_id(table).action(RuleAction::ToTable);
        if table > 255 {
            // The header's table must be "unspecified" beside the attribute, or it reads "main" and the attribute.
            request.message_mut().header.table = 0;
        }
        let protocol = RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL));
        request.message_mut().attributes.push(protocol);
        if let Some(from) = rule.from {
            request = request.source_prefix(from.network, from.prefix);
        }
        if let Some(bridge) = &rule.arriving {
            request = request.input_interface(bridge);
        }
        there_is_done(around("add_rule", request.execute()).await)
            .map_err(failed(format!("add the rule of priority {}", rule.priority)))
    }

    pub(in crate::network) async fn remove_rule(&self, gone: &Rule) -> Result<(), NetworkError> {
        let messages: Vec<_> = self
            .handle
            .rule()
            .get(IpVersion::V4)
            .execute()
            .try_collect()
            .await
            .map_err(failed("list the rules"))?;
        let same = messages.into_iter().find(|message| read::rule(message).like(gone));
        let Some(message) = same else { return Ok(()) };
        absent_is_done(around("remove_rule", self.handle.rule().del(message).execute()).await)
            .map_err(failed(format!("remove the rule of priority {}", gone.priority)))
    }
}

fn message(route: &Route) -> rtnetlink::packet_route::route::RouteMessage {
    let mut builder = RouteMessageBuilder::<Ipv4Addr>::new()
        .table_id(route.table)
        .output_interface(route.link)
        .protocol(RouteProtocol::Other(PROTOCOL));
    if let Some(destination) = route.destination {
        builder = builder.destination_prefix(destination.network, destination.prefix);
    }
    match route.gateway {
        // `onlink`: the gateway lies in the ENI's subnet, for which main has no route, on purpose.
        Some(gateway) => builder.gateway(gateway).onlink().build(),
        None => builder.scope(RouteScope::Link).build(),
    }
}

/// EEXIST: an earlier run, or the OS, did it already.
fn there_is_done(done: Result<(), rtnetlink::Error>) -> Result<(), rtnetlink::Error> {
    unless(done, &[nix::errno::Errno::EEXIST])
}

/// ESRCH, ENOENT, EADDRNOTAVAIL: it is gone already.
fn absent_is_done(done: Result<(), rtnetlink::Error>) -> Result<(), rtnetlink::Error> {
    use nix::errno::Errno;
    unless(done, &[Errno::ESRCH, Errno::ENOENT, Errno::EADDRNOTAVAIL])
}

fn unless(done: Result<(), rtnetlink::Error>, fine: &[nix::errno::Errno]) -> Result<(), rtnetlink::Error> {
    match done {
        Err(rtnetlink::Error::NetlinkError(ErrorMessage { code: Some(code), .. }))
            if fine.iter().any(|errno| *errno as i32 == -code.get()) =>
        {
            Ok(())
        }
        other => other,
    }
}
