//! Telling the outside how the boot ended: systemd and the lifecycle hook.

mod settings;
pub mod systemd;

pub use settings::{Asg, OnFinal, Settings};
