//! Putting the address in its place, and opening and closing the door.
//!
//! ```text
//! place_address: ADDRESS/32 on lo        (the container can be published before the ENI is there)
//! expose: link up ─▶ address on the ENI ─▶ routes ─▶ rules ─▶ off lo ─▶ looked at again ─▶ door open
//! withdraw: door closed ─▶ environment file gone
//! ```

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::door::{self, Door, DoorState};
use super::eni::{AttachedEni, LocatedEni};
use super::netlink::{Link, Netlink};
use super::routes::{Bridge, Change, Facts, Place, Wanted, decide, refuse_foreign};
use super::{EniSelector, NetworkError, Publish, environment, networkd, reserve};
use crate::config::Settings;
use crate::host::{Host, Roots};
use crate::instance;
use crate::report::{Step, Work};
use crate::restore::Warm;

/// Docker makes the bridge before it starts the container, and the container runs.
const BRIDGE_DEADLINE: Duration = Duration::from_secs(10);
/// networkd applies a changed file within a second; after this we do it ourselves.
const NETWORKD_DEADLINE: Duration = Duration::from_secs(5);
/// The claim has seen the link already: one that is not there now has left, and comes back within seconds or is no
/// longer ours.
const LINK_AGAIN: Duration = Duration::from_secs(30);
/// All that the exposure waits for: the door looked at, closed where it is not as it should be, and opened; the link;
/// the bridge; networkd.
#[cfg(test)]
pub(super) const LONGEST: Duration = Duration::from_secs(
    3 * door::DEADLINE.as_secs()
        + LINK_AGAIN.as_secs()
        + BRIDGE_DEADLINE.as_secs()
        + 2 * networkd::DEADLINE.as_secs()
        + NETWORKD_DEADLINE.as_secs(),
);

/// Evidence: clients cannot get in, and the container cannot reach the metadata service.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::network::Closed;
/// fn forge(evidence: Closed) -> Closed { Closed { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::network::Closed;
/// fn hand_on(evidence: Closed) -> Closed { evidence }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    address: Option<Ipv4Addr>,
}

impl Closed {
    /// The address that is closed; `None`: the ports of every address are.
    pub const fn address(&self) -> Option<Ipv4Addr> {
        self.address
    }
}

/// Evidence: the address is on this instance, so that a container can be published on it.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::network::PlacedAddress;
/// fn forge(evidence: PlacedAddress) -> PlacedAddress { PlacedAddress { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::network::PlacedAddress;
/// fn hand_on(evidence: PlacedAddress) -> PlacedAddress { evidence }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedAddress {
    address: Ipv4Addr,
    link: String,
}

impl PlacedAddress {
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }
    /// `lo`, or the ENI's link when it was there already.
    pub fn link(&self) -> &str {
        &self.link
    }
}

/// Evidence: the address, routes and rules are in place and the door is open.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::network::Exposed;
/// fn forge(evidence: Exposed) -> Exposed { Exposed { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::network::Exposed;
/// fn hand_on(evidence: Exposed) -> Exposed { evidence }
/// ```
#[derive(Debug)]
pub struct Exposed {
    pub(super) warm: Warm,
}

impl Exposed {
    pub const fn eni(&self) -> &AttachedEni {
        self.warm.eni()
    }
    pub const fn address(&self) -> Ipv4Addr {
        self.warm.eni().address()
    }
}

fn door(settings: &Settings, address: Option<Ipv4Addr>) -> Door {
    let (uid, grpc) = (settings.storage.uid, settings.weaviate.grpc);
    let settings = &settings.network;
    Door {
        publish: settings.publish,
        address: address.or(match settings.eni {
            EniSelector::PrivateIp(address) => Some(address),
            EniSelector::Id(_) | EniSelector::Tags(_) => None,
        }),
        bridge: settings.bridge.clone(),
        bridge_subnet: settings.bridge_subnet,
        uid,
        grpc,
    }
}

