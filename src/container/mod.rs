//! The container: its image, its specification, its life.
//!
//! ```text
//!  image ──▶ present | loaded from a file | pulled ──▶ Image
//!  settings + evidence ──spec──▶ Specification (and its hash) ─┐
//!  what Docker has ────────────────────────────────────────────┴─decide─▶ adopt | start | replace | create
//!      ──▶ wait until ready (or it exits: code and last lines) ──▶ proof through /proc/<pid>/root ──▶ Running
//!  Running + Room ──aside──▶ a second server for a drill: other name, other directories, no port
//!  Running ──look──▶ what Docker has of it now (`watch`)
//! ```
//!
//! The container's address is published while it lies on `lo` and the door is shut (`network`). Its restart
//! policy is `no`: Docker's own restart fails for good when the address is missing at boot (moby#39559), so
//! systemd and `watch` own restarts.
//!
//! To add a setting that the server must see: put it into `spec.rs`, where the hash makes a change replace the
//! container.

mod aside;
mod bridge;
mod decide;
mod docker;
mod error;
mod image;
mod logs;
mod look;
mod proof;
mod ready;
mod running;
mod settings;
mod spec;
mod start;
#[cfg(test)]
mod tests;
pub mod vend;

pub use aside::{Aside, Stuff, remove_aside, start_aside};
pub use decide::{Plan, Seen, decide};
pub use error::ContainerError;
#[cfg(test)]
pub(crate) use image::LONGEST as IMAGE_LONGEST;
pub use image::{Image, plan_image, ready_image};
pub use look::{Now, Sight, last_lines, look};
pub use running::{LastWords, Running, last_words, restart, stop};
pub use settings::{Keys, OWNED_ENVIRONMENT, Oidc, Settings};
pub use spec::{DirectS3, Room, ServerPlan};
pub use start::{plan, start};

use crate::network::PORTS;

/// REST and gRPC on the address: what the door guards.
pub const REST_PORT: u16 = PORTS[0];
pub const GRPC_PORT: u16 = PORTS[1];
/// The container's name: one of them per machine.
pub const NAME: &str = "weaviate";
