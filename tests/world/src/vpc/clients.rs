//! The clients: they knock all the time, and ask when told to.
//!
//! ```text
//!  knock ─▶ client × port: a connect every 50 ms ─▶ accepted ─▶ Event::Reached
//!  request ─▶ HTTP from the client's namespace ─▶ status and body, or why no connection came about
//! ```

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Vpc;
use crate::judge::Rule;
use crate::ledger::{Client, Event, Ledger};

const EVERY: Duration = Duration::from_millis(50);
/// Longer than the first retransmission of a SYN, so that a slow machine does not hide an open door.
const PATIENCE: Duration = Duration::from_millis(1500);
const CLIENTS: [Client; 3] = [Client::Near, Client::Far, Client::Stranger];

/// Tasks in the clients' namespaces. Dropping them stops them.
#[derive(Debug)]
pub struct Knockers {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Knockers {
    /// Stops knocking and waits until the last connect is accounted for.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
    }
}

impl Drop for Knockers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What an accepted connection means.
type Meaning = fn(Client, SocketAddr) -> Event;

fn reached(client: Client, target: SocketAddr) -> Event {
    Event::Reached { client, port: target.port() }
}

fn trespassed(client: Client, target: SocketAddr) -> Event {
    let details = format!("a {client:?} client reached {target}, which is never for clients").to_lowercase();
    Event::Forbidden { rule: Rule::Wall, details }
}

/// Did anybody accept, in that time?
async fn accepted(target: SocketAddr, patience: Duration) -> bool {
    let connect = tokio::time::timeout(patience, TcpStream::connect(target));
    connect.await.is_ok_and(|outcome| outcome.is_ok_and(|stream| has_peer(&stream)))
}

/// A connect is over for tokio when the socket can be written to and has no error; connect(2) has more ways to end
/// (a neighbour that never answered wakes all who wait for it at once). Only a handshake gives a peer: getpeername(2).
fn has_peer(stream: &TcpStream) -> bool {
    stream.peer_addr().is_ok()
}

async fn knock(
    client: Client,
    target: SocketAddr,
    means: Meaning,
    every: Duration,
    ledger: Arc<Ledger>,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(every);
    let mut pending = JoinSet::new();
    loop {
        // All arms are cancel-safe: a tick, a joined task and a cancellation are never lost.
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = pending.join_next() => {}
            _ = ticks.tick() => {
                let ledger = Arc::clone(&ledger);
                pending.spawn(async move {
                    if accepted(target, PATIENCE).await {
                        ledger.record(means(client, target));
                    }
                });
            }
        }
    }
    // What was on its way when the stop came still counts, within one round trip.
    let _ = tokio::time::timeout(EVERY, async { while pending.join_next().await.is_some() {} }).await;
}

impl Vpc {
    /// Near, far and stranger try all ports all the time; each accepted connection goes to the ledger.
    pub fn knock(&self, ledger: &Arc<Ledger>, address: IpAddr, ports: &[u16]) -> Knockers {
        self.knock_every(EVERY, ledger, address, ports)
    }

    /// The same at another pace: each connection is work for a machine that is emulated.
    pub fn knock_every(
        &self,
        every: Duration,
        ledger: &Arc<Ledger>,
        address: IpAddr,
        ports: &[u16],
    ) -> Knockers {
        let targets: Vec<_> = ports.iter().map(|port| SocketAddr::new(address, *port)).collect();
        self.knock_all(ledger, &targets, reached, every)
    }

    /// The same where nobody may ever get in: an accepted connection is a forbidden act.
    pub fn knock_at_walls(&self, ledger: &Arc<Ledger>, targets: &[SocketAddr]) -> Knockers {
        self.knock_all(ledger, targets, trespassed, EVERY)
    }

    fn knock_all(
        &self,
        ledger: &Arc<Ledger>,
        targets: &[SocketAddr],
        means: Meaning,
        every: Duration,
    ) -> Knockers {
        let stop = CancellationToken::new();
        let tasks = CLIENTS
            .into_iter()
            .flat_map(|client| targets.iter().map(move |target| (client, *target)))
            .map(|(client, target)| {
                let work = knock(client, target, means, every, Arc::clone(ledger), stop.clone());
                self.client(client).resident().spawn(work)
            })
            .collect();
        Knockers { stop, tasks }
    }

    /// One TCP connect from a client's namespace: did anybody accept?
    pub async fn reaches(&self, client: Client, target: SocketAddr, patience: Duration) -> bool {
        self.client(client).resident().spawn(accepted(target, patience)).await.is_ok_and(|accepted| accepted)
    }

    /// A real HTTP request from a client's namespace; an error when no answer came about.
    pub async fn request(
        &self,
        client: Client,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        timeout: Duration,
    ) -> Result<(u16, Bytes)> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).context("name the method")?;
        let http = reqwest::Client::builder().no_proxy().timeout(timeout).build()?;
        let mut request = http.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let ask = async move {
            let answer = request.send().await?;
            let status = answer.status().as_u16();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        };
        self.client(client)
            .resident()
            .spawn(ask)
            .await
            .map_err(|e| anyhow!("the request died: {e}"))?
            .with_context(|| format!("{client:?} asks {url}"))
    }

    /// Runs any future in a client's namespace.
    pub async fn inside<T: Send + 'static>(
        &self,
        client: Client,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        self.client(client).resident().spawn(work).await.map_err(|e| anyhow!("the client's work died: {e}"))
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

    use super::*;

    #[tokio::test]
    async fn only_a_handshake_is_an_open_door() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let target = listener.local_addr().expect("its address");
        assert!(accepted(target, PATIENCE).await);
        drop(listener);
        assert!(!accepted(target, PATIENCE).await, "nobody listens any more");

        let (family, kind) = (AddressFamily::Inet, SockType::Stream);
        let socket = socket(family, kind, SockFlag::SOCK_NONBLOCK, None).expect("a socket");
        let stream = TcpStream::from_std(socket.into()).expect("a stream");
        assert!(matches!(stream.take_error(), Ok(None)), "no error, and no peer either");
        assert!(!has_peer(&stream));
    }
}
