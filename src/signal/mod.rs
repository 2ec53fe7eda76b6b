//! Telling the outside how the boot ended: systemd and the lifecycle hook.

mod hook;
mod settings;
pub mod systemd;

pub use hook::{
    Answer, Facts, Heartbeat, Member, Plan, SignalError, Stage, Target, Timeouts, abandon, decide,
    membership, proceed, warmed,
};
pub use settings::{Asg, OnFinal, Settings};
