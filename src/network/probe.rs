//! The proof that the node serves: asked on its own address, through the same door and DNAT as a client's.
//!
//! ```text
//! ready: 200 ─▶ meta without a key: 401 (200 if anonymous) ─▶ gRPC health: SERVING ─▶ replies leave by the ENI
//! ```
//!
//! `ready` and gRPC health of the server know little (they say so while it loads); they prove the way to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::Client;

use super::door::PORTS;
use super::eni::AttachedEni;
use super::expose::Exposed;
use super::netlink::{Netlink, by_mac};
use super::{NetworkError, Publish, environment};
use crate::container::Running;
use crate::disk::{self, DataVolume};
use crate::host::Host;
use crate::report::Step;
use crate::restore::Warm;
use crate::retry::{Limits, retry};

/// Published ports answer at once; the rest is for a server that is busy.
const LIMITS: Limits =
    Limits::new(Duration::from_secs(30), Duration::from_millis(50), Duration::from_secs(1));
const TIMEOUT: Duration = Duration::from_secs(5);
/// The last try has three questions.
#[cfg(test)]
pub(super) const LONGEST: Duration = Duration::from_secs(LIMITS.deadline.as_secs() + 3 * TIMEOUT.as_secs());
/// TEST-NET-1 (RFC 5737): stands for any client far away. No packet is sent to it; the kernel is only asked.
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Evidence: the node answers on its address as a client would see it.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::network::Serving;
/// fn forge(evidence: Serving) -> Serving { Serving { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::network::Serving;
/// fn hand_on(evidence: Serving) -> Serving { evidence }
/// ```
#[derive(Debug)]
pub struct Serving {
    warm: Warm,
}

impl std::fmt::Display for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let backup = self.restored().backup_id.as_deref().unwrap_or("no backup");
        write!(f, "serves {backup} on {}", self.address())
    }
}

impl Serving {
    pub const fn eni(&self) -> &AttachedEni {
        self.warm.eni()
    }
    pub const fn address(&self) -> Ipv4Addr {
        self.warm.eni().address()
    }
    pub const fn running(&self) -> &Running {
        self.warm.running()
    }
    pub const fn volume(&self) -> &DataVolume {
        self.warm.volume()
    }
    /// What was restored, as it was counted.
    pub const fn restored(&self) -> &disk::Restored {
        self.warm.restored()
    }
}

/// What is asked where.
#[derive(Clone, Copy, Debug)]
struct Question {
    rest: SocketAddr,
    grpc: Option<SocketAddr>,
    anonymous: bool,
}

/// Proves that the node serves, and tells the instance's other programs where.
pub async fn probe(host: &Host, exposed: Exposed) -> Result<Serving, NetworkError> {
    let address = exposed.address();
    host.status.say(Step::Probe, format!("asks {address} as a client would"));
    let weaviate = &host.settings.weaviate;
    let [rest, grpc] = PORTS;
    let question = Question {
        rest: (address, rest).into(),
        grpc: weaviate.grpc.then(|| (address, grpc).into()),
        anonymous: weaviate.anonymous,
    };
    let note = |error: &NetworkError| host.status.say(Step::Probe, format!("asks again: {error}"));
    retry(LIMITS, note, || ask(question)).await?;
    let eni = exposed.eni();
    let bridge = match host.settings.network.publish {
        Publish::Bridge => Some((host.settings.network.bridge.as_str(), exposed.warm.running().inside())),
        Publish::Host => None,
    };
    let (gateway, near) = (eni.eni().gateway(), eni.eni().subnet().nth(4));
    let ways = Ways { address, mac: eni.eni().mac(), clients: [gateway, near, FAR], bridge };
    check_ways(&Netlink::connect()?, &ways).await?;
    environment::write(&host.roots.run, address, weaviate.grpc)?;
    tracing::info!(address = %address, "the server answers on {address}");
    let Exposed { warm } = exposed;
    Ok(Serving { warm })
}

async fn ask(question: Question) -> Result<(), NetworkError> {
    let Question { rest, grpc, anonymous } = question;
    let http = client(Client::builder())?;
    status(&http, &format!("http://{rest}/v1/.well-known/ready"), 200).await?;
    let meta = format!("http://{rest}/v1/meta");
    match status(&http, &meta, if anonymous { 200 } else { 401 }).await {
        Err(NetworkError::Answer { url, status, .. }) if !anonymous && status < 400 => {
            return Err(NetworkError::OpenWithoutKey { url, status });
        }
        other => other?,
    }
    match grpc {
        Some(address) => health(address).await,
        None => Ok(()),
    }
}

