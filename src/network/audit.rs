//! Who the ENI's security groups let in, compared with who should get in. Nothing is changed, nothing is
//! refused: the groups are the platform's, and the answer is a list of warnings.

use aws_sdk_ec2::types::IpPermission;

use super::NetworkError;
use super::door::PORTS;
use super::eni::LocatedEni;
use crate::aws::failed;
use crate::host::Host;
use crate::instance::Identity;

/// What is wider than `network.clients`, one sentence each.
pub async fn audit(host: &Host, identity: &Identity, eni: &LocatedEni) -> Result<Vec<String>, NetworkError> {
    let ec2 = &host.aws(identity.region()).await.ec2;
    let call = ec2.describe_security_groups().set_group_ids(Some(eni.security_groups().to_vec()));
    let answer = call.send().await.map_err(|error| failed("ec2:DescribeSecurityGroups", &error))?;
    let mut warnings = Vec::new();
    for group in answer.security_groups() {
        let id = group.group_id().unwrap_or("a security group");
        for permission in group.ip_permissions() {
            warnings.extend(wider(id, permission, &host.settings.network.clients));
        }
    }
    Ok(warnings)
}

/// Whether the permission is about one of our ports. Protocol -1 is all of them, without a range.
fn concerns(permission: &IpPermission) -> bool {
    let protocol = permission.ip_protocol().unwrap_or("-1");
    let (from, to) = (permission.from_port().unwrap_or(0), permission.to_port().unwrap_or(65535));
    match protocol {
        "-1" => true,
        "tcp" | "6" => PORTS.iter().any(|port| (from..=to).contains(&i32::from(*port))),
        _ => false,
    }
}

fn wider(group: &str, permission: &IpPermission, clients: &[String]) -> Vec<String> {
    if !concerns(permission) {
        return Vec::new();
    }
    let ranges = permission.ip_ranges().iter().filter_map(|range| range.cidr_ip());
    let ranges6 = permission.ipv6_ranges().iter().filter_map(|range| range.cidr_ipv6());
    let lists = permission.prefix_list_ids().iter().filter_map(|list| list.prefix_list_id());
    let groups = permission.user_id_group_pairs().iter().filter_map(|pair| pair.group_id());
    ranges
        .chain(ranges6)
        .chain(lists)
        .chain(groups)
        .filter(|source| !clients.iter().any(|client| client == source))
        .map(|source| format!("{group} lets {source} reach the node, which network.clients does not name"))
        .collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{IpRange, UserIdGroupPair};

    use super::*;

    fn tcp(from: i32, to: i32) -> aws_sdk_ec2::types::builders::IpPermissionBuilder {
        IpPermission::builder().ip_protocol("tcp").from_port(from).to_port(to)
    }

    fn group(id: &str) -> UserIdGroupPair {
        UserIdGroupPair::builder().group_id(id).build()
    }

    #[test]
    fn only_what_is_wider_is_named() {
        let clients = ["sg-ray".to_owned()];
        let world = IpRange::builder().cidr_ip("0.0.0.0/0").build();
        let rows = [
            (tcp(8080, 8080).user_id_group_pairs(group("sg-ray")).build(), vec![]),
            (tcp(22, 22).ip_ranges(world.clone()).build(), vec![]),
            (tcp(8080, 8080).user_id_group_pairs(group("sg-other")).build(), vec!["sg-other"]),
            (tcp(0, 65535).ip_ranges(world.clone()).build(), vec!["0.0.0.0/0"]),
            (tcp(50000, 51000).ip_ranges(world.clone()).build(), vec!["0.0.0.0/0"]),
            (
                IpPermission::builder().ip_protocol("-1").user_id_group_pairs(group("sg-node")).build(),
                vec!["sg-node"],
            ),
            (
                IpPermission::builder()
                    .ip_protocol("udp")
                    .from_port(8080)
                    .to_port(8080)
                    .ip_ranges(world)
                    .build(),
                vec![],
            ),
        ];
        for (permission, expected) in rows {
            let found = wider("sg-1", &permission, &clients);
            assert_eq!(found.len(), expected.len(), "{permission:?}");
            for (found, source) in found.iter().zip(expected) {
                assert!(found.contains(source), "{found}");
            }
        }
    }
}
