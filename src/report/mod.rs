//! What people and machines are told: progress while it runs, the timeline and the report after it.

mod document;
mod draw;
mod status;
mod timeline;

pub use document::{Outcome, Report, RestoredReport};
pub use draw::{svg, text};
pub use status::Status;
pub use timeline::{Entry, Evidence, How, Step, Timeline};
