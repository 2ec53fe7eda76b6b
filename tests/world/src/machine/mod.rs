//! An EC2 instance made of namespaces: its own processes, mounts, network, disks and Docker Engine.
//!
//! ```text
//!  create ─▶ store (tmpfs): root volume, disk images on loop devices
//!  boot ──▶ namespaces, overlay root, /dev, sysfs, new boot id ─▶ primary NIC, attached ENIs ─▶ the OS's habits
//!  power_cut ─▶ kill -9 of pid 1 ─▶ nothing runs; root volume and disks stay ─▶ boot
//!  destroy ─▶ nothing is left
//! ```
//! To add a kind of end: combine `halt` with what it loses, as [`Machine::stop_start`] does.

mod cgroup;
mod disk;
mod docker;
mod ipv6;
mod os;
mod process;
mod root;
mod store;
mod sysfs;
mod volumes;

pub use disk::{Disk, DiskSpec, EBS, INSTANCE_STORE, Touch};
pub use os::Os;
pub use process::{Inside, Killer, Process};

use std::ffi::OsStr;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex as Latch, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::assumptions::{Behaviour, Known};
use crate::vpc::{EniPlan, Nic, Vpc, enter, ip};
use store::Store;

/// How long programs have to end in an orderly way, for the ends that EC2 begins.
pub const GRACE: Duration = Duration::from_secs(20);

/// What a machine claims about the real ones.
pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "machine.instance-store",
        what: "The disk is found by the model \"Amazon EC2 NVMe Instance Storage\", padded with spaces in sysfs.",
        known: Known::Documented(
            "EC2 User Guide, NVMe instance store; NVMe base specification, identify controller",
        ),
    },
    Behaviour {
        name: "machine.reboot",
        what: "A reboot keeps root volume, instance store and attached ENIs, and has a boot id of its own.",
        known: Known::Documented("EC2 User Guide, instance store data persistence; proc(5) boot_id"),
    },
    Behaviour {
        name: "machine.stop-start",
        what: "After stop and start the instance store is blank and has another serial; the root volume is the same.",
        known: Known::Documented("EC2 User Guide, instance store data persistence"),
    },
    Behaviour {
        name: "machine.replace-root",
        what: "A replaced root volume is fresh; the instance store survives the reboot that goes with it.",
        known: Known::Documented("EC2 User Guide, replace a root volume"),
    },
    Behaviour {
        name: "machine.power-cut",
        what: "Everything dies at once; what an XFS had not synced is lost, and the root volume keeps all writes.",
        known: Known::Assumed("the root volume is a tmpfs here, as if every write to it were synced"),
    },
    Behaviour {
        name: "machine.os",
        what: "Amazon Linux 2023, Ubuntu 24.04 and Debian 12 configure a hot-plugged ENI by themselves, each its way.",
        known: Known::Documented("amazon-ec2-net-utils, cloud-init and systemd-networkd, their sources"),
    },
];

/// An instance as it is asked for.
#[derive(Clone, Debug)]
pub struct MachineSpec {
    pub instance_id: String,
    pub primary: Nic,
    /// What the primary interface is called.
    pub interface: String,
    /// Lines of /etc/hosts beside its own.
    pub hosts: Vec<(Ipv4Addr, String)>,
    /// In the order of their NVMe controllers.
    pub disks: Vec<DiskSpec>,
    pub os: Os,
    /// Directories of the host that must be seen even if they lie on other file systems than its root;
    /// at the same place, read-only.
    pub share: Vec<PathBuf>,
    /// Paths of the host that the machine must not see.
    pub hide: Vec<PathBuf>,
}

impl Default for MachineSpec {
    fn default() -> Self {
        let hide = ["workspace", "root/.aws", "etc/weaviate-provisioner", "var/lib/weaviate-provisioner"];
        Self {
            instance_id: "i-0new".into(),
            primary: Nic {
                address: Ipv4Addr::new(10, 0, 1, 10),
                prefix: 24,
                gateway: Ipv4Addr::new(10, 0, 1, 1),
                mac: "06:5e:00:01:00:0a".into(),
            },
            interface: "ens5".into(),
            hosts: vec![(Ipv4Addr::new(10, 0, 8, 9), "s3.world".into())],
            disks: vec![
                DiskSpec::ebs_root("vol0123456789abcdef0"),
                DiskSpec::instance_store("AWS2A1B3C4D5E6F70819", 8 << 30),
            ],
            os: Os::default(),
            share: Vec::new(),
            hide: hide.map(PathBuf::from).to_vec(),
        }
    }
}

