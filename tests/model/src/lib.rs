//! Who may serve and who may publish: a model of two instances, the interface, the bucket and the group, small enough to
//! be looked at in every state that it can come to.
//!
//! ```text
//!  group: launch, terminate, a planned end ─┐        ┌─ writes of clients ◀─ acknowledged
//!  operator: detach, reboot, stop and start ┤        │
//!                                           ▼        ▼
//!  choose ∥ claim ─▶ refresh ─▶ fresh ─▶ take over ─▶ owner ─▶ serving ─▶ publish, retire
//!                      ▲          │ kept: renew       ▲
//!                      └─ moved ──┴─▶ sent ─▶ looking ┘    (lost: ended, the door closed)
//!                                      │ put
//!                                      ▼
//!                       bucket: arrives once, at any time or never; its answer arrives or is lost
//! ```
//!
//! Its steps are those of the agent (`src/manifest/protocol.rs`, `src/manifest/take_over.rs`, `src/restore`,
//! `src/network/claim`, `src/backup/publish.rs`), one for each thing that others can come between. The planned end is that of
//! the runbook: nobody can write any more, a last backup, and then the group ends the instance.
//!
//! `tests/scenarios.rs` looks at every state of each of [`SCENARIOS`]. `tests/flaws.rs` takes one guard away at a time
//! ([`Flaw`]) and must find its property broken. `tests/schedules.rs` plays the model's own traces ([`schedules`]) with the
//! real code and compares step by step.
//!
//! To add a step: a variant of [`Action`] and its arm in [`Model::step`], with an [`Event`] for each way in which it can end;
//! what the real code does there goes into `tests/real/replay.rs`. To add a guard: a variant of [`Flaw`] that takes it away,
//! and its row in `tests/flaws.rs`.

mod actions;
mod agent;
mod bucket;
mod cover;
mod decide;
mod events;
mod flaws;
mod model;
mod properties;
mod scenarios;
mod state;

pub use actions::Action;
pub use cover::{Grain, Schedule, schedules};
pub use events::{Claimed, Decided, Effect, Event, Refreshed, Staged, Where};
pub use flaws::Flaw;
pub use model::Model;
pub use properties::{ALWAYS, SOMETIMES};
pub use scenarios::{Begin, Budget, SCENARIOS, Scenario};
pub use state::{
    Backup, Condition, Id, Instance, Manifest, PLACES, Phase, Place, Purpose, Put, Record, Run, State,
    Writing,
};
