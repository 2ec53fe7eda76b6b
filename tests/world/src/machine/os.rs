//! What the guest's own OS does when an ENI appears (its network scripts, not ours).
//!
//! To add an OS: a variant, its lines in [`Os::configuration`], and a row in the test.

use crate::vpc::EniPlan;

/// The behaviours that differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Os {
    /// Leaves a hot-plugged ENI alone, as Ubuntu 22.04 does.
    #[default]
    HandsOff,
    /// Address and a second default route, without rules: Debian 12's networkd.
    Debian12,
    /// amazon-ec2-net-utils: metric 512 + index, table 10000 + index, a rule from the address.
    AmazonLinux2023,
    /// cloud-init's hot-plug: metric 100 x (index + 1), table 100 + index, a rule from the address.
    Ubuntu2404,
}

impl Os {
    /// What it runs as soon as the link is there, as `ip` lines.
    pub(super) fn configuration(self, eni: &EniPlan) -> Vec<String> {
        let EniPlan { id: _, nic, device_index, interface, allowed: _ } = eni;
        let index = u32::from(*device_index);
        let (metric, table) = match self {
            Self::HandsOff => return Vec::new(),
            Self::Debian12 => (1024, None),
            Self::AmazonLinux2023 => (512 + index, Some(10_000 + index)),
            Self::Ubuntu2404 => (100 * (index + 1), Some(100 + index)),
        };
        let (address, prefix, gateway) = (nic.address, nic.prefix, nic.gateway);
        let subnet = u32::from(address) & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        let subnet = std::net::Ipv4Addr::from(subnet);
        let mut lines = vec![
            format!("addr add {address}/{prefix} dev {interface}"),
            format!("link set {interface} up"),
            format!("route add default via {gateway} dev {interface} metric {metric}"),
        ];
        if let Some(table) = table {
            lines.push(format!("route add default via {gateway} dev {interface} table {table}"));
            lines.push(format!("route add {subnet}/{prefix} dev {interface} src {address} table {table}"));
            lines.push(format!("rule add from {address} lookup {table} pref {table}"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_os_has_its_own_habits() {
        let rows = [
            (Os::HandsOff, 0, ""),
            (Os::Debian12, 3, "metric 1024"),
            (Os::AmazonLinux2023, 6, "rule add from 10.0.2.15 lookup 10001 pref 10001"),
            (Os::Ubuntu2404, 6, "route add 10.0.2.0/24 dev ens6 src 10.0.2.15 table 101"),
        ];
        for (os, lines, part) in rows {
            let configuration = os.configuration(&EniPlan::default());
            assert_eq!(configuration.len(), lines, "{os:?}");
            assert!(configuration.join("\n").contains(part), "{os:?}: {configuration:#?}");
        }
    }
}
