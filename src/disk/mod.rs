//! The instance store: found by model, formatted once, mounted, recognised again.

mod settings;

pub use settings::Settings;
