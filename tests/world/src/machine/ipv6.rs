//! IPv6 in a machine: the link-local addresses that the kernel makes by itself, without the time it takes over them.
//!
//! The search for duplicate addresses leaves an address tentative for up to two seconds (RFC 4862, 5.4), and then
//! changes addresses and routes under whoever compares before and after.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

use crate::vpc::{enter, sysctl};

/// `IFA_F_TENTATIVE` of linux/if_addr.h.
const TENTATIVE: u32 = 0x40;
/// For a kernel worker to run once, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// No search for duplicates on any interface of the network (ip-sysctl, `accept_dad`).
pub(super) async fn hush(network: Arc<File>) -> Result<()> {
    enter(network, || {
        sysctl("net/ipv6/conf/all/accept_dad", "0")?;
        sysctl("net/ipv6/conf/default/accept_dad", "0")
    })
    .await
}

/// Returns when no address is tentative: a worker of the kernel takes the mark away even without a search.
pub(super) async fn settle(network: Arc<File>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // `thread-self`: `/proc/net` shows the network of the process, and a visitor is a thread.
        let addresses = enter(Arc::clone(&network), || {
            std::fs::read_to_string("/proc/thread-self/net/if_inet6").context("list the IPv6 addresses")
        })
        .await?;
        let waiting: Vec<_> = addresses.lines().filter(|line| is_tentative(line)).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("IPv6 addresses stay tentative: {waiting:?}");
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// A line of `if_inet6`: address, index, prefix length, scope, flags (hexadecimal), name.
fn is_tentative(line: &str) -> bool {
    let flags = line.split_whitespace().nth(4).and_then(|flags| u32::from_str_radix(flags, 16).ok());
    flags.is_some_and(|flags| flags & TENTATIVE != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_read_from_the_fifth_column() {
        assert!(is_tentative("fe800000000000000aff00fffe00010a 02 40 20 c0     ens5"));
        assert!(!is_tentative("fe800000000000000aff00fffe00010a 02 40 20 80     ens5"));
        assert!(!is_tentative("00000000000000000000000000000001 01 80 10 80       lo"));
    }
}
