//! Who reaches an interface, as the cloud's security groups say it.
//!
//! The clients are instances of the VPC, with groups of their own; a rule admits by group or by address.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::cloud::spec::{CloudSpec, EniSpec, Rule};
use crate::ledger::Client;
use crate::vpc::VpcPlan;

const CLIENTS: [Client; 3] = [Client::Near, Client::Far, Client::Stranger];
/// The ports at which anybody knocks.
const PORTS: [u16; 2] = [8080, 50051];

/// The security group of a client.
const fn group(client: Client) -> &'static str {
    match client {
        Client::Near | Client::Far => "sg-0aaaaaaaaaaaaaa03",
        Client::Stranger => "sg-0aaaaaaaaaaaaaa04",
    }
}

/// Each client with each port that it may open a connection to.
pub fn admitted(cloud: &CloudSpec, eni: &EniSpec, plan: &VpcPlan) -> BTreeSet<(Client, u16)> {
    let groups = cloud.security_groups.iter().filter(|group| eni.groups.contains(&group.id));
    let rules: Vec<&Rule> = groups.flat_map(|group| &group.ingress).collect();
    let all = CLIENTS.into_iter().flat_map(|client| PORTS.map(|port| (client, port)));
    all.filter(|(client, port)| rules.iter().any(|rule| admits(rule, *client, *port, plan))).collect()
}

fn admits(rule: &Rule, client: Client, port: u16, plan: &VpcPlan) -> bool {
    let Rule { protocol, from, to, groups, cidrs } = rule;
    let ports = match protocol.as_str() {
        "-1" => 0..=u16::MAX,
        "tcp" | "6" => from.unwrap_or(0)..=to.unwrap_or(u16::MAX),
        _ => return false,
    };
    let address = plan.client(client).address;
    let known = groups.iter().any(|wanted| wanted == group(client));
    ports.contains(&port) && (known || cidrs.iter().any(|cidr| within(cidr, address)))
}

fn within(cidr: &str, address: Ipv4Addr) -> bool {
    let Some((network, length)) = cidr.split_once('/') else { return false };
    let (Ok(network), Ok(length)) = (network.parse::<Ipv4Addr>(), length.parse::<u32>()) else {
        return false;
    };
    let mask = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
    u32::from(network) & mask == u32::from(address) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_addresses_are_admitted_at_their_ports_and_nobody_else() {
        use Client::{Far, Near, Stranger};
        let (ray, nobody) = ("sg-0aaaaaaaaaaaaaa03", "sg-0aaaaaaaaaaaaaa09");
        // Protocol, port, group, addresses → who gets in.
        let rows = [
            ("tcp", Some(8080), ray, "", vec![(Near, 8080), (Far, 8080)]),
            ("tcp", Some(22), ray, "", vec![]),
            ("udp", Some(8080), ray, "0.0.0.0/0", vec![]),
            ("tcp", Some(50051), nobody, "", vec![]),
            ("tcp", Some(50051), nobody, "10.0.4.0/24", vec![(Stranger, 50051)]),
            ("tcp", Some(8080), nobody, "10.0.3.20/32", vec![(Far, 8080)]),
            ("tcp", Some(8080), nobody, "0.0.0.0/0", vec![(Near, 8080), (Far, 8080), (Stranger, 8080)]),
            ("-1", None, ray, "", vec![(Near, 8080), (Near, 50051), (Far, 8080), (Far, 50051)]),
        ];
        for (protocol, port, group, cidr, expected) in rows {
            let rule = Rule {
                protocol: protocol.to_owned(),
                from: port,
                to: port,
                groups: vec![group.to_owned()],
                cidrs: Some(cidr.to_owned()).filter(|cidr| !cidr.is_empty()).into_iter().collect(),
            };
            let mut cloud = CloudSpec::default();
            for mine in cloud.security_groups.iter_mut().filter(|group| group.id == "sg-0aaaaaaaaaaaaaa02") {
                mine.ingress = vec![rule.clone()];
            }
            let found = admitted(&cloud, &cloud.enis[0], &VpcPlan::default());
            assert_eq!(found, expected.into_iter().collect(), "{rule:?}");
        }
        let (cloud, plan) = (CloudSpec::default(), VpcPlan::default());
        let usual = admitted(&cloud, &cloud.enis[0], &plan);
        assert_eq!(usual, crate::vpc::EniPlan::default().allowed, "both defaults say the same");
    }
}
