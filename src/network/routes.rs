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

use std::fmt;
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

/// Where nobody but us may be: known before the interface is attached.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub(super) address: Ipv4Addr,
    pub(super) table: u32,
    pub(super) priority: u32,
    /// Name and subnet.
    pub(super) bridge: Option<(&'a str, Cidr)>,
    /// The ENI's and the bridge's, as far as they are here.
    pub(super) links: Vec<u32>,
}

/// What is so.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) links: Vec<Link>,
    pub(super) addresses: Vec<Address>,
    /// Of our table, and those of ours in others.
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

/// For the log and for the user: "puts the route to 172.30.254.0/24 by link 5 into table 8080".
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetUp { link } => write!(f, "sets link {link} up"),
            Self::AddAddress { link, address } => write!(f, "puts {address} on link {link}"),
            Self::RemoveAddress(Address { link, ip, prefix, .. }) => {
                write!(f, "takes {ip}/{prefix} off link {link}")
            }
            Self::PutRoute(route) => write!(f, "puts {route} into table {}", route.table),
            Self::RemoveRoute(route) => write!(f, "takes {route} out of table {}", route.table),
            Self::AddRule(rule) => write!(f, "puts {} at priority {}", describe(rule), rule.priority),
            Self::RemoveRule(rule) => write!(f, "takes {} off priority {}", describe(rule), rule.priority),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.destination {
            Some(destination) => write!(f, "the route to {destination}")?,
            None => f.write_str("the default route")?,
        }
        if let Some(gateway) = self.gateway {
            write!(f, " over {gateway}")?;
        }
        write!(f, " by link {}", self.link)
    }
}

impl Wanted {
    /// The subnet first: the default route's gateway lies in it.
    pub(super) fn routes(&self) -> Vec<Route> {
        let to =
            |destination, gateway, link| Route { table: self.table, destination, gateway, link, ours: true };
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
        let mut rules = vec![Rule { priority: self.priority, from, arriving: None, table, ours: true }];
        if let Some(bridge) = &self.bridge {
            let arriving = Some(bridge.name.clone());
            rules.push(Rule { priority: self.priority + 1, from: None, arriving, table, ours: true });
        }
        rules
    }

    fn place(&self) -> Place<'_> {
        Place {
            address: self.address,
            table: self.table,
            priority: self.priority,
            bridge: self.bridge.as_ref().map(|bridge| (bridge.name.as_str(), bridge.subnet)),
            links: std::iter::once(self.link).chain(self.bridge.as_ref().map(|bridge| bridge.link)).collect(),
        }
    }
}

impl Route {
    /// The same way, whoever set it: networkd and we may both have.
    fn like(&self, other: &Self) -> bool {
        Self { ours: true, ..self.clone() } == Self { ours: true, ..other.clone() }
    }
}

impl Rule {
    /// The same rule, whoever set it.
    pub(super) fn like(&self, other: &Self) -> bool {
        Self { ours: true, ..self.clone() } == Self { ours: true, ..other.clone() }
    }
}

/// What must change; nothing when all is as wanted.
pub(super) fn decide(facts: &Facts, wanted: &Wanted) -> Result<Vec<Change>, NetworkError> {
    let place = wanted.place();
    refuse_foreign(facts, &place)?;
    let (routes, rules) = (wanted.routes(), wanted.rules());
    let mut changes = Vec::new();
    if facts.links.iter().any(|link| link.index == wanted.link && !link.up) {
        changes.push(Change::SetUp { link: wanted.link });
    }
    let ours = |address: &&Address| address.ip == wanted.address;
    if !facts.addresses.iter().filter(ours).any(|a| a.link == wanted.link && a.permanent) {
        changes.push(Change::AddAddress { link: wanted.link, address: wanted.address });
    }
    // In our table what is not wanted is ours and old, or it was refused; elsewhere it carries our mark: a run with
    // another table, priority or bridge left it.
    let stale = facts.routes.iter().filter(|route| !routes.iter().any(|wanted| wanted.like(route)));
    changes.extend(stale.cloned().map(Change::RemoveRoute));
    let missing = routes.into_iter().filter(|route| !facts.routes.iter().any(|found| found.like(route)));
    changes.extend(missing.map(Change::PutRoute));
    let stale = facts.rules.iter().filter(|rule| {
        (in_our_place(rule, &place) || rule.ours) && !rules.iter().any(|wanted| wanted.like(rule))
    });
    changes.extend(stale.cloned().map(Change::RemoveRule));
    let missing = rules.into_iter().filter(|rule| !facts.rules.iter().any(|found| found.like(rule)));
    changes.extend(missing.map(Change::AddRule));
    // Last: until then the one on `lo` is what the container is published on.
    let elsewhere = facts.addresses.iter().filter(ours).filter(|address| address.link != wanted.link);
    changes.extend(elsewhere.cloned().map(Change::RemoveAddress));
    Ok(changes)
}

fn in_our_place(rule: &Rule, place: &Place<'_>) -> bool {
    rule.priority == place.priority || rule.priority == place.priority + 1
}

/// Others may not use our table or our priorities: what they mean would change. What carries our mark is ours,
/// wherever it is.
pub(super) fn refuse_foreign(facts: &Facts, place: &Place<'_>) -> Result<(), NetworkError> {
    let table = place.table;
    let of_others =
        |route: &&Route| route.table == table && !route.ours && !place.links.contains(&route.link);
    if let Some(route) = facts.routes.iter().find(of_others) {
        // A bridge of ours that was made anew took its old routes with it, so this one is not ours.
        let link = facts.links.iter().find(|link| link.index == route.link);
        let name = link.map_or_else(|| format!("link {}", route.link), |link| link.name.clone());
        let by = match route.destination {
            Some(destination) => format!("a route to {destination} by {name}"),
            None => format!("a default route by {name}"),
        };
        return Err(NetworkError::TableTaken { table, by });
    }
    for rule in facts.rules.iter().filter(|rule| !rule.ours) {
        let taken = |by: String| NetworkError::PriorityTaken { priority: rule.priority, by };
        if in_our_place(rule, place) {
            if rule.table != Some(table) {
                return Err(taken(describe(rule)));
            }
        } else if rule.table == Some(table) {
            let by = format!("the rule of priority {}", rule.priority);
            return Err(NetworkError::TableTaken { table, by });
        } else if let Some(what) = comes_before(rule, place) {
            // It would be asked first, and its table does not know the bridge.
            return Err(taken(format!("{}, which comes before ours for {what}", describe(rule))));
        }
    }
    Ok(())
}

/// Which packets of ours the rule would take before our own rules see them.
fn comes_before(rule: &Rule, place: &Place<'_>) -> Option<&'static str> {
    let from = rule.from.filter(|from| from.prefix > 0);
    if rule.priority < place.priority && from.is_some_and(|from| from.contains(place.address)) {
        return Some("the ENI's address");
    }
    let (bridge, subnet) = place.bridge?;
    let of_bridge = rule.arriving.as_deref() == Some(bridge);
    let of_subnet = rule.arriving.is_none()
        && from.is_some_and(|from| from.contains(subnet.network) || subnet.contains(from.network));
    (rule.priority <= place.priority && (of_bridge || of_subnet)).then_some("the bridge")
}

fn describe(rule: &Rule) -> String {
    let from = rule.from.map(|from| format!(" from {from}")).unwrap_or_default();
    let arriving =
        rule.arriving.as_ref().map(|link| format!(" for what comes by {link}")).unwrap_or_default();
    let into = rule.table.map_or_else(|| "no plain table".to_owned(), |table| format!("table {table}"));
    format!("a rule{from}{arriving} into {into}")
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
