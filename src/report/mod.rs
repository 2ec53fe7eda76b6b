//! What people and machines are told: progress while it runs, the timeline and the report after it.

mod status;

pub use status::Status;
