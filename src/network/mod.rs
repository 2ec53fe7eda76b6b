//! The fixed address: found, claimed, routed, and closed until the data is right.

mod settings;

pub use settings::{EniSelector, Publish, Settings};
