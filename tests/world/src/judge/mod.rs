//! Fails a case when the agent did what it must never do. A pure function of the ledger: what the ledger does
//! not hold, nobody can be condemned for; so every rule has a rogue agent that must be caught.
//!
//! To add a rule: a file with `pub fn`, its line in [`forbidden`], its rogue in `tests/rogues.rs`.

mod door;

pub use door::START;

use crate::ledger::{Event, Seen};

/// All forbidden acts, one sentence each, in the order of the events.
pub fn forbidden(events: &[Seen]) -> Vec<String> {
    let mut found = Vec::new();
    for seen in events {
        match &seen.event {
            Event::Forbidden { rule, details } => found.push(format!("{rule}: {details}")),
            Event::DiskTouched { serial, journalled: false } => {
                found.push(format!("disk: {serial} was changed before the journal named it"));
            }
            _ => {}
        }
    }
    found.extend(door::too_early(events));
    found
}
