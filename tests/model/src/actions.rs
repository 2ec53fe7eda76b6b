//! What may happen next.

use crate::state::{PLACES, Place, State};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// The agent's own steps.
    Choose(Place),
    Claim(Place),
    Refresh(Place),
    TakeOver(Place),
    Send(Place),
    Look(Place),
    Expose(Place),
    /// Somebody asks the agent for a backup.
    Backup(Place),
    /// A planned end: nobody writes any more, and a last backup is asked for.
    Retire(Place),
    /// The group ends an instance whose last backup is named.
    Leave(Place),
    /// This write arrives in the bucket; `lose`: its answer never arrives.
    Arrive {
        put: usize,
        lose: bool,
    },
    /// The agent waits no longer for an answer; the write may still arrive.
    GiveUp(Place),
    /// A client writes.
    Write(Place),
    /// The agent dies, and is started anew.
    Restart(Place),
    /// The machine reboots, in order or not; its disk stays.
    Reboot(Place),
    /// It is stopped and started: another host, an empty disk, the same instance.
    Wipe(Place),
    /// The group, or EC2, ends it as it is.
    Terminate(Place),
    Launch(Place),
    /// An operator takes the interface from whoever has it.
    Detach,
}

/// All that could happen, most of which cannot.
pub fn candidates(state: &State) -> impl Iterator<Item = Action> {
    let of_place = [
        Action::Choose,
        Action::Claim,
        Action::Refresh,
        Action::TakeOver,
        Action::Send,
        Action::Look,
        Action::Expose,
        Action::Backup,
        Action::Retire,
        Action::Leave,
        Action::GiveUp,
        Action::Write,
        Action::Restart,
        Action::Reboot,
        Action::Wipe,
        Action::Terminate,
        Action::Launch,
    ];
    let arrivals = (0..state.puts.len())
        .flat_map(|put| [Action::Arrive { put, lose: false }, Action::Arrive { put, lose: true }]);
    let local = of_place.into_iter().flat_map(|action| PLACES.map(action));
    local.chain(arrivals).chain([Action::Detach])
}