/// Closes the door, before anything else at every boot. Needs nothing but the configuration.
pub async fn close(host: &Host) -> Result<Closed, NetworkError> {
    close_early(Some(&host.settings), &host.roots).await
}

/// The same without a journal, which another run may hold or somebody may have spoilt; and without a configuration
/// that can be read both ports of every address are closed.
pub async fn close_early(settings: Option<&Settings>, roots: &Roots) -> Result<Closed, NetworkError> {
    let door = settings.map_or_else(Door::blind, |settings| door(settings, None));
    door.close().await?;
    reserve::reserve(&roots.proc);
    environment::remove(&roots.run)?;
    let whose = door.address.map_or_else(|| "every address".to_owned(), |address| address.to_string());
    tracing::info!("closed the door of {whose}");
    Ok(Closed { address: door.address })
}

/// Closes the door again: the node no longer serves, or is no longer the owner.
pub async fn withdraw(host: &Host) -> Result<Closed, NetworkError> {
    let _working = host.status.begin(Work::Withdraw);
    host.status.say(Work::Withdraw, "closes the door");
    // The door first: a journal on a full disk must not keep it open. A run that is killed between the two finds
    // the door closed, and the next one looks at the door itself.
    let closed = close(host).await;
    let written = host.journal.write(|state| state.opened_in = None);
    let closed = closed?;
    written?;
    Ok(closed)
}

/// Closes the door again if a run of this boot has opened it, for an interface that turns out to be elsewhere.
pub(super) async fn withdraw_opened(host: &Host) -> Result<(), NetworkError> {
    if !opened_in_this_boot(host) {
        return Ok(());
    }
    tracing::warn!("the interface is not attached here: closes the door that an earlier run has opened");
    withdraw(host).await.map(drop)
}

/// Whether a run of this very boot opened the door. A boot that cannot be named has opened none.
fn opened_in_this_boot(host: &Host) -> bool {
    let opened_in = host.journal.read().opened_in;
    opened_in.is_some() && opened_in == instance::boot_id(host).ok()
}

/// Whether an earlier run of this very boot has verified and opened, and the door is as that run left it.
pub async fn is_open(host: &Host) -> bool {
    if !opened_in_this_boot(host) {
        return false;
    }
    // The interface was not looked up yet; that run has written its address down.
    match state(host, environment::address(&host.roots.run)).await {
        Ok(DoorState::Open) => true,
        // Somebody flushed or changed the rules: nothing keeps clients out then, and the container may reach the
        // metadata.
        Ok(DoorState::Absent | DoorState::Closed | DoorState::Altered { .. }) => false,
        Err(error) => {
            tracing::warn!(%error, "the door cannot be looked at, and is closed: {error}");
            false
        }
    }
}

/// Puts the address on `lo`, unless the instance has it already.
pub async fn place_address(host: &Host, eni: &LocatedEni) -> Result<PlacedAddress, NetworkError> {
    let settings = &host.settings.network;
    let netlink = Netlink::connect()?;
    // Here and not only at the exposure: others in our place would be found after a restore of many minutes.
    let there = facts(&netlink, settings.table, &networkd::declared(&host.roots.networkd)).await?;
    let bridge = match settings.publish {
        Publish::Bridge => Some((settings.bridge.as_str(), settings.bridge_subnet)),
        Publish::Host => None,
    };
    let (address, table, priority) = (eni.address(), settings.table, settings.priority);
    let links = there.links.iter().filter(|link| {
        link.mac.as_deref() == Some(eni.mac()) || bridge.is_some_and(|(name, _)| name == link.name)
    });
    let links = links.map(|link| link.index).collect();
    refuse_foreign(&there, &Place { address, table, priority, bridge, links })?;
    let placed = place(&netlink, address).await?;
    host.status.alive();
    tracing::info!(address = %placed.address, "placed {} on {}", placed.address, placed.link);
    Ok(placed)
}

