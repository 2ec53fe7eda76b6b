//! The address, the routes and the rules that make a published container answer through the ENI. Pure.
//!
//! A reply is routed before its DNAT is undone: its source is still the container's, so a rule on the ENI's
//! address does not match it, and the VPC drops what leaves by the primary interface. And the instance's own
//! connections to the ENI's address have that address as their source: the table must know the bridge.
//!
//! ```text
//! table T:  subnet of the ENI ─▶ ENI     default via its gateway ─▶ ENI     subnet of the bridge ─▶ bridge
//! rules:    from ADDRESS lookup T        iif BRIDGE lookup T
//! ```
//!
//! On the host's network the bridge's route and rule are not there. There is never a rule for the primary
//! address (it would blackhole Docker: ec2-net-utils #97), and never a route in `main`.

use std::net::Ipv4Addr;

use super::NetworkError;
use super::netlink::{Address, Link, Route, Rule};
use crate::config::Cidr;

/// The bridge of the container, as it is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bridge {
    pub(super) link: u32,
    pub(super) name: String,
    pub(super) subnet: Cidr,
}

/// What must be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) address: Ipv4Addr,
    pub(super) subnet: Cidr,
    pub(super) gateway: Ipv4Addr,
    pub(super) link: u32,
    /// `None` where the container is on the host's network.
    pub(super) bridge: Option<Bridge>,
    pub(super) table: u32,
    pub(super) priority: u32,
}

/// What is so.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) links: Vec<Link>,
    pub(super) addresses: Vec<Address>,
    /// Of our table only.
    pub(super) routes: Vec<Route>,
    pub(super) rules: Vec<Rule>,
}

/// One change, to be made in the order in which it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    SetUp { link: u32 },
    AddAddress { link: u32, address: Ipv4Addr },
    RemoveRoute(Route),
    PutRoute(Route),
    RemoveRule(Rule),
    AddRule(Rule),
    RemoveAddress(Address),
}

impl Wanted {
    /// The subnet first: the default route's gateway lies in it.
    pub(super) fn routes(&self) -> Vec<Route> {
        let to = |destination, gateway, link| Route { table: self.table, destination, gateway, link };
        let mut routes =
            vec![to(Some(self.subnet), None, self.link), to(None, Some(self.gateway), self.link)];
        if let Some(bridge) = &self.bridge {
            routes.push(to(Some(bridge.subnet), None, bridge.link));
        }
        routes
    }

    pub(super) fn rules(&self) -> Vec<Rule> {
        let from = Some(Cidr { network: self.address, prefix: 32 });
        let table = Some(self.table);
        let mut rules = vec![Rule { priority: self.priority, from, arriving: None, table }];
        if let Some(bridge) = &self.bridge {
            let arriving = Some(bridge.name.clone());
            rules.push(Rule { priority: self.priority + 1, from: None, arriving, table });
        }
        rules
    }
}

/// What must change; nothing when all is as wanted.
pub(super) fn decide(facts: &Facts, wanted: &Wanted) -> Result<Vec<Change>, NetworkError> {
    refuse_foreign(facts, wanted)?;
    let (routes, rules) = (wanted.routes(), wanted.rules());
    let mut changes = Vec::new();
    if facts.links.iter().any(|link| link.index == wanted.link && !link.up) {
        changes.push(Change::SetUp { link: wanted.link });
    }
    let ours = |address: &&Address| address.ip == wanted.address;
    if !facts.addresses.iter().filter(ours).any(|a| a.link == wanted.link && a.permanent) {
        changes.push(Change::AddAddress { link: wanted.link, address: wanted.address });
    }
    let stale = facts.routes.iter().filter(|route| !routes.contains(route));
    changes.extend(stale.cloned().map(Change::RemoveRoute));
    let missing = routes.into_iter().filter(|route| !facts.routes.contains(route));
    changes.extend(missing.map(Change::PutRoute));
    let stale = facts.rules.iter().filter(|rule| in_our_place(rule, wanted) && !rules.contains(rule));
    changes.extend(stale.cloned().map(Change::RemoveRule));
    let missing = rules.into_iter().filter(|rule| !facts.rules.contains(rule));
    changes.extend(missing.map(Change::AddRule));
    // Last: until then the one on `lo` is what the container is published on.
    let elsewhere = facts.addresses.iter().filter(ours).filter(|address| address.link != wanted.link);
    changes.extend(elsewhere.cloned().map(Change::RemoveAddress));
    Ok(changes)
}

fn in_our_place(rule: &Rule, wanted: &Wanted) -> bool {
    rule.priority == wanted.priority || rule.priority == wanted.priority + 1
}

/// Others may not use our table or our priorities: what they mean would change.
fn refuse_foreign(facts: &Facts, wanted: &Wanted) -> Result<(), NetworkError> {
    let table = wanted.table;
    let name = |index: u32| {
        let link = facts.links.iter().find(|link| link.index == index);
        link.map_or_else(|| format!("link {index}"), |link| link.name.clone())
    };
    let bridge = wanted.bridge.as_ref().map(|bridge| bridge.link);
    if let Some(route) = facts.routes.iter().find(|r| r.link != wanted.link && Some(r.link) != bridge) {
        // A bridge of ours that was made anew took its old routes with it, so this one is not ours.
        let by = format!("a route by {}", name(route.link));
        return Err(NetworkError::TableTaken { table, by });
    }
    for rule in &facts.rules {
        if rule.priority < wanted.priority
            && rule.from.is_some_and(|from| from.prefix > 0 && from.contains(wanted.address))
        {
            // It would be asked first, and its table does not know the bridge.
            let by = "a rule from the ENI's address, which comes before ours".to_owned();
            return Err(NetworkError::PriorityTaken { priority: rule.priority, by });
        }
        if in_our_place(rule, wanted) {
            if rule.table != Some(table) {
                let into =
                    rule.table.map_or_else(|| "no plain table".to_owned(), |table| format!("table {table}"));
                let by = format!("a rule into {into}");
                return Err(NetworkError::PriorityTaken { priority: rule.priority, by });
            }
        } else if rule.table == Some(table) {
            let by = format!("the rule of priority {}", rule.priority);
            return Err(NetworkError::TableTaken { table, by });
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
