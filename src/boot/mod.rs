//! The boot on one screen: each line is a box of the drawing, each argument the evidence that it needs.
//!
//! ```text
//!  identify ─▶ locate ─┬─▶ claim ───────────────────────────────────────────────┐
//!                      ├─▶ prepare ─┬─────────────┐                             │
//!                      │            ├─▶ stage ─┐  │                             ▼
//!                      ├─▶ choose ──┘          ├──┼─▶ restore ─▶ verify ─▶ refresh ─▶ take over
//!                      ├─▶ fetch ──┐           │  │                             │
//!                      └─▶ image ──┴─▶ start ──┴──┘       warm ◀────────────────┘
//!                                                           └─▶ expose ─▶ probe ─▶ Serving
//! ```
//!
//! To add a step: its function from evidence to evidence in its domain, a variant of [`crate::report::Step`], one line here.

mod deadline;
mod settings;

pub use deadline::allowed;
pub use settings::Settings;
