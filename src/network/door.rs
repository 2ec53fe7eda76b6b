//! The door: an nftables table of our own that nobody but this instance gets through until the data is verified.
//!
//! ```text
//! close ──▶ quarantine: drops what comes from outside to 8080 and 50051     metadata: the container never
//! open  ──▶ quarantine: empty                                               reaches 169.254.169.254
//! ```
//!
//! Each change replaces the whole table in one transaction, so there is no moment between two states, and a
//! second run does no harm. Docker's own tables are never touched. What the kernel holds is compared, rule by
//! rule, with what would be written: a table of our name that is anything else does not count as a door.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::table::{self, Chain, Rule, is, is_not};
use super::{NetworkError, Publish, settings};
use crate::config::Cidr;
use crate::process::{self, ProcessError};

/// The table's family and name.
pub const TABLE: &str = "inet weaviate_provisioner";
/// REST and gRPC of the server.
pub const PORTS: [u16; 2] = [8080, 50051];
/// Metrics, profiling, gossip, cluster API and raft: never for clients. In host mode the server listens on
/// every address with them.
const INNER_PORTS: [u16; 7] = [2112, 6060, 7946, 7947, 8300, 8301, 8302];
const GOSSIP_PORTS: [u16; 2] = [7946, 7947];
/// The instance metadata service (EC2 user guide, "Access instance metadata").
const METADATA: (&str, &str) = ("169.254.169.254", "fd00:ec2::254");

pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Everything that the table depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Door {
    pub(super) publish: Publish,
    /// Unknown until the interface was located by id or tags.
    pub(super) address: Option<Ipv4Addr>,
    pub(super) bridge: String,
    pub(super) bridge_subnet: Cidr,
    /// The container's user, which in host mode is what tells its packets from ours.
    pub(super) uid: u32,
    /// Whether gRPC is for clients. On the host's network the server listens on its port anyway.
    pub(super) grpc: bool,
}

impl Door {
    /// What can be closed where nobody knows the configuration: both ports of every address.
    pub(super) fn blind() -> Self {
        Self {
            publish: Publish::Bridge,
            address: None,
            bridge: settings::BRIDGE.to_owned(),
            bridge_subnet: settings::BRIDGE_SUBNET,
            // On a bridge nobody asks for these.
            uid: 0,
            grpc: true,
        }
    }

    /// The whole table, closed or open.
    pub(super) fn script(&self, open: bool) -> String {
        let mut text = String::new();
        // `add` before `delete`: deleting what is absent would fail the transaction.
        let _ = writeln!(text, "add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{");
        for chain in self.chains(open) {
            table::render(&mut text, &chain);
        }
        text.push_str("}\n");
        text
    }

    pub(super) fn chains(&self, open: bool) -> Vec<Chain> {
        let chain = |name: &str, hook: &str, priority, rules| Chain {
            name: name.to_owned(),
            hook: hook.to_owned(),
            priority,
            rules,
        };
        let shut = if open { Vec::new() } else { self.quarantine() };
        // Before raw (-300), and so before Docker's DNAT (-100): the packet still has the address it came for.
        let mut chains = vec![chain("quarantine", "prerouting", -310, shut)];
        match self.publish {
            Publish::Bridge => chains.push(chain("metadata", "forward", -10, self.metadata_of_bridge())),
            Publish::Host => {
                chains.push(chain("guard", "prerouting", -309, self.guard()));
                chains.push(chain("metadata", "output", -10, self.metadata_of_user()));
            }
        }
        chains
    }

    fn quarantine(&self) -> Vec<Rule> {
        let ports = || is("tcp dport", &PORTS);
        let to = match self.address {
            Some(address) if self.publish == Publish::Bridge => is("ip daddr", &[address]),
            _ => to_us(),
        };
        let mut rules = vec![vec![outside(), to, ports()]];
        if self.publish == Publish::Bridge {
            // Past the published address, to the container's own: only from the bridge itself.
            let past = is_not("iifname", &["lo", &self.bridge]);
            rules.push(vec![past, is("ip daddr", &[self.bridge_subnet]), ports()]);
        }
        rules
    }

    /// The container has no way to the instance's credentials, ever.
    fn metadata_of_bridge(&self) -> Vec<Rule> {
        let (four, six) = METADATA;
        let from = || is("iifname", &[&self.bridge]);
        vec![vec![from(), is("ip daddr", &[four])], vec![from(), is("ip6 daddr", &[six])]]
    }

    /// On the host's network there is no bridge to tell the container by; its user does.
    fn metadata_of_user(&self) -> Vec<Rule> {
        let (four, six) = METADATA;
        let user = || is("meta skuid", &[self.uid]);
        vec![vec![user(), is("ip daddr", &[four])], vec![user(), is("ip6 daddr", &[six])]]
    }

