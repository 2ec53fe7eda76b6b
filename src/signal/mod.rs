//! Telling the outside how the boot ended: systemd and the lifecycle hook.

mod settings;

pub use settings::{Asg, OnFinal, Settings};
