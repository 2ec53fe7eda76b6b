//! What a server is asked and what it answers, seen on the machine's network: for an image whose log does not tell.
//!
//! ```text
//! every interface of the machine ─▶ TCP segments of port 8080 ─▶ flow: bytes in their order, once
//!                                          ledger ◀── Event::Server ◀── http: request and its answer
//! ```
//! Every packet may be seen on more than one interface, and in host mode twice on `lo`: sequence numbers tell.

mod flow;
mod http;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;

use crate::ledger::Ledger;
use crate::machine::Machine;
use crate::vpc::enter;
use flow::Flows;

/// The server's REST port.
const PORT: u16 = 8080;
/// A segment may be as large as an IP packet: the kernel cuts them up later, if at all.
const LARGEST: usize = 1 << 17;
/// A restore goes by on the same interfaces.
const BACKLOG: usize = 64 << 20;
/// How long one look may wait, in microseconds: then it is asked whether to go on.
const LOOK: i64 = 100_000;

/// Looks until it is dropped, at one life of the machine.
#[derive(Debug)]
pub struct Observer {
    stop: Arc<AtomicBool>,
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Observer {
    pub async fn start(machine: &Machine, ledger: &Arc<Ledger>) -> Result<Self> {
        let network =
            File::open(format!("/proc/{}/ns/net", machine.pid()?)).context("the machine's network")?;
        let socket = enter(Arc::new(network), listen).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let (until, ledger, of) = (Arc::clone(&stop), Arc::clone(ledger), machine.spec().instance_id.clone());
        let thread = std::thread::Builder::new().name("observer".into());
        thread.spawn(move || observe(&socket, &of, &ledger, &until)).context("a thread that looks")?;
        Ok(Self { stop })
    }
}

/// A socket stays in the network in which it was made.
fn listen() -> Result<OwnedFd> {
    // Datagrams begin with their IP header, whatever the interface (packet(7)).
    let socket =
        socket(AddressFamily::Packet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
            .context("a socket that sees every packet")?;
    setsockopt(&socket, sockopt::RcvBufForce, &BACKLOG).context("room for packets")?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, LOOK)).context("a time for each look")?;
    Ok(socket)
}

fn observe(socket: &OwnedFd, of: &str, ledger: &Ledger, stop: &AtomicBool) {
    let mut flows = Flows::of(of);
    let mut packet = vec![0; LARGEST];
    while !stop.load(Ordering::Relaxed) {
        match nix::unistd::read(socket, &mut packet) {
            Ok(length) => {
                // What it takes to understand it is no part of when it came by.
                let at = Timestamp::now();
                for event in flows.see(&packet[..length], PORT) {
                    ledger.record_at(at, event);
                }
            }
            // Nothing came by; or an interface went, which is told once.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => {}
            Err(error) => {
                tracing::error!(%error, "the server is not observed any more");
                return;
            }
        }
    }
}
