//! The kernel's links, addresses, routes and rules, through rtnetlink. Never through sysfs, which shows the
//! interfaces of whatever namespace mounted it.
//!
//! To add an object: a plain struct here, how it is read in `read.rs`, how it is changed in `change.rs`.

mod change;
mod read;

use std::net::Ipv4Addr;
use std::time::Duration;

use rtnetlink::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::NetworkError;
use crate::config::Cidr;
use crate::report::{Status, Step};

/// Marks our routes and rules as ours (`ip route show proto 87`): no name in iproute2's `rt_protos` has the number.
/// What a run with another configuration left is known by it.
pub(super) const PROTOCOL: u8 = 87;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// `02:00:00:00:02:15`, as EC2 writes it.
    pub(super) mac: Option<String>,
    pub(super) up: bool,
    pub(super) loopback: bool,
    /// A VLAN, a bridge or a copy on top of another interface, which may carry that one's MAC.
    pub(super) stacked: bool,
}

/// An IPv4 address on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) link: u32,
    pub(super) ip: Ipv4Addr,
    pub(super) prefix: u8,
    /// Not on a lease that the kernel will end (cloud-init #6967).
    pub(super) permanent: bool,
}

/// A unicast route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) table: u32,
    /// `None`: the default route.
    pub(super) destination: Option<Cidr>,
    pub(super) gateway: Option<Ipv4Addr>,
    pub(super) link: u32,
    /// Whether it has our [`PROTOCOL`].
    pub(super) ours: bool,
}

/// A rule that looks into a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) priority: u32,
    pub(super) from: Option<Cidr>,
    pub(super) arriving: Option<String>,
    /// `None`: it does something else, or asks for more than this program ever does.
    pub(super) table: Option<u32>,
    /// Whether it has our [`PROTOCOL`].
    pub(super) ours: bool,
}

/// Which way a packet would leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) link: u32,
}

/// A netlink socket in this process's network namespace. Its task ends with it.
#[derive(Debug)]
pub(super) struct Netlink {
    handle: Handle,
    connection: JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// How often the kernel is asked while a link is awaited: a look costs tens of microseconds.
const LOOK: Duration = Duration::from_millis(50);

impl Netlink {
    pub(super) fn connect() -> Result<Self, NetworkError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|source| NetworkError::Socket { source })?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    /// The link with this MAC: EC2's "attached" comes before the interface does, by up to minutes.
    pub(super) async fn await_link(
        &self,
        status: &Status,
        eni: &str,
        mac: &str,
        deadline: Duration,
    ) -> Result<Link, NetworkError> {
        self.await_link_in(Step::Claim, status, eni, mac, deadline).await
    }

    /// The same in another step than the claim.
    pub(super) async fn await_link_in(
        &self,
        step: Step,
        status: &Status,
        eni: &str,
        mac: &str,
        deadline: Duration,
    ) -> Result<Link, NetworkError> {
        let started = Instant::now();
        loop {
            if let Some(link) = by_mac(&self.links().await?, mac) {
                return Ok(link);
            }
            if started.elapsed() >= deadline {
                let (eni, mac) = (eni.to_owned(), mac.to_owned());
                return Err(NetworkError::LinkAbsent { eni, mac, waited: started.elapsed() });
            }
            status.say(step, format!("waits for the interface of {eni} ({mac})"));
            sleep(LOOK).await;
        }
    }

    /// The bridge of this name: Docker makes it with the container's network.
    pub(super) async fn await_bridge(&self, name: &str, deadline: Duration) -> Result<Link, NetworkError> {
        let started = Instant::now();
        loop {
            if let Some(link) = self.links().await?.into_iter().find(|link| link.name == name) {
                return Ok(link);
            }
            if started.elapsed() >= deadline {
                return Err(NetworkError::BridgeAbsent {
                    bridge: name.to_owned(),
                    waited: started.elapsed(),
                });
            }
            sleep(LOOK).await;
        }
    }
}

/// By MAC, never by name: names differ between types and images (ens5, ens34, enp39s0).
pub(super) fn by_mac(links: &[Link], mac: &str) -> Option<Link> {
    links.iter().find(|link| !link.stacked && link.mac.as_deref() == Some(mac)).cloned()
}

fn failed(operation: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> NetworkError {
    let operation = operation.into();
    move |source| NetworkError::Netlink { operation, source }
}
