//! From a pointer in S3 to data that was counted: choose, stage, restore, verify, refresh, warm.

mod settings;

pub use settings::{Mode, Settings, Unverified};
