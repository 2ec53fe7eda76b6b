//! A VPC made of network namespaces: a router, three clients, and the NICs of the instances.
//!
//! ```text
//!  build ─▶ router (source check, security groups, services' addresses) + near, far, stranger
//!  wire / plug ─▶ one veth per NIC; its far end appears in the instance, down, with the ENI's MAC
//!  listen ─▶ a socket of the router's namespace, for any runtime
//!  knock, request ─▶ real connections from a client's namespace
//! ```
//! Nothing has a global name, so several worlds run at once, and the kernel frees all of it with the
//! last descriptor.
//!
//! To add a client: give [`Client`] a variant, [`VpcPlan`] its NIC, and [`Vpc::build`] its namespace.

mod clients;
mod netns;
mod plan;

pub use clients::Knockers;
use netns::nft_list;
pub use netns::{Netns, enter, ip, nft, sysctl};
pub(crate) use plan::configuration;
pub use plan::{EniPlan, METADATA, Nic, VpcPlan};

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt};

use crate::assumptions::{Behaviour, Known};
use crate::ledger::Client;

/// What the VPC claims about the real one.
pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "vpc.source-check",
        what: "A packet whose source is not an address of the NIC it leaves from is dropped without a word.",
        known: Known::Documented("EC2 User Guide, source/destination check"),
    },
    Behaviour {
        name: "vpc.security-group",
        what: "A group allows connections by source and port; their answers pass; all else is dropped without a word.",
        known: Known::Documented("VPC User Guide, security groups are stateful"),
    },
    Behaviour {
        name: "vpc.mapping",
        what: "The network knows where an address is from the attachment, not from ARP.",
        known: Known::Assumed("public talks on the VPC's mapping service say so; no reference page does"),
    },
    Behaviour {
        name: "vpc.hop-limit",
        what: "The metadata service's answers live for as many hops as is set; with one, a container behind a bridge never gets them.",
        known: Known::Documented("EC2 User Guide, HttpPutResponseHopLimit defaults to 1"),
    },
    Behaviour {
        name: "vpc.hot-plug",
        what: "An attached ENI appears as a link that is down and has no address; a detached one vanishes.",
        known: Known::Documented(
            "EC2 User Guide, hot attach; what the guest's OS then does is MachineSpec's `os`",
        ),
    },
];

/// A running VPC. Clones share it.
#[derive(Clone, Debug)]
pub struct Vpc {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    plan: VpcPlan,
    router: Netns,
    clients: BTreeMap<Client, Netns>,
    wires: Mutex<BTreeMap<String, Wire>>,
    next_port: AtomicU32,
}

/// The far end of a tap device is in no namespace.
const NO_PROCESS: u32 = 0;

/// A NIC that is plugged in, by its MAC in [`Inner::wires`].
#[derive(Clone, Debug)]
struct Wire {
    port: String,
    /// Whose namespace the far end is in: the last owner must not pull what the next one has.
    process: u32,
    nic: Nic,
    group: Option<EniPlan>,
}

impl Vpc {
    pub async fn build(plan: &VpcPlan) -> Result<Self> {
        let router = Netns::new("vpc")?;
        let lines = plan::router(plan);
        router
            .enter(move || {
                for (name, value) in [
                    ("net/ipv4/ip_forward", "1"),
                    ("net/ipv6/conf/all/disable_ipv6", "1"),
                    ("net/ipv6/conf/default/disable_ipv6", "1"),
                    ("net/ipv4/conf/all/rp_filter", "0"),
                    ("net/ipv4/conf/default/rp_filter", "0"),
                    ("net/ipv4/conf/default/proxy_arp", "1"),
                    ("net/ipv4/conf/all/send_redirects", "0"),
                    ("net/ipv4/conf/default/send_redirects", "0"),
                ] {
                    sysctl(name, value)?;
                }
                ip(&lines)?;
                nft(plan::RULES)
            })
            .await
            .context("build the VPC's router")?;
        let clients = [Client::Near, Client::Far, Client::Stranger]
            .into_iter()
            .map(|client| Ok((client, Netns::new(&format!("{client:?}"))?)))
            .collect::<Result<_>>()?;
        let inner = Inner {
            plan: plan.clone(),
            router,
            clients,
            wires: Mutex::default(),
            next_port: AtomicU32::new(0),
        };
        let vpc = Self { inner: Arc::new(inner) };
        for (client, namespace) in &vpc.inner.clients {
            vpc.join(*client, namespace).await.with_context(|| format!("wire {client:?}"))?;
        }
        Ok(vpc)
    }