fn client(builder: reqwest::ClientBuilder) -> Result<Client, NetworkError> {
    builder
        .no_proxy()
        .timeout(TIMEOUT)
        .connect_timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|source| NetworkError::Client { source })
}

async fn status(http: &Client, url: &str, wanted: u16) -> Result<(), NetworkError> {
    let sent = http.get(url).send().await;
    let answer =
        sent.map_err(|source| NetworkError::Silent { url: url.to_owned(), source: source.without_url() })?;
    let status = answer.status().as_u16();
    if status == wanted { Ok(()) } else { Err(NetworkError::Answer { url: url.to_owned(), status, wanted }) }
}

/// `grpc.health.v1.Health/Check` of the whole server, by hand: one empty message there, one enum back
/// (grpc/grpc, doc/health-checking.md; framing: doc/PROTOCOL-HTTP2.md).
async fn health(address: SocketAddr) -> Result<(), NetworkError> {
    let unhealthy = |said: String| NetworkError::Grpc { address: address.to_string(), said };
    let http = client(Client::builder().http2_prior_knowledge())?;
    let url = format!("http://{address}/grpc.health.v1.Health/Check");
    let sent = http
        .post(&url)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        // Not compressed, and a message of no bytes: no service named, so the server as a whole.
        .body(vec![0_u8; 5])
        .send()
        .await;
    let answer = sent.map_err(|source| NetworkError::Silent { url, source: source.without_url() })?;
    let status = answer.status();
    // A refusal without a message comes in the headers ("trailers-only").
    let refused = answer.headers().get("grpc-status").map(|code| format!("grpc-status {code:?}"));
    let body = answer.bytes().await.map_err(|error| unhealthy(error.without_url().to_string()))?;
    match (status.as_u16(), serving(&body)) {
        (200, Some(1)) => Ok(()),
        (200, Some(2)) => Err(unhealthy("NOT_SERVING".to_owned())),
        (200, Some(other)) => Err(unhealthy(format!("status {other}"))),
        (code, _) => {
            Err(unhealthy(refused.unwrap_or_else(|| format!("HTTP status {code} without an answer"))))
        }
    }
}

/// The `status` of a HealthCheckResponse in its frame; proto3 leaves a zero out.
fn serving(body: &[u8]) -> Option<u8> {
    match body {
        [0, 0, 0, 0, 0, ..] => Some(0),
        [0, 0, 0, 0, 2, 0x08, status, ..] => Some(*status),
        _ => None,
    }
}

/// What packets there are whose way matters.
#[derive(Clone, Debug)]
pub(super) struct Ways<'a> {
    pub(super) address: Ipv4Addr,
    /// Of the ENI: names change.
    pub(super) mac: &'a str,
    pub(super) clients: [Ipv4Addr; 3],
    /// The bridge's name and the container's address on it.
    pub(super) bridge: Option<(&'a str, Ipv4Addr)>,
}

/// Replies of the server, and packets of the container, must leave by the ENI: a probe from the instance
/// itself does not show where they would go. A reply is routed before its DNAT is undone, so what counts for a
/// published container is the way from its own address, come by the bridge; and the instance's own connections to
/// the address must find the bridge.
pub(super) async fn check_ways(netlink: &Netlink, ways: &Ways<'_>) -> Result<(), NetworkError> {
    let Ways { address, mac, clients, bridge } = ways;
    let links = netlink.links().await?;
    let check = async |destination: Ipv4Addr,
                       from: Ipv4Addr,
                       arriving: Option<u32>,
                       wanted: Option<u32>,
                       by: &str| {
        let way = netlink.way(destination, from, arriving).await?;
        if Some(way.link) == wanted {
            return Ok(());
        }
        let found = links.iter().find(|link| link.index == way.link);
        let name = found.map_or_else(|| format!("link {}", way.link), |link| link.name.clone());
        Err(NetworkError::WrongWay { from, destination, link: name, wanted: by.to_owned() })
    };
    let ours = by_mac(&links, mac);
    let (eni, link) =
        (ours.as_ref().map(|link| link.index), ours.as_ref().map_or(*mac, |link| link.name.as_str()));
    let inner = bridge.map(|(name, container)| {
        (name, container, links.iter().find(|link| link.name == name).map(|link| link.index))
    });
    // The address itself is not one of its clients.
    for destination in clients.iter().copied().filter(|client| client != address) {
        check(destination, *address, None, eni, link).await?;
        if let Some((_, container, arriving)) = inner {
            check(destination, container, arriving, eni, link).await?;
        }
    }
    match inner {
        Some((name, container, index)) => check(container, *address, None, index, name).await,
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