async fn place(netlink: &Netlink, address: Ipv4Addr) -> Result<PlacedAddress, NetworkError> {
    let links = netlink.links().await?;
    let there = netlink.addresses().await?.into_iter().find(|found| found.ip == address);
    if let Some(there) = there {
        let link = links.into_iter().find(|link| link.index == there.link).map(|link| link.name);
        return Ok(PlacedAddress { address, link: link.unwrap_or_default() });
    }
    // Every network namespace has it, as its first link.
    let Some(Link { index, name, up, .. }) = links.into_iter().find(|link| link.loopback) else {
        return Err(NetworkError::Misunderstood {
            what: "the kernel's links".to_owned(),
            found: "no lo".to_owned(),
        });
    };
    if !up {
        netlink.set_up(index).await?;
    }
    netlink.add_address(index, address).await?;
    Ok(PlacedAddress { address, link: name })
}

/// Puts address, routes and rules in their place, then opens the door.
pub async fn expose(host: &Host, warm: Warm) -> Result<Exposed, NetworkError> {
    let eni = warm.eni();
    // Whoever got in before this moment may have written what no manifest knows.
    check_door(host, eni.address()).await?;
    host.status.say(Step::Expose, format!("puts {} and its routes on {}", eni.address(), eni.id()));
    settle(host, eni).await?;
    host.status.say(Step::Expose, "opens the door");
    door(&host.settings, Some(eni.address())).open().await?;
    let boot_id = instance::boot_id(host)?;
    host.journal.write(|state| state.opened_in = Some(boot_id))?;
    tracing::info!(address = %eni.address(), "opened the door of {}", eni.address());
    Ok(Exposed { warm })
}

/// That the interface is here, by its link: EC2 gives it to nobody else before the link is gone, and what it answers may
/// be old.
pub async fn check_link(host: &Host, step: Step, eni: &AttachedEni) -> Result<(), NetworkError> {
    let netlink = Netlink::connect()?;
    let patience = host.settings.network.link_deadline.min(LINK_AGAIN);
    netlink.await_link_in(step, &host.status, eni.id(), eni.eni().mac(), patience).await.map(drop)
}

/// Asserts address, routes and rules. The door is not touched.
async fn settle(host: &Host, eni: &AttachedEni) -> Result<(), NetworkError> {
    let settings = &host.settings.network;
    let netlink = Netlink::connect()?;
    // By MAC again: a link that left and came back has another index.
    let patience = settings.link_deadline.min(LINK_AGAIN);
    let link = netlink.await_link_in(Step::Expose, &host.status, eni.id(), eni.eni().mac(), patience).await?;
    let bridge = match settings.publish {
        Publish::Host => None,
        Publish::Bridge => {
            let bridge = netlink.await_bridge(&settings.bridge, BRIDGE_DEADLINE).await?;
            Some(Bridge { link: bridge.index, name: bridge.name, subnet: settings.bridge_subnet })
        }
    };
    let wanted = Wanted {
        address: eni.address(),
        subnet: eni.eni().subnet(),
        gateway: eni.eni().gateway(),
        link: link.index,
        bridge,
        table: settings.table,
        priority: settings.priority,
    };
    // Before the file is written anew: the rules of the old one are ours as well.
    let declared = networkd::declared(&host.roots.networkd);
    // Before anything is written: others in our place are refused.
    decide(&facts(&netlink, wanted.table, &declared).await?, &wanted)?;
    if networkd::runs().await {
        let text = networkd::render(&wanted, eni.eni().mac());
        if networkd::declare(&host.roots, &text).await? {
            await_networkd(&netlink, &wanted, &declared).await?;
        }
    }
    apply(&netlink, &wanted, &declared).await.map(drop)
}

