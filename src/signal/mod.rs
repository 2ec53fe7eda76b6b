//! Telling the outside how the boot ended: systemd and the lifecycle hook.
//!
//! ```text
//!  Status ──every 5 s──▶ systemd: STATUS, EXTEND_TIMEOUT_USEC while there is progress, WATCHDOG
//!  Serving ──▶ READY ──▶ hook: CONTINUE ─┐
//!  Failure ────────────▶ hook: ABANDON  ─┴─ offered until it is taken; the journal knows, the next run goes on
//!  Heartbeat, at a third of the hook's timeout, for as long as there is progress
//! ```
//!
//! To add somebody who must be told: its settings in `settings.rs`, its answers as a decision with a table.

mod ending;
mod hook;
mod settings;
pub mod systemd;

pub use ending::{Ending, ending};
pub use hook::{
    Answer, Facts, Heartbeat, Member, Patience, Plan, Replacement, SignalError, Stage, Target, Timeouts,
    abandon, decide, membership, proceed, replacement, warmed,
};
pub use settings::{Asg, OnFinal, Settings};
