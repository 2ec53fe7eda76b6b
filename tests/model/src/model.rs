//! The model as stateright walks it.

use crate::actions::{Action, candidates};
use crate::events::{Event, Where};
use crate::flaws::Flaw;
use crate::properties;
use crate::scenarios::Scenario;
use crate::state::{Instance, Phase, Place, Purpose, Run, State, bit};

#[derive(Clone, Debug)]
pub struct Model {
    pub scenario: Scenario,
    pub flaw: Option<Flaw>,
}

impl Model {
    pub(crate) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// What this action does, where it can be done, and how it ended.
    pub fn step(&self, before: &State, action: Action) -> Option<(State, Event)> {
        let mut state = before.clone();
        let event = self.act(&mut state, action)?;
        Some((state, event))
    }

    fn act(&self, state: &mut State, action: Action) -> Option<Event> {
        match action {
            Action::Choose(place) => self.choose(state, place),
            Action::Claim(place) => self.claim(state, place),
            Action::Refresh(place) => self.refresh(state, place),
            Action::TakeOver(place) => self.take_over(state, place),
            Action::Send(place) => {
                let Phase::Ready(writing) = state.instances[place].phase else { return None };
                Some(self.send(state, place, writing, None))
            }
            Action::Look(place) => self.look(state, place),
            Action::Expose(place) => Self::expose(state, place),
            Action::Backup(place) => self.pack(state, place, Purpose::Publish),
            Action::Retire(place) => self.pack(state, place, Purpose::Retire),
            Action::Leave(place) => {
                (state.instances[place].phase == Phase::Retired).then(|| end(state, place, Event::Left))
            }
            Action::Arrive { put, lose } => self.arrive(state, put, lose),
            Action::GiveUp(place) => self.give_up(state, place),
            Action::Write(place) => write(state, place),
            Action::Restart(place) => {
                let was = alive(state, place)?;
                let me = &state.instances[place];
                if me.phase == Phase::Booting && me.run == Run::default() {
                    return None;
                }
                state.left.restarts = state.left.restarts.checked_sub(1)?;
                anew(state, place);
                Some(Event::Restarted(was))
            }
            Action::Reboot(place) => {
                let was = alive(state, place)?;
                state.left.reboots = state.left.reboots.checked_sub(1)?;
                self.boot(state, place);
                Some(Event::Rebooted(was))
            }
            Action::Wipe(place) => {
                alive(state, place)?;
                state.left.wipes = state.left.wipes.checked_sub(1)?;
                self.boot(state, place);
                (state.instances[place].data, state.instances[place].record) = (0, None);
                Some(Event::Wiped)
            }
            Action::Terminate(place) => {
                alive(state, place)?;
                state.left.terminations = state.left.terminations.checked_sub(1)?;
                Some(end(state, place, Event::Terminated))
            }
            Action::Launch(place) => {
                let life = state.instances[place].life;
                if state.instances[place].phase != Phase::Off {
                    return None;
                }
                state.left.launches[place] = state.left.launches[place].checked_sub(1)?;
                state.instances[place] = Instance { phase: Phase::Booting, ..Instance::off(life + 1) };
                Some(Event::Launched)
            }
            Action::Detach => {
                if state.holders == 0 {
                    return None;
                }
                state.left.detaches = state.left.detaches.checked_sub(1)?;
                state.holders = 0;
                Some(Event::Detached)
            }
        }
    }

    fn boot(&self, state: &mut State, place: Place) {
        anew(state, place);
        state.instances[place].door &= self.has(Flaw::DoorStaysOpenOverBoot);
    }
}

fn alive(state: &State, place: Place) -> Option<Where> {
    Some(match state.instances[place].phase {
        Phase::Off => return None,
        Phase::Booting => Where::Booting,
        Phase::Fresh => Where::Fresh,
        Phase::Ready(writing) => Where::Ready(writing.purpose),
        Phase::Sent(writing) => Where::Sent(writing.purpose),
        Phase::Looking(writing) => Where::Looking(writing.purpose),
        Phase::Owner => Where::Owner,
        Phase::Serving => Where::Serving,
        Phase::Retired => Where::Retired,
        Phase::Ended => Where::Ended,
    })
}

/// Another run of the agent, which knows nothing of the one before.
fn anew(state: &mut State, place: Place) {
    state.orphan(place);
    let me = &mut state.instances[place];
    (me.phase, me.run) = (Phase::Booting, Run::default());
}

/// EC2 calls the interface free once the instance has ended.
fn end(state: &mut State, place: Place, event: Event) -> Event {
    state.orphan(place);
    state.instances[place] = Instance::off(state.instances[place].life);
    state.holders &= !bit(place);
    event
}

fn write(state: &mut State, place: Place) -> Option<Event> {
    if !state.exposed(place) || state.instances[place].run.resting {
        return None;
    }
    state.left.writes = state.left.writes.checked_sub(1)?;
    let next = state.acknowledged + 1;
    state.acknowledged |= next;
    state.instances[place].data |= next;
    Some(Event::Wrote)
}

impl stateright::Model for Model {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.scenario.first()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend(candidates(state));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.step(state, action).map(|(next, _)| next)
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        properties::of(&self.scenario)
    }
}
