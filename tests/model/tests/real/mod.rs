//! The real code under a schedule's hands.
//!
//! ```text
//! schedule ──step──▶ replay ──▶ manifest::{read, publish, publish_again, renew} ──▶ bucket
//!     │                 │                                                            │ holds every GET and PUT of the
//!     └──state after────┴──▶ the pointer, the writes under way, who waits: equal ◀───┘ manifest until the schedule says so
//! ```
//!
//! Time stands still but for the code's own pauses, which cost nothing (tokio's paused clock), and no socket is opened.

mod bucket;
mod names;
mod replay;

pub use replay::play;
