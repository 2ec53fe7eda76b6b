//! The fixed address: found, claimed, routed, and closed until the data is right.
//!
//! ```text
//! close ─▶ Closed       (an nftables table of our own, before the network comes up)
//! locate ─▶ LocatedEni ─▶ claim ─▶ AttachedEni ──────────────┐
//!              └─▶ place_address ─▶ PlacedAddress (on lo)     ├─▶ expose ─▶ Exposed ─▶ probe ─▶ Serving
//!                                     … data verified, warm ──┘                └─▶ withdraw ─▶ Closed
//! ```
//!
//! The ENI is the deployment's lock: EC2 gives it to one instance. Everything about it is looked up in EC2 and
//! in the kernel at each step; nothing is remembered between runs, so a run that was killed is continued by
//! looking.
//!
//! To add something that must hold on the network: a field of `routes::Wanted`, its change in
//! `routes::decide` with a row in its tests, and its line in `networkd::render`.

mod audit;
mod claim;
mod door;
mod eni;
mod environment;
mod error;
mod expose;
mod locate;
mod netlink;
mod networkd;
mod probe;
mod reserve;
mod routes;
mod settings;
mod table;
mod tag;

pub use audit::audit;
pub use claim::{
    Facts as ClaimFacts, OwnerState, Plan as ClaimPlan, claim, decide as decide_claim, plan as plan_claim,
};
pub use door::{DoorState, PORTS};
pub use eni::{AttachedEni, Attachment, AttachmentStatus, INITIALIZED_TAG, LocatedEni};
pub use error::NetworkError;
pub use expose::{
    Closed, Exposed, PlacedAddress, check_closed, check_door, check_link, close, close_early, expose,
    is_open, place_address, state, withdraw,
};
pub use locate::{DEPLOYMENT_TAG, NODE_TAG, locate};
pub use probe::{Serving, probe};
pub use settings::{EniSelector, Publish, Settings};
pub use tag::{Marked, mark_initialized};

/// The longest that each step of this domain waits by its own limits; the claim's are settings.
#[cfg(test)]
pub(crate) mod longest {
    use std::time::Duration;

    pub(crate) const CLOSE: Duration = super::door::DEADLINE;
    pub(crate) const LOCATE: Duration = super::locate::LONGEST;
    pub(crate) const MARK: Duration = super::tag::LIMITS.deadline;
    pub(crate) const EXPOSE: Duration = super::expose::LONGEST;
    pub(crate) const PROBE: Duration = super::probe::LONGEST;
}
