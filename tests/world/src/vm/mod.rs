//! Whole machines: Debian with its own kernel, systemd, cloud-init and Docker, in QEMU, in the VPC of the world.
//!
//! ```text
//!  Site (cloud, store, VPC) ◀── tap devices ── Machine (QEMU, nbdkit) ◀── user data ── packaging/
//!    │   Hotplug ─▶ Attendant ─▶ plug, unplug, power                │
//!    │                                                              └── Guest (commands inside, the journal)
//!    └── Knockers and Readers: what outside clients see, all the time
//! ```
//! What is shown here and nowhere else: the package, the units and their sandbox, systemd's mounts and networks, and
//! disks that lose what was not flushed. To add a case: a folder in `tests/vm/cases`.

mod act;
mod attendant;
mod case;
mod disks;
mod guest;
mod life;
mod machine;
mod play;
mod qemu;
mod qmp;
mod reader;
mod resolver;
mod user_data;

pub use case::{Case, load_all};
pub use life::Life;
pub use play::{Played, play};

use std::path::PathBuf;

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The image of the operating system: `disk.img`, `vmlinuz`, `initrd.img`.
    pub os: PathBuf,
    /// The package, and the same as an upgrade of it.
    pub package: PathBuf,
    pub upgrade: PathBuf,
}
