//! How the other commands speak with the `run` that lives: one request, a line of JSON, and lines of JSON back.
//!
//! ```text
//! command ── {"backup": {…}} ──▶ /run/weaviate-provisioner/control.sock ──▶ desk ──▶ the one who does it, in `cli::run`
//!         ◀── {"says": "…"} … ◀──────────────────────────────────────────────┘
//!         ◀── {"done": {…}} or {"failed": {…}}
//! ```
//!
//! The socket belongs to root and nobody else may write to it. What was asked for goes on when who asked hangs up: an
//! order is the node's, not the terminal's.
//!
//! To add a request: a variant of [`Request`] with its answer, and its arm where `run` serves the desk.

mod client;
mod desk;
mod error;
mod messages;

pub use client::{ask, order};
pub use desk::{Desk, Ordered, Orders};
pub use error::ControlError;
pub use messages::{Answer, Request};

/// Below the run directory.
const SOCKET: &str = "control.sock";
