//! The bucket: conditions are looked at when a write arrives, and not before.

use crate::events::{Effect, Event};
use crate::flaws::Flaw;
use crate::model::Model;
use crate::state::{Condition, Manifest, Phase, Place, Purpose, Put, State, Writing};

impl Model {
    /// On what a write of this purpose depends, before anything was looked at again.
    fn condition(&self, writing: &Writing) -> Condition {
        let unconditional = match writing.purpose {
            Purpose::TakeOver => Flaw::TakesOverUnconditionally,
            Purpose::Renew | Purpose::Publish | Purpose::Retire => Flaw::PublishesUnconditionally,
        };
        if self.has(unconditional) {
            return Condition::Always;
        }
        writing.own.map_or(Condition::Absent, Condition::Match)
    }

    pub(crate) fn send(
        &self,
        state: &mut State,
        place: Place,
        writing: Writing,
        again: Option<Condition>,
    ) -> Event {
        let condition = again.unwrap_or_else(|| self.condition(&writing));
        let from = state.id(place);
        state.add(Put { from, awaited: true, condition, next: writing.next });
        state.instances[place].phase = Phase::Sent(writing);
        Event::Sent(writing.purpose)
    }

    pub(crate) fn arrive(&self, state: &mut State, at: usize, lose: bool) -> Option<Event> {
        if lose && (state.left.losses == 0 || !state.puts[at].awaited) {
            return None;
        }
        let put = state.puts.remove(at);
        let fits = match put.condition {
            Condition::Always => true,
            Condition::Absent => state.pointer.is_none(),
            Condition::Match(there) => state.pointer == Some(there),
        };
        let effect = if fits { Effect::Took } else { Effect::None };
        if fits {
            judge(state, &put);
            state.pointer = Some(put.next);
        }
        if !put.awaited {
            return Some(Event::Late(effect));
        }
        let place = usize::from(put.from.place);
        let Phase::Sent(writing) = state.instances[place].phase else { return None };
        let purpose = writing.purpose;
        let (event, done) = if lose {
            state.left.losses -= 1;
            (Event::AnswerLost(purpose, effect), self.has(Flaw::LostAnswerIsDone))
        } else if fits {
            (Event::Answered(purpose), true)
        } else {
            (Event::Refused(purpose), self.has(Flaw::RefusalIsDone))
        };
        Self::answered(state, place, writing, done);
        Some(event)
    }

    /// The agent waits no longer, and the write is still under way.
    pub(crate) fn give_up(&self, state: &mut State, place: Place) -> Option<Event> {
        let Phase::Sent(writing) = state.instances[place].phase else { return None };
        state.left.delays = state.left.delays.checked_sub(1)?;
        state.orphan(place);
        Self::answered(state, place, writing, self.has(Flaw::LostAnswerIsDone));
        Some(Event::GaveUp(writing.purpose))
    }

    fn answered(state: &mut State, place: Place, writing: Writing, done: bool) {
        if done {
            Self::succeed(state, place, writing.purpose);
        } else {
            state.instances[place].phase = Phase::Looking(writing);
        }
    }
}

/// Whether this write may follow what it overwrites: a generation is its owner's, and what it names is never older.
fn judge(state: &mut State, put: &Put) {
    let Put { from, next, .. } = put;
    state.foreign |= next.owner != *from;
    let Some(before) = state.pointer else { return };
    let same = (next.owner, next.nonce) == (before.owner, before.nonce);
    state.foreign |= next.generation == before.generation && !same;
    state.went_back |= older(*next, before, same);
}

fn older(next: Manifest, before: Manifest, same: bool) -> bool {
    next.generation < before.generation
        || next.backup.number < before.backup.number
        || same && next.renewed < before.renewed
}