/// An instance. All of it goes with the world's process.
#[derive(Debug)]
pub struct Machine {
    vpc: Vpc,
    spec: MachineSpec,
    // Disks before the store: their images lie in it.
    disks: Latch<Vec<Arc<Disk>>>,
    store: Store,
    cgroup: String,
    /// The first process's id outside; 0 while the power is off.
    init: AtomicU32,
    /// The number of the root volume, for paths.
    root: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    init: Option<Process>,
    docker: Option<Process>,
    boots: u32,
    enis: Vec<EniPlan>,
}

impl Machine {
    /// Makes the instance and boots it.
    pub async fn boot(vpc: &Vpc, spec: &MachineSpec) -> Result<Self> {
        cgroup::sweep();
        let store = Store::new()?;
        let machine = Self {
            vpc: vpc.clone(),
            spec: spec.clone(),
            disks: Latch::default(),
            store,
            cgroup: cgroup::name(),
            init: AtomicU32::new(0),
            root: AtomicU32::new(0),
            state: Mutex::default(),
        };
        machine.fit_disks(0)?;
        machine.fresh_root(0)?;
        vpc.grant_metadata(&spec.primary).await?;
        machine.power_on().await?;
        Ok(machine)
    }

    /// Boots again after a power cut. A new boot id; the attached ENIs are still attached.
    pub async fn power_on(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        if state.init.is_some() {
            bail!("{} is running", self.spec.instance_id);
        }
        state.boots += 1;
        let boot = self.prepare(state.boots)?;
        let init = root::launch(&self.store, &boot).await.context("boot the machine")?;
        let pid = init.id();
        state.init = Some(init);
        self.init.store(pid, Ordering::Release);
        ipv6::hush(self.network()?).await?;
        let MachineSpec { primary, interface, .. } = &self.spec;
        self.vpc.wire(primary, interface, pid, None).await?;
        self.configure(crate::vpc::configuration(primary, interface)).await?;
        for eni in &state.enis {
            self.appear(eni, pid).await?;
        }
        ipv6::settle(self.network()?).await?;
        Ok(())
    }

    /// Runs `ip` lines in the machine's network.
    async fn configure(&self, lines: Vec<String>) -> Result<()> {
        enter(self.network()?, move || ip(&lines)).await
    }

    fn network(&self) -> Result<Arc<File>> {
        let network =
            File::open(format!("/proc/{}/ns/net", self.pid()?)).context("open the machine's network")?;
        Ok(Arc::new(network))
    }

    async fn appear(&self, eni: &EniPlan, pid: u32) -> Result<()> {
        self.vpc.grant_metadata(&eni.nic).await?;
        self.vpc.wire(&eni.nic, &eni.interface, pid, Some(eni)).await?;
        let habits = self.spec.os.configuration(eni);
        if habits.is_empty() { Ok(()) } else { self.configure(habits).await }
    }

    /// Hot-plugs an ENI: it appears as a link that is down, unless the OS has other habits. While the
    /// power is off it appears at the next boot. One that is here already stays as it is.
    pub async fn plug(&self, eni: &EniPlan) -> Result<()> {
        let mut state = self.state.lock().await;
        if state.enis.contains(eni) {
            return Ok(());
        }
        if let Some(init) = &state.init {
            self.appear(eni, init.id()).await?;
        }
        state.enis.retain(|other| other.id != eni.id);
        state.enis.push(eni.clone());
        Ok(())
    }

    /// Takes an ENI away, as a detachment does. One that is not here is no error.
    pub async fn unplug(&self, eni_id: &str) -> Result<()> {
        let mut state = self.state.lock().await;
        let Some(at) = state.enis.iter().position(|eni| eni.id == eni_id) else { return Ok(()) };
        let eni = state.enis.remove(at);
        match &state.init {
            Some(init) => self.vpc.unwire(&eni.nic.mac, init.id()).await,
            None => Ok(()),
        }
    }

