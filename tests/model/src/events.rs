//! How a step ended: what the real code must have said at the same place.

use crate::state::Purpose;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Staged {
    Keep,
    Restore,
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Claimed {
    /// It is attached here.
    Kept,
    /// It is not, and an open door was closed.
    Closed,
    Attached,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refreshed {
    Unchanged,
    Follow,
    Again(Staged),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Decided {
    Owned,
    Write,
    Lost,
    Moved,
    Vanished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    Chose(Staged),
    Claimed(Claimed),
    Refreshed(Refreshed),
    /// The interface has left since it was claimed.
    NotHere,
    /// The data was kept behind a door that stands open.
    StaysOpen,
    /// The record says what is meant.
    Noted,
    Sent(Purpose),
    /// The write took effect, and its sender knows.
    Answered(Purpose),
    Refused(Purpose),
    /// Whether the write took effect, its sender has to find out.
    AnswerLost(Purpose, Effect),
    GaveUp(Purpose),
    /// Nobody waits for it any more.
    Late(Effect),
    Looked(Purpose, Decided),
    Exposed,
    /// The interface's link is not here.
    NotExposed,
    Packed(Purpose),
    /// The agent reads that another is the owner before it packs anything.
    Dethroned(Purpose),
    Left,
    Wrote,
    Restarted(Where),
    Rebooted(Where),
    Wiped,
    Terminated,
    Launched,
    Detached,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    Took,
    None,
}

/// Where an agent was when it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Where {
    Booting,
    Fresh,
    Ready(Purpose),
    Sent(Purpose),
    Looking(Purpose),
    Owner,
    Serving,
    Retired,
    Ended,
}
