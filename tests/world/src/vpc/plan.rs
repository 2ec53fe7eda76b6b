//! What the VPC looks like, as data, and the pure functions that turn it into `ip` and `nft` scripts.
//!
//! ```text
//!  near 10.0.2.50 ──┐                        ┌── primary NIC 10.0.1.10 ─┐
//!  far  10.0.3.20 ──┼── router: one veth per ┤                          ├ instance
//!  stranger 10.0.4.66 ┘  NIC, one /32 route  └── ENI 10.0.2.15 ─────────┘
//!                       10.0.8.8-11, 169.254.169.254 on its lo
//! ```
//! As on EC2 no two NICs share a wire: the router answers ARP for everybody, knows every address by its
//! NIC (permanent neighbours), and drops what a NIC sends from an address that is not its own.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::ledger::Client;

/// A network interface as EC2 knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    pub address: Ipv4Addr,
    pub prefix: u8,
    pub gateway: Ipv4Addr,
    pub mac: String,
}

/// An elastic network interface and its security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EniPlan {
    pub id: String,
    pub nic: Nic,
    /// The index of the attachment: the guest names the second NIC after it, and cloud-init its table.
    pub device_index: u8,
    /// What the interface is called in the instance.
    pub interface: String,
    /// Who may open a connection, and to which port.
    pub allowed: BTreeSet<(Client, u16)>,
}

impl Default for EniPlan {
    fn default() -> Self {
        Self {
            id: "eni-0weaviate".into(),
            nic: Nic {
                address: Ipv4Addr::new(10, 0, 2, 15),
                prefix: 24,
                gateway: Ipv4Addr::new(10, 0, 2, 1),
                mac: "06:5e:00:02:00:0f".into(),
            },
            device_index: 1,
            interface: "ens6".into(),
            allowed: [Client::Near, Client::Far]
                .into_iter()
                .flat_map(|client| [8080, 50051].map(|port| (client, port)))
                .collect(),
        }
    }
}

/// The addresses of a VPC.
#[derive(Clone, Debug)]
pub struct VpcPlan {
    pub near: Nic,
    pub far: Nic,
    pub stranger: Nic,
    /// The routers of the subnets.
    pub gateways: Vec<Ipv4Addr>,
    /// Where services may listen.
    pub services: Vec<Ipv4Addr>,
    /// How far answers of the metadata service go: `HttpPutResponseHopLimit`.
    pub hop_limit: u32,
}

/// The instance metadata service: answers instances only, and not one hop further.
pub const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

impl Default for VpcPlan {
    fn default() -> Self {
        let nic = |subnet: u8, host: u8| Nic {
            address: Ipv4Addr::new(10, 0, subnet, host),
            prefix: 24,
            gateway: Ipv4Addr::new(10, 0, subnet, 1),
            mac: format!("06:5e:00:{subnet:02x}:00:{host:02x}"),
        };
        Self {
            near: nic(2, 50),
            far: nic(3, 20),
            stranger: nic(4, 66),
            gateways: (1..=4).map(|subnet| Ipv4Addr::new(10, 0, subnet, 1)).collect(),
            // 10.0.0.2 is where a VPC has its resolver; nobody answers there, and quickly.
            services: [2, 8, 9, 10, 11]
                .map(|host| Ipv4Addr::new(10, 0, if host == 2 { 0 } else { 8 }, host))
                .to_vec(),
            hop_limit: 1,
        }
    }
}

impl VpcPlan {
    pub fn client(&self, client: Client) -> &Nic {
        match client {
            Client::Near => &self.near,
            Client::Far => &self.far,
            Client::Stranger => &self.stranger,
        }
    }
}

/// The router's own addresses. What nobody has is dropped without a word, as EC2 does.
pub(super) fn router(plan: &VpcPlan) -> Vec<String> {
    let mut lines = vec!["link set lo up".to_owned(), "route add blackhole 10.0.0.0/8".to_owned()];
    let addresses = plan.gateways.iter().chain(&plan.services).chain([&METADATA]);
    lines.extend(addresses.map(|address| format!("addr add {address}/32 dev lo")));
    lines
}

/// Source check, security groups and the metadata service's own door.
pub(super) const RULES: &str = "\
table inet vpc {
  set nics { type ifname . ipv4_addr; }
  set allowed { type ipv4_addr . ipv4_addr . inet_service; }
  set instances { type ipv4_addr; }
  chain source_check {
    type filter hook prerouting priority -300; policy drop;
    iif lo accept
    iifname . ip saddr @nics accept
    counter comment \"a source that is not the NIC's own\"
  }
  chain security_groups {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    ip saddr . ip daddr . tcp dport @allowed accept
    counter comment \"no group allows it\"
  }
  chain metadata {
    type filter hook input priority 0; policy accept;
    ip daddr 169.254.169.254 ip saddr != @instances drop
  }
}
";

