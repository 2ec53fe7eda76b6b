//! What must hold in every state, and what must happen in some: a model in which nothing happens breaks nothing.

use stateright::Property;

use crate::model::Model;
use crate::scenarios::Scenario;
use crate::state::{PLACES, Phase, Purpose, State};

type Holds = fn(&Model, &State) -> bool;

pub const ONE_EXPOSED: &str = "at most one is exposed";
pub const EXPOSED_IS_OWNER: &str = "who is exposed is the owner that the manifest names";
pub const NEVER_BACK: &str = "the pointer never goes back";
pub const OWNER_PUBLISHES: &str = "nobody writes in another's generation";
pub const PUBLISHED_IS_SERVED: &str = "who is exposed has all of the backup that the manifest names";
pub const ACKNOWLEDGED_IS_SERVED: &str = "who is exposed has all that was acknowledged";
pub const LOSER_IS_CLOSED: &str = "who has lost keeps nobody's door open and publishes nothing";

/// The last but one only where nothing is lost that could not be kept: no disk, and no interface of a living instance.
pub const ALWAYS: [(&str, Holds); 7] = [
    (ONE_EXPOSED, |_, state| PLACES.into_iter().filter(|place| state.exposed(*place)).count() <= 1),
    (EXPOSED_IS_OWNER, |_, state| each_exposed(state, is_owner)),
    (NEVER_BACK, |_, state| !state.went_back),
    (OWNER_PUBLISHES, |_, state| !state.foreign),
    (PUBLISHED_IS_SERVED, |_, state| {
        each_exposed(state, |state, place| {
            let named = state.pointer.map_or(0, |pointer| pointer.backup.data);
            named & !state.instances[place].data == 0
        })
    }),
    (ACKNOWLEDGED_IS_SERVED, |_, state| {
        each_exposed(state, |state, place| state.acknowledged & !state.instances[place].data == 0)
    }),
    (LOSER_IS_CLOSED, |_, state| {
        let closed = |me: &crate::state::Instance| !me.door && !publishes(me.phase);
        state.instances.iter().all(|me| !me.lost || closed(me))
    }),
];

/// In a scenario those that it names.
pub const SOMETIMES: [(&str, Holds); 8] = [
    ("a first owner serves", |_, state| serves(state, |state| generation(state) == 1)),
    ("a successor serves", |_, state| serves(state, |state| generation(state) > 1)),
    ("a third owner serves", |_, state| serves(state, |state| generation(state) > 2)),
    ("what was kept is shown again", |_, state| {
        serves(state, |state| state.pointer.is_some_and(|pointer| pointer.renewed > 0))
    }),
    ("a backup of a write is named", |_, state| {
        state.pointer.is_some_and(|pointer| pointer.backup.data != 0)
    }),
    ("an instance retires", |_, state| state.instances.iter().any(|me| me.phase == Phase::Retired)),
    ("somebody has lost while another serves", |_, state| {
        let [one, other] = &state.instances;
        one.lost && other.phase == Phase::Serving || other.lost && one.phase == Phase::Serving
    }),
    ("a write is under way for which nobody waits, while another serves", |_, state| {
        let serves = |place: usize| state.exposed(place) && state.instances[place].phase == Phase::Serving;
        state.puts.iter().any(|put| !put.awaited && serves(1 - usize::from(put.from.place)))
    }),
];

fn each_exposed(state: &State, holds: fn(&State, usize) -> bool) -> bool {
    PLACES.into_iter().all(|place| !state.exposed(place) || holds(state, place))
}

fn is_owner(state: &State, place: usize) -> bool {
    let (id, record) = (state.id(place), state.instances[place].record);
    state.pointer.is_some_and(|pointer| {
        pointer.owner == id
            && record.is_some_and(|r| (r.generation, r.nonce) == (pointer.generation, pointer.nonce))
    })
}

fn publishes(phase: Phase) -> bool {
    match phase {
        Phase::Ready(writing) | Phase::Sent(writing) | Phase::Looking(writing) => {
            matches!(writing.purpose, Purpose::Publish | Purpose::Retire)
        }
        Phase::Off
        | Phase::Booting
        | Phase::Fresh
        | Phase::Owner
        | Phase::Serving
        | Phase::Retired
        | Phase::Ended => false,
    }
}

fn serves(state: &State, holds: fn(&State) -> bool) -> bool {
    let exposed = |place: usize| state.exposed(place) && state.instances[place].phase == Phase::Serving;
    PLACES.into_iter().any(exposed) && holds(state)
}

fn generation(state: &State) -> u8 {
    state.pointer.map_or(0, |pointer| pointer.generation)
}

pub fn of(scenario: &Scenario) -> Vec<Property<Model>> {
    let always = ALWAYS.into_iter().filter(|(name, _)| scenario.planned || *name != ACKNOWLEDGED_IS_SERVED);
    let sometimes = SOMETIMES.into_iter().filter(|(name, _)| scenario.sometimes.contains(name));
    always
        .map(|(name, holds)| Property::always(name, holds))
        .chain(sometimes.map(|(name, holds)| Property::sometimes(name, holds)))
        .collect()
}