    async fn join(&self, client: Client, namespace: &Netns) -> Result<()> {
        let nic = self.inner.plan.client(client).clone();
        // `ip` moves the far end by a process id; this thread stays until the wire is in.
        let (tell, told) = tokio::sync::oneshot::channel();
        let (done, wired) = std::sync::mpsc::channel::<()>();
        let hold = namespace.enter(move || {
            let _ = tell.send(nix::unistd::gettid().as_raw().unsigned_abs());
            // An error means that the wiring failed and the sender is gone.
            let _ = wired.recv();
            Ok(())
        });
        let wire = async {
            let thread = told.await.context("the client's thread died")?;
            self.wire(&nic, "ens5", thread, None).await?;
            drop(done);
            Ok::<_, anyhow::Error>(())
        };
        let ((), ()) = tokio::try_join!(hold, wire)?;
        let lines = plan::configuration(&nic, "ens5");
        namespace.enter(move || ip(&lines)).await
    }

    /// Plugs a NIC into the namespace of `process`. A NIC that was plugged elsewhere is pulled first.
    pub(crate) async fn wire(
        &self,
        nic: &Nic,
        interface: &str,
        process: u32,
        group: Option<&EniPlan>,
    ) -> Result<()> {
        self.pull(&nic.mac, |_| true).await?;
        let lines = |port: &str| plan::wire(port, nic, interface, process);
        self.plug(nic, process, group, lines).await.map(drop)
    }

    /// The port of a NIC as a tap device, for a machine with a kernel of its own; it stays until it is pulled.
    pub(crate) async fn tap(&self, nic: &Nic, group: Option<&EniPlan>) -> Result<String> {
        self.pull(&nic.mac, |_| true).await?;
        self.plug(nic, NO_PROCESS, group, |port| plan::tap(port, nic)).await
    }

    /// Takes a tap device away. One that is not there is no error.
    pub(crate) async fn untap(&self, mac: &str) -> Result<()> {
        self.pull(mac, |wire| wire.process == NO_PROCESS).await
    }

    /// Lets machines ask for their addresses.
    pub(crate) async fn admit_dhcp(&self) -> Result<()> {
        self.inner.router.enter(|| nft(plan::DHCP)).await
    }

    async fn plug(
        &self,
        nic: &Nic,
        process: u32,
        group: Option<&EniPlan>,
        lines: impl FnOnce(&str) -> Vec<String>,
    ) -> Result<String> {
        let port = format!("nic{}", self.inner.next_port.fetch_add(1, Ordering::Relaxed));
        let lines = lines(&port);
        let script = plan::admit(&self.inner.plan, &port, nic, group);
        let delay = format!("net/ipv4/neigh/{port}/proxy_delay");
        self.inner
            .router
            .enter(move || {
                ip(&lines)?;
                // The kernel's answers for others take up to 0.8 s otherwise.
                sysctl(&delay, "0")?;
                nft(&script)
            })
            .await
            .with_context(|| match process {
                NO_PROCESS => format!("plug {} into a machine", nic.address),
                process => format!("plug {} into process {process}", nic.address),
            })?;
        let wire = Wire { port: port.clone(), process, nic: nic.clone(), group: group.cloned() };
        self.inner.wires.lock().unwrap_or_else(PoisonError::into_inner).insert(nic.mac.clone(), wire);
        Ok(port)
    }

    /// Pulls a NIC out of the namespace of `process`. One that is not there is no error: a power cut takes
    /// the far end first, and the NIC may have moved on.
    pub(crate) async fn unwire(&self, mac: &str, process: u32) -> Result<()> {
        self.pull(mac, |wire| wire.process == process).await
    }

