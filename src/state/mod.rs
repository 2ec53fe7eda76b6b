//! The journal of this instance: what was begun and what was finished, so that the next run knows.
//!
//! ```text
//! intend (before the act) ──▶ state.json: temp + fsync + rename ──▶ the act
//! ```

mod journal;
mod notes;

pub use journal::{Journal, Provisioning, SignalOutcome, State, StateError, replace, uptime};
pub use notes::{read_or_set_aside, remove};