    /// A program to run inside, with an environment of its own.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Result<Inside> {
        Ok(Inside::new(self.pid()?, program))
    }

    /// An orderly end, as systemd's: programs get SIGTERM and `grace`, then Docker stops its containers,
    /// then the file systems are unmounted.
    pub async fn shut_down(&self, grace: Duration) -> Result<()> {
        let docker = self.state.lock().await.docker.as_ref().map(Process::id);
        let programs = || {
            let mut programs = process::entered(self.pid()?)?;
            programs.retain(|pid| Some(*pid) != docker);
            Ok::<_, anyhow::Error>(programs)
        };
        for pid in programs()? {
            // One that has just ended is what we want.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        let deadline = Instant::now() + grace;
        while !programs()?.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.stop_docker().await?;
        self.halt(false).await
    }

    /// An orderly reboot; `power_cut` and `power_on` are the other one.
    pub async fn reboot(&self) -> Result<()> {
        self.shut_down(GRACE).await?;
        self.power_on().await
    }

    /// `kill -9` of everything. What an XFS on a disk had not synced is lost; disks and root volume stay.
    pub async fn power_cut(&self) -> Result<()> {
        self.halt(true).await
    }

    /// Another host: the instance store is blank and has other serials, the root volume is the same.
    pub async fn stop_start(&self) -> Result<()> {
        self.shut_down(GRACE).await?;
        self.power_on_elsewhere().await
    }

    /// The second half of [`Self::stop_start`].
    pub async fn power_on_elsewhere(&self) -> Result<()> {
        let boots = self.state.lock().await.boots;
        self.fit_disks(boots)?;
        self.power_on().await
    }

    /// EC2's root volume replacement: a fresh root volume, the disks stay, the instance reboots.
    pub async fn replace_root(&self) -> Result<()> {
        self.shut_down(GRACE).await?;
        let next = self.root.load(Ordering::Acquire) + 1;
        self.fresh_root(next)?;
        self.root.store(next, Ordering::Release);
        self.power_on().await
    }

    async fn halt(&self, lose_unsynced: bool) -> Result<()> {
        let mut state = self.state.lock().await;
        let Some(mut init) = state.init.take() else { return Ok(()) };
        let mounts = if init.ended().is_none() { self.hold_mounts(init.id())? } else { Vec::new() };
        self.init.store(0, Ordering::Release);
        state.docker = None;
        // Returns only when every process of the pid namespace is gone.
        tokio::time::timeout(Duration::from_secs(30), init.kill())
            .await
            .context("the machine's processes do not go")??;
        self.vpc.unwire(&self.spec.primary.mac, init.id()).await?;
        for eni in &state.enis {
            self.vpc.unwire(&eni.nic.mac, init.id()).await?;
        }
        self.release(mounts, lose_unsynced).await?;
        let left = cgroup::remove(&self.cgroup, Duration::from_secs(10)).await;
        if left.is_empty() { Ok(()) } else { bail!("control groups stay: {left:?}") }
    }

    /// Ends it for good; returns when nothing of it is left.
    pub async fn destroy(self) -> Result<()> {
        self.halt(false).await?;
        let disks = std::mem::take(&mut *self.disks.lock().unwrap_or_else(PoisonError::into_inner));
        volumes::free(disks).await
    }

    pub fn spec(&self) -> &MachineSpec {
        &self.spec
    }

    /// The first process's id outside the machine.
    pub fn pid(&self) -> Result<u32> {
        match self.init.load(Ordering::Acquire) {
            0 => bail!("{} is off", self.spec.instance_id),
            pid => Ok(pid),
        }
    }

    /// All its processes, those of its containers included, by their ids outside.
    pub fn processes(&self) -> Result<Vec<u32>> {
        process::descendants(self.pid()?)
    }

    fn running_root(&self) -> Result<PathBuf> {
        Ok(PathBuf::from(format!("/proc/{}/root", self.pid()?)))
    }

    /// Where a file of the machine can be read from outside. While the power is off only the root
    /// volume's own files are there.
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        let relative = inside.strip_prefix("/").unwrap_or(inside);
        match self.running_root() {
            Ok(root) => root.join(relative),
            Err(_) => self.volume_path().join("upper").join(relative),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let pid = *self.init.get_mut();
        if pid != 0 {
            // It may be gone already; then there is nothing to kill. The next world sweeps the groups.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
            cgroup::remove_now(&self.cgroup);
        }
    }
}
