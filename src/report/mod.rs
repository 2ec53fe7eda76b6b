//! What people and machines are told: progress while it runs, the timeline and the report after it.
//!
//! ```text
//!  steps ──say, warn──▶ Status ──────────▶ STATUS of systemd, warnings of the report
//!    └────begin, end──▶ Timeline ─draw──▶ text, SVG, timeline.json
//!  how it ended ──────▶ Report ──────────▶ report.json, the bucket
//! ```
//!
//! To add a fact to the report: a field of [`Report`], filled where the boot ends (`cli/run.rs`).

mod document;
mod draw;
mod status;
mod timeline;

pub use document::{Outcome, Report, RestoredReport};
pub use draw::{svg, text};
pub use status::{Status, Work, Working};
pub use timeline::{Entry, Evidence, How, Step, Timeline};