/// One wire: a veth pair whose far end appears in the namespace of `process`, down and without an address.
pub(super) fn wire(port: &str, nic: &Nic, interface: &str, process: u32) -> Vec<String> {
    let Nic { address, mac, prefix: _, gateway: _ } = nic;
    vec![
        format!("link add name {port} type veth peer name {interface} address {mac} netns {process}"),
        format!("link set {port} up"),
        format!("route replace {address}/32 dev {port}"),
        format!("neigh replace {address} lladdr {mac} dev {port} nud permanent"),
    ]
}

/// The same for a machine with a kernel of its own: what is written to the tap device is what its NIC sends. The
/// subnet's router answers on it, which is where DHCP learns the subnet from.
pub(super) fn tap(port: &str, nic: &Nic) -> Vec<String> {
    let Nic { address, mac, prefix: _, gateway } = nic;
    vec![
        format!("tuntap add dev {port} mode tap"),
        format!("addr add {gateway}/32 dev {port}"),
        format!("link set {port} up"),
        format!("route replace {address}/32 dev {port}"),
        format!("neigh replace {address} lladdr {mac} dev {port} nud permanent"),
    ]
}

/// DHCP asks from no address at all.
pub(super) const DHCP: &str = "insert rule inet vpc source_check ip saddr 0.0.0.0 udp dport 67 accept\n";

/// The metadata service is silent, and counts who asks; and it hears again.
pub(super) const SILENCE: &str = "\
add counter inet vpc asked
insert rule inet vpc metadata ip daddr 169.254.169.254 counter name asked drop comment \"silent\"
";
pub(super) const ASKED: [&str; 5] = ["list", "counter", "inet", "vpc", "asked"];
pub(super) const HEAR: &str = "\
flush chain inet vpc metadata
add rule inet vpc metadata ip daddr 169.254.169.254 ip saddr != @instances drop
delete counter inet vpc asked
";

/// What the VPC knows of a NIC: its source, its metadata right, its group.
pub(super) fn admit(plan: &VpcPlan, port: &str, nic: &Nic, group: Option<&EniPlan>) -> String {
    let address = nic.address;
    let allowed = group.into_iter().flat_map(|eni| &eni.allowed).map(|(client, to_port)| {
        let from = plan.client(*client).address;
        format!("add element inet vpc allowed {{ {from} . {address} . {to_port} }}\n")
    });
    format!("add element inet vpc nics {{ \"{port}\" . {address} }}\n") + &allowed.collect::<String>()
}

/// The reverse of [`admit`].
pub(super) fn expel(plan: &VpcPlan, port: &str, nic: &Nic, group: Option<&EniPlan>) -> String {
    admit(plan, port, nic, group).replace("add element", "delete element")
}

/// A NIC that is configured from the start: a client's, or an instance's primary one (cloud-init's work).
pub(crate) fn configuration(nic: &Nic, interface: &str) -> Vec<String> {
    let Nic { address, prefix, gateway, mac: _ } = nic;
    vec![
        "link set lo up".to_owned(),
        format!("link set {interface} up"),
        format!("addr add {address}/{prefix} dev {interface}"),
        format!("route add default via {gateway} dev {interface}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_addresses_are_the_shared_ones() {
        let plan = VpcPlan::default();
        let clients =
            [Client::Near, Client::Far, Client::Stranger].map(|c| plan.client(c).address.to_string());
        assert_eq!(clients, ["10.0.2.50", "10.0.3.20", "10.0.4.66"]);
        let services: Vec<_> = plan.services.iter().map(ToString::to_string).collect();
        assert_eq!(services, ["10.0.0.2", "10.0.8.8", "10.0.8.9", "10.0.8.10", "10.0.8.11"]);
    }

    #[test]
    fn what_is_expelled_is_what_was_admitted() {
        let (plan, eni) = (VpcPlan::default(), EniPlan::default());
        let script = admit(&plan, "nic7", &eni.nic, Some(&eni));
        assert_eq!(script.lines().count(), 5, "one source and two ports for two clients:\n{script}");
        assert!(!script.contains(&plan.stranger.address.to_string()), "{script}");
        assert_eq!(expel(&plan, "nic7", &eni.nic, Some(&eni)).matches("delete element").count(), 5);
    }
}
