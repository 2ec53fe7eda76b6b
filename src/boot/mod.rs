//! The boot on one screen.

mod settings;

pub use settings::Settings;