    async fn pull(&self, mac: &str, wanted: impl Fn(&Wire) -> bool) -> Result<()> {
        let removed = {
            let mut wires = self.inner.wires.lock().unwrap_or_else(PoisonError::into_inner);
            if wires.get(mac).is_some_and(wanted) { wires.remove(mac) } else { None }
        };
        let Some(Wire { port, process: _, nic, group }) = removed else { return Ok(()) };
        let script = plan::expel(&self.inner.plan, &port, &nic, group.as_ref());
        self.inner
            .router
            .enter(move || {
                nft(&script)?;
                match ip(&[format!("link del {port}")]) {
                    // It went with the far end: before `ip` looked for it, or between its look and its deed.
                    Err(e)
                        if ["Cannot find device", "No such device"]
                            .iter()
                            .any(|gone| e.to_string().contains(gone)) =>
                    {
                        Ok(())
                    }
                    other => other,
                }
            })
            .await
            .with_context(|| format!("pull {}", nic.address))
    }

    /// Security groups so wide that near and far clients reach these: what keeps them out is the instance itself.
    pub(crate) async fn admit(&self, targets: &[SocketAddr]) -> Result<()> {
        let clients = [Client::Near, Client::Far].map(|client| self.inner.plan.client(client).address);
        let element = |from: std::net::Ipv4Addr, to: &SocketAddr| {
            format!("add element inet vpc allowed {{ {from} . {} . {} }}\n", to.ip(), to.port())
        };
        let script: String = targets.iter().flat_map(|to| clients.map(|from| element(from, to))).collect();
        self.inner.router.enter(move || nft(&script)).await
    }

    /// Lets an address ask the metadata service.
    pub(crate) async fn grant_metadata(&self, nic: &Nic) -> Result<()> {
        let script = format!("add element inet vpc instances {{ {} }}", nic.address);
        self.inner.router.enter(move || nft(&script)).await
    }

    /// From now on the metadata service hears nobody.
    pub(crate) async fn silence_metadata(&self) -> Result<()> {
        self.inner.router.enter(|| nft(plan::SILENCE)).await
    }

    /// Until somebody has asked the silent service.
    pub(crate) async fn until_metadata_asked(&self) -> Result<()> {
        while self.inner.router.enter(|| nft_list(plan::ASKED)).await?.contains("packets 0 ") {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// It hears again.
    pub(crate) async fn hear_metadata(&self) -> Result<()> {
        self.inner.router.enter(|| nft(plan::HEAR)).await
    }

    /// A non-blocking listener in the router's namespace, for any runtime.
    pub fn listen(&self, address: SocketAddr) -> Result<TcpListener> {
        self.inner.router.enter_blocking(|| {
            let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
            if address.ip() == IpAddr::V4(METADATA) {
                let hops = i32::try_from(self.inner.plan.hop_limit).context("a hop limit")?;
                setsockopt(&listener, sockopt::Ipv4Ttl, &hops)
                    .context("limit the metadata service's hops")?;
            }
            listener.set_nonblocking(true).context("make the listener non-blocking")?;
            Ok(listener)
        })
    }

    /// A program in the router's namespace. It is killed with the world: its parent is a thread that lives as long as
    /// the namespace does.
    pub(crate) async fn spawn(&self, command: tokio::process::Command) -> Result<tokio::process::Child> {
        self.spawn_saying(command, std::process::Stdio::inherit()).await
    }

    /// The same; what it says goes there.
    pub(crate) async fn spawn_saying(
        &self,
        command: tokio::process::Command,
        to: std::process::Stdio,
    ) -> Result<tokio::process::Child> {
        let mut bound = tokio::process::Command::new("setpriv");
        let plain = command.as_std();
        bound.args(["--pdeathsig", "KILL", "--"]).arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            if let Some(value) = value {
                bound.env(name, value);
            }
        }
        bound.stdin(std::process::Stdio::null()).stderr(to).kill_on_drop(true);
        let spawned = self.inner.router.resident().spawn(async move { bound.spawn() }).await;
        let program = plain.get_program().to_owned();
        spawned.context("the router's thread died")?.with_context(|| format!("start {}", program.display()))
    }

    pub fn plan(&self) -> &VpcPlan {
        &self.inner.plan
    }

    /// The router's namespace, for services that connect by themselves and for looking at its rules.
    pub fn router(&self) -> &Netns {
        &self.inner.router
    }

    fn client(&self, client: Client) -> &Netns {
        &self.inner.clients[&client]
    }
}
