//! What a subnet gives its machines: addresses by DHCP, and names. `dnsmasq` does both.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::process::{Child, Command};

use crate::vpc::{Nic, Vpc};

/// The VPC's resolver: the network's address plus two (VPC User Guide, Amazon DNS server).
const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// Starts it for these interfaces and names; what it does stands in the file. It ends with the child.
pub async fn start(vpc: &Vpc, nics: &[&Nic], names: &[(Ipv4Addr, String)], log: &Path) -> Result<Child> {
    vpc.admit_dhcp().await?;
    let log = File::create(log).with_context(|| format!("create {}", log.display()))?;
    let mut command = Command::new("dnsmasq");
    command
        // Without `--no-daemon` it becomes another user, and would no longer end with us (PR_SET_PDEATHSIG in prctl(2)).
        .args("--no-daemon --conf-file=/dev/null --no-hosts --no-resolv --no-ping".split(' '))
        // No file of the host's is written.
        .args(["--pid-file=", "--leasefile-ro", "--dhcp-authoritative"])
        .args(["--bind-dynamic", "--interface=nic*", "--except-interface=lo"])
        .arg(format!("--listen-address={RESOLVER}"))
        .arg(format!("--dhcp-option=option:dns-server,{RESOLVER}"));
    for Nic { address, prefix, gateway, mac } in nics {
        let network = network(*address, *prefix);
        let mask = Ipv4Addr::from(u32::MAX << (32 - u32::from(*prefix)));
        command
            .arg(format!("--dhcp-range=set:{gateway},{network},static,{mask},1h"))
            .arg(format!("--dhcp-option=tag:{gateway},option:router,{gateway}"))
            .arg(format!("--dhcp-host={mac},{address}"));
    }
    for (address, name) in names {
        // With everything below it: the buckets of a store. Of other kinds, AAAA above all, it has nothing, which is no
        // refusal: musl's resolver would take that for a failure of the whole name.
        command.arg(format!("--address=/{name}/{address}")).arg(format!("--local=/{name}/"));
    }
    vpc.spawn_saying(command, log.into()).await.context("start dnsmasq")
}

fn network(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let mask = u32::MAX << (32 - u32::from(prefix));
    Ipv4Addr::from(u32::from(address) & mask)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_network_is_its_addresses_without_the_host() {
        let of = |prefix| super::network([10, 0, 2, 15].into(), prefix).octets();
        assert_eq!((of(24), of(16)), ([10, 0, 2, 0], [10, 0, 0, 0]));
    }
}
