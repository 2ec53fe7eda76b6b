//! The door: an nftables table of our own that nobody but this instance gets through until the data is verified.
//!
//! ```text
//! close ──▶ quarantine: drops what comes from outside to 8080 and 50051     metadata: the container never
//! open  ──▶ quarantine: empty                                               reaches 169.254.169.254
//! ```
//!
//! Each change replaces the whole table in one transaction, so there is no moment between two states, and a
//! second run does no harm. Docker's own tables are never touched.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::{NetworkError, Publish};
use crate::config::Cidr;
use crate::process::{self, ProcessError};

/// The table's family and name.
pub const TABLE: &str = "inet weaviate_provisioner";
/// REST and gRPC of the server.
pub const PORTS: [u16; 2] = [8080, 50051];
/// Metrics, profiling, gossip, cluster API and raft: never for clients. In host mode the server listens on
/// every address with them.
const INNER_PORTS: &str = "{ 2112, 6060, 7946, 7947, 8300, 8301, 8302 }";

const DEADLINE: Duration = Duration::from_secs(10);

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
}

impl Door {
    /// The whole table, closed or open.
    pub(super) fn script(&self, open: bool) -> String {
        let mut text = String::new();
        // `add` before `delete`: deleting what is absent would fail the transaction.
        let _ = writeln!(text, "add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{");
        // Before raw (-300), and so before Docker's DNAT (-100): the packet still has the address it came for.
        let _ = writeln!(text, "  chain quarantine {{");
        let _ = writeln!(text, "    type filter hook prerouting priority -310; policy accept;");
        if !open {
            self.quarantine(&mut text);
        }
        let _ = writeln!(text, "  }}");
        match self.publish {
            Publish::Bridge => self.metadata_of_bridge(&mut text),
            Publish::Host => {
                self.guard(&mut text);
                self.metadata_of_user(&mut text);
            }
        }
        text.push_str("}\n");
        text
    }

    fn quarantine(&self, text: &mut String) {
        let [rest, grpc] = PORTS;
        let to = match self.address {
            Some(address) if self.publish == Publish::Bridge => format!("ip daddr {address} "),
            _ => String::new(),
        };
        let _ = writeln!(text, "    iif != \"lo\" {to}tcp dport {{ {rest}, {grpc} }} counter drop");
        if self.publish == Publish::Bridge && !to.is_empty() {
            // Past the published address, to the container's own: only from the bridge itself.
            let _ = writeln!(
                text,
                "    iifname != {{ \"lo\", \"{}\" }} ip daddr {} tcp dport {{ {rest}, {grpc} }} counter drop",
                self.bridge, self.bridge_subnet
            );
        }
    }

    /// The container has no way to the instance's credentials, ever.
    fn metadata_of_bridge(&self, text: &mut String) {
        let bridge = &self.bridge;
        let _ = writeln!(text, "  chain metadata {{");
        let _ = writeln!(text, "    type filter hook forward priority -10; policy accept;");
        let _ = writeln!(text, "    iifname \"{bridge}\" ip daddr 169.254.169.254 counter drop");
        let _ = writeln!(text, "    iifname \"{bridge}\" ip6 daddr fd00:ec2::254 counter drop");
        let _ = writeln!(text, "  }}");
    }

    /// On the host's network there is no bridge to tell the container by; its user does.
    fn metadata_of_user(&self, text: &mut String) {
        let uid = self.uid;
        let _ = writeln!(text, "  chain metadata {{");
        let _ = writeln!(text, "    type filter hook output priority -10; policy accept;");
        let _ = writeln!(text, "    meta skuid {uid} ip daddr 169.254.169.254 counter drop");
        let _ = writeln!(text, "    meta skuid {uid} ip6 daddr fd00:ec2::254 counter drop");
        let _ = writeln!(text, "  }}");
    }

    /// On the host's network the server listens on every address (gRPC always does): all its ports are closed
    /// for good, except the two on the fixed address.
    fn guard(&self, text: &mut String) {
        let [rest, grpc] = PORTS;
        let _ = writeln!(text, "  chain guard {{");
        let _ = writeln!(text, "    type filter hook prerouting priority -309; policy accept;");
        if let Some(address) = self.address {
            let _ = writeln!(
                text,
                "    iif != \"lo\" ip daddr != {address} tcp dport {{ {rest}, {grpc} }} counter drop"
            );
            let _ = writeln!(
                text,
                "    iif != \"lo\" meta nfproto ipv6 tcp dport {{ {rest}, {grpc} }} counter drop"
            );
        } else {
            let _ = writeln!(text, "    iif != \"lo\" tcp dport {{ {rest}, {grpc} }} counter drop");
        }
        let _ = writeln!(text, "    iif != \"lo\" tcp dport {INNER_PORTS} counter drop");
        let _ = writeln!(text, "    iif != \"lo\" udp dport {{ 7946, 7947 }} counter drop");
        let _ = writeln!(text, "  }}");
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

/// What the kernel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorState {
    /// No table of ours: everybody gets in, and the container reaches the metadata service.
    Absent,
    Closed {
        metadata_closed: bool,
    },
    Open {
        metadata_closed: bool,
    },
}

impl DoorState {
    /// Whether the container has no way to the instance's credentials.
    pub const fn metadata_closed(self) -> bool {
        match self {
            Self::Absent => false,
            Self::Closed { metadata_closed } | Self::Open { metadata_closed } => metadata_closed,
        }
    }
}

/// Looks at the table as the kernel holds it.
pub async fn door_state() -> Result<DoorState, NetworkError> {
    let listed =
        process::run("nft", &["-j", "list", "table", "inet", "weaviate_provisioner"], None, DEADLINE).await;
    let text = match listed {
        Ok(output) => output.stdout,
        Err(ProcessError::Failed { stderr, .. }) if stderr.contains("No such file or directory") => {
            return Ok(DoorState::Absent);
        }
        Err(source) => return Err(NetworkError::Door { operation: "list", source }),
    };
    read(&text)
}

fn read(text: &str) -> Result<DoorState, NetworkError> {
    let listed: serde_json::Value =
        serde_json::from_str(text).map_err(|source| NetworkError::DoorUnreadable { source })?;
    let rules = |chain: &str| {
        let items = listed["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of_chain = items.iter().map(|item| &item["rule"]).filter(|rule| rule["chain"] == chain);
        of_chain.filter(|rule| rule["expr"].to_string().contains("drop")).count()
    };
    let metadata_closed = rules("metadata") == 2;
    Ok(if rules("quarantine") == 0 {
        DoorState::Open { metadata_closed }
    } else {
        DoorState::Closed { metadata_closed }
    })
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