    /// On the host's network the server listens on every address (gRPC always does): all its ports are closed
    /// for good, except those for clients on the fixed address.
    fn guard(&self) -> Vec<Rule> {
        let [rest, grpc] = PORTS;
        let mut rules = Vec::new();
        let served: &[u16] = if self.grpc { &PORTS } else { &[rest] };
        if let Some(address) = self.address {
            rules.push(vec![outside(), is_not("ip daddr", &[address]), to_us(), is("tcp dport", served)]);
            rules.push(vec![outside(), is("meta nfproto", &["ipv6"]), to_us(), is("tcp dport", served)]);
        } else {
            rules.push(vec![outside(), to_us(), is("tcp dport", served)]);
        }
        if !self.grpc {
            rules.push(vec![outside(), to_us(), is("tcp dport", &[grpc])]);
        }
        rules.push(vec![outside(), to_us(), is("tcp dport", &INNER_PORTS)]);
        rules.push(vec![outside(), to_us(), is("udp dport", &GOSSIP_PORTS)]);
        rules
    }

    /// Nobody outside gets in; the instance itself does.
    pub(super) async fn close(&self) -> Result<(), NetworkError> {
        self.load(false, "close").await
    }

    /// Clients get in. The metadata service stays closed to the container.
    pub(super) async fn open(&self) -> Result<(), NetworkError> {
        self.load(true, "open").await
    }

    async fn load(&self, open: bool, operation: &'static str) -> Result<(), NetworkError> {
        let script = self.script(open);
        process::run("nft", &["-f", "-"], Some(script.as_bytes()), DEADLINE)
            .await
            .map_err(|source| NetworkError::Door { operation, source })?;
        Ok(())
    }
}

fn outside() -> table::Match {
    is_not("iif", &["lo"])
}

/// What this machine only forwards is not ours: its other containers may well talk to somebody's port 8080.
fn to_us() -> table::Match {
    is("fib daddr type", &["local"])
}

/// What the kernel holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoorState {
    /// No table of ours: everybody gets in, and the container reaches the metadata service.
    Absent,
    Closed,
    Open,
    /// A table of our name, and this chain of it is not what would be written, closed or open.
    Altered {
        chain: String,
    },
}

impl DoorState {
    /// Whether the container has no way to the instance's credentials.
    pub fn metadata_closed(&self) -> bool {
        match self {
            Self::Absent => false,
            Self::Closed | Self::Open => true,
            Self::Altered { chain } => chain != "metadata",
        }
    }
}

impl std::fmt::Display for DoorState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => write!(f, "the table {TABLE} is gone"),
            Self::Closed => f.write_str("it is closed"),
            Self::Open => f.write_str("it is open"),
            Self::Altered { chain } => write!(f, "the chain {chain} is not what this program wrote"),
        }
    }
}

/// Looks at the table as the kernel holds it, and compares it with each of `doors`: before the address is known
/// another one is written than after.
pub(super) async fn door_state(doors: &[Door]) -> Result<DoorState, NetworkError> {
    let listed =
        process::run("nft", &["-j", "list", "table", "inet", "weaviate_provisioner"], None, DEADLINE).await;
    let text = match listed {
        Ok(output) => output.stdout,
        Err(ProcessError::Failed { stderr, .. }) if stderr.contains("No such file or directory") => {
            return Ok(DoorState::Absent);
        }
        Err(source) => return Err(NetworkError::Door { operation: "list", source }),
    };
    let listed = table::read(&text).map_err(|source| NetworkError::DoorUnreadable { source })?;
    Ok(compare(&listed, doors))
}

fn compare(listed: &[Chain], doors: &[Door]) -> DoorState {
    let mut nearest: Option<(usize, String)> = None;
    for door in doors {
        let (closed, open) = (table::normal(door.chains(false)), table::normal(door.chains(true)));
        if listed == closed {
            return DoorState::Closed;
        }
        if listed == open {
            return DoorState::Open;
        }
        // What stands for good comes first: without it nothing else matters.
        let named = |chains: &[Chain], name: &str| chains.iter().find(|chain| chain.name == name).cloned();
        let wrong: Vec<&str> = ["metadata", "guard"]
            .into_iter()
            .filter(|name| named(listed, name) != named(&closed, name))
            .collect();
        // The door that was written is the one with the fewest differences: of the others everything that hangs on
        // their address differs too.
        if nearest.as_ref().is_none_or(|(fewest, _)| wrong.len() < *fewest) {
            nearest = Some((wrong.len(), wrong.first().copied().unwrap_or("quarantine").to_owned()));
        }
    }
    DoorState::Altered { chain: nearest.map(|(_, chain)| chain).unwrap_or_default() }
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
