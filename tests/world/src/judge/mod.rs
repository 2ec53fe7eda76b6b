//! Fails a case when the agent did what it must never do. A pure function of the ledger: what the ledger does
//! not hold, nobody can be condemned for; so every rule has a rogue that must be caught.
//!
//! ```text
//! doubles ──Forbidden──┐
//! disks ──DiskTouched──┼──▶ forbidden ──▶ one sentence for each act, which begins with its rule
//! S3, server ──────────┤      ├─ pointer: the manifest's pointer moves by conditions, and upwards
//! clients ──Reached────┘      └─ door: who got in, and what had been proven by then
//! ```
//!
//! To add a rule: a variant of [`Rule`], the place that tells of it, its rogue in `tests/rogues`; a test there
//! fails while a rule has none.

mod door;
#[cfg(test)]
mod door_tests;
mod pointer;
mod rule;

pub use door::START;
pub use pointer::facts;
pub use rule::Rule;

use crate::ledger::{Event, Seen};

/// All forbidden acts, one sentence each, in the order of the events.
pub fn forbidden(events: &[Seen]) -> Vec<String> {
    let mut found = forbidden_but_at_the_door(events);
    found.extend(door::too_early(events));
    found
}

/// The same where nobody sees what the server is asked: that it counted is not known, and whoever plays such a case
/// counts himself.
pub fn forbidden_from_outside(events: &[Seen]) -> Vec<String> {
    let mut found = forbidden_but_at_the_door(events);
    found.extend(door::too_early_from_outside(events));
    found
}

fn forbidden_but_at_the_door(events: &[Seen]) -> Vec<String> {
    let mut found = Vec::new();
    for seen in events {
        match &seen.event {
            Event::Forbidden { rule, details } => found.push(format!("{rule}: {details}")),
            Event::DiskTouched { serial, journalled: false } => {
                found.push(format!("{}: {serial} was changed before the journal named it", Rule::Disk));
            }
            _ => {}
        }
    }
    found.extend(pointer::moves(events));
    found
}
