//! Everything outside that the program touches, in one place: settings, directories, clock, the clients of
//! AWS, the journal and the voice to systemd. A test hands in another `Host`; nothing else changes.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::aws::Clients;
use crate::config::Settings;
use crate::report::Status;
use crate::state::Journal;

/// Where this program looks for the machine.
#[derive(Clone, Debug)]
pub struct Roots {
    /// `/sys`; another tree in tests, because this kernel may have no NVMe at all.
    pub sysfs: PathBuf,
    pub dev: PathBuf,
    pub proc: PathBuf,
    /// Survives a reboot: `/var/lib/weaviate-provisioner`.
    pub state: PathBuf,
    /// A tmpfs: `/run/weaviate-provisioner`.
    pub run: PathBuf,
    /// `/etc/systemd/network`.
    pub networkd: PathBuf,
    pub docker_socket: PathBuf,
    /// Base URL of the instance metadata service.
    pub metadata: String,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            sysfs: "/sys".into(),
            dev: "/dev".into(),
            proc: "/proc".into(),
            state: "/var/lib/weaviate-provisioner".into(),
            run: "/run/weaviate-provisioner".into(),
            networkd: "/etc/systemd/network".into(),
            docker_socket: "/run/docker.sock".into(),
            metadata: "http://169.254.169.254".into(),
        }
    }
}

/// The machine as this program sees it.
#[derive(Debug)]
pub struct Host {
    pub settings: Settings,
    pub roots: Roots,
    pub journal: Arc<Journal>,
    pub status: Status,
    clients: tokio::sync::OnceCell<Clients>,
}

impl Host {
    pub const fn new(settings: Settings, roots: Roots, journal: Arc<Journal>, status: Status) -> Self {
        Self { settings, roots, journal, status, clients: tokio::sync::OnceCell::const_new() }
    }

    /// The clients for `region`, made at the first call.
    pub async fn aws(&self, region: &str) -> &Clients {
        self.clients.get_or_init(|| Clients::new(region, &self.roots.metadata)).await
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