/// networkd does its part by itself; what it did not do in time is done by [`apply`].
async fn await_networkd(
    netlink: &Netlink,
    wanted: &Wanted,
    declared: &[(u32, u32)],
) -> Result<(), NetworkError> {
    let end = Instant::now() + NETWORKD_DEADLINE;
    while Instant::now() < end {
        let left = decide(&facts(netlink, wanted.table, declared).await?, wanted)?;
        let of_networkd = |change: &Change| match change {
            Change::PutRoute(route) => route.link == wanted.link,
            Change::AddAddress { .. } | Change::AddRule(_) => true,
            _ => false,
        };
        if !left.iter().any(of_networkd) {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    tracing::warn!("systemd-networkd did not apply our file in time; routes and rules are set by netlink");
    Ok(())
}

/// `declared`: priority and table of each rule of our networkd file. networkd sets them with a protocol of its own,
/// which no file can change.
async fn facts(netlink: &Netlink, table: u32, declared: &[(u32, u32)]) -> Result<Facts, NetworkError> {
    let mut rules = netlink.rules().await?;
    for rule in &mut rules {
        rule.ours |=
            declared.iter().any(|(priority, table)| (rule.priority, rule.table) == (*priority, Some(*table)));
    }
    Ok(Facts {
        links: netlink.links().await?,
        addresses: netlink.addresses().await?,
        routes: netlink.routes(table).await?,
        rules,
    })
}

/// Looks, decides, acts, and looks again: what does not hold is an error.
async fn apply(
    netlink: &Netlink,
    wanted: &Wanted,
    declared: &[(u32, u32)],
) -> Result<Vec<Change>, NetworkError> {
    let changes = decide(&facts(netlink, wanted.table, declared).await?, wanted)?;
    for change in &changes {
        tracing::info!("{change}");
        match change {
            Change::SetUp { link } => netlink.set_up(*link).await?,
            Change::AddAddress { link, address } => netlink.add_address(*link, *address).await?,
            Change::RemoveRoute(route) => netlink.remove_route(route).await?,
            Change::PutRoute(route) => netlink.put_route(route).await?,
            Change::RemoveRule(rule) => netlink.remove_rule(rule).await?,
            Change::AddRule(rule) => netlink.add_rule(rule).await?,
            Change::RemoveAddress(address) => netlink.remove_address(address).await?,
        }
    }
    stayed(&decide(&facts(netlink, wanted.table, declared).await?, wanted)?)?;
    Ok(changes)
}

/// That nothing is left to change: the kernel took every change, so somebody else undid what is.
fn stayed(left: &[Change]) -> Result<(), NetworkError> {
    match left.first() {
        None => Ok(()),
        Some(change) => Err(NetworkError::Undone { what: change.to_string() }),
    }
}

/// Whether the door is as it would be written, open or closed, or gone. `address` where it is known.
pub async fn state(host: &Host, address: Option<Ipv4Addr>) -> Result<DoorState, NetworkError> {
    door::door_state(&[door(&host.settings, None), door(&host.settings, address)]).await
}

/// That nobody gets in, by what the kernel holds: for every step that must not be seen. It costs milliseconds.
pub async fn check_closed(host: &Host, address: Ipv4Addr) -> Result<Closed, NetworkError> {
    match state(host, Some(address)).await? {
        DoorState::Closed => Ok(Closed { address: Some(address) }),
        found @ (DoorState::Absent | DoorState::Open | DoorState::Altered { .. }) => {
            Err(NetworkError::Ajar { found })
        }
    }
}

/// As [`check_closed`], but a door that an earlier run of this boot opened may stay open. Any other is closed before
/// it is told: the next run begins behind a door of ours.
pub async fn check_door(host: &Host, address: Ipv4Addr) -> Result<DoorState, NetworkError> {
    let found = state(host, Some(address)).await?;
    match &found {
        DoorState::Closed => Ok(found),
        DoorState::Open if opened_in_this_boot(host) => Ok(found),
        DoorState::Absent | DoorState::Open | DoorState::Altered { .. } => {
            withdraw(host).await?;
            Err(NetworkError::Ajar { found })
        }
    }
}

#[cfg(test)]
#[path = "namespace_tests.rs"]
mod tests;
