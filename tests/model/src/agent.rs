//! The agent's steps, as its code takes them.

use crate::events::{Claimed, Decided, Event, Refreshed, Staged};
use crate::flaws::Flaw;
use crate::model::Model;
use crate::state::{Backup, Manifest, Phase, Place, Purpose, Record, Run, State, Writing, bit};

impl Model {
    pub(crate) fn choose(&self, state: &mut State, place: Place) -> Option<Event> {
        let me = &state.instances[place];
        if me.phase != Phase::Booting || me.run.held.is_some() {
            return None;
        }
        Some(Event::Chose(self.stage(state, place)))
    }

    /// Data is kept only if owner, nonce and generation of the manifest are those of the volume's record.
    fn stage(&self, state: &mut State, place: Place) -> Staged {
        let (id, now) = (state.id(place), state.pointer);
        let me = &mut state.instances[place];
        me.run.held = Some(now);
        let named = |record: Record| {
            now.is_some_and(|m| (m.owner, m.nonce, m.generation) == (id, record.nonce, record.generation))
        };
        let there = now.is_some() && self.has(Flaw::KeptUnasked);
        me.run.kept = me.record.is_some_and(|record| named(record) || there);
        if me.run.kept {
            return Staged::Keep;
        }
        let backup = now.map(|m| m.backup).unwrap_or_default();
        (me.door, me.data, me.record) = (false, backup.data, None);
        if backup.number == 0 { Staged::Empty } else { Staged::Restore }
    }

    pub(crate) fn claim(&self, state: &mut State, place: Place) -> Option<Event> {
        let me = &state.instances[place];
        if me.phase != Phase::Booting || me.run.claimed {
            return None;
        }
        let claimed = if state.attached(place) {
            Claimed::Kept
        } else if me.door && !self.has(Flaw::ClaimLeavesDoorOpen) {
            state.instances[place].door = false;
            return Some(Event::Claimed(Claimed::Closed));
        } else if state.holders == 0 || self.has(Flaw::ClaimRobs) {
            state.holders = bit(place);
            Claimed::Attached
        } else if self.has(Flaw::InterfaceIsNoLock) {
            state.holders |= bit(place);
            Claimed::Attached
        } else {
            return None;
        };
        state.instances[place].run.claimed = true;
        Some(Event::Claimed(claimed))
    }

    pub(crate) fn refresh(&self, state: &mut State, place: Place) -> Option<Event> {
        let now = state.pointer;
        let me = &mut state.instances[place];
        let (Phase::Booting, Some(held)) = (me.phase, me.run.held) else { return None };
        if !me.run.claimed && !self.has(Flaw::TakesOverWithoutInterface) {
            return None;
        }
        let same_backup = matches!((held, now), (Some(held), Some(now)) if held.backup == now.backup);
        let refreshed = if held == now {
            Refreshed::Unchanged
        } else if !me.run.kept && (same_backup || self.has(Flaw::FollowsAnything)) {
            me.run.held = Some(now);
            Refreshed::Follow
        } else {
            return Some(Event::Refreshed(Refreshed::Again(self.stage(state, place))));
        };
        me.phase = Phase::Fresh;
        Some(Event::Refreshed(refreshed))
    }

    pub(crate) fn take_over(&self, state: &mut State, place: Place) -> Option<Event> {
        let id = state.id(place);
        let attached = state.attached(place);
        let me = &mut state.instances[place];
        let (Phase::Fresh, Some(held)) = (me.phase, me.run.held) else { return None };
        // The link is looked for after the manifest was read: who has the interface from now on changes it.
        let looked = !self.has(Flaw::ClaimIsBelieved) && !self.has(Flaw::TakesOverWithoutInterface);
        if looked && !attached {
            (me.phase, me.run) = (Phase::Booting, Run::default());
            return Some(Event::NotHere);
        }
        if let (true, Some(own)) = (me.run.kept, held) {
            if me.door || self.has(Flaw::KeptIsNotRenewed) {
                me.phase = Phase::Owner;
                return Some(Event::StaysOpen);
            }
            let renewed = own.renewed + u8::from(!self.has(Flaw::RenewalChangesNothing));
            let next = Manifest { renewed, ..own };
            return Some(self.send(state, place, Writing { purpose: Purpose::Renew, own: held, next }, None));
        }
        me.nonces += 1;
        let before = held.map_or(0, |held| held.generation);
        let same = before > 0 && self.has(Flaw::TakesTheSameGeneration);
        let next = Manifest {
            generation: before + u8::from(!same),
            owner: id,
            nonce: me.nonces,
            backup: held.map(|held| held.backup).unwrap_or_default(),
            renewed: 0,
        };
        me.record = Some(Record { generation: next.generation, nonce: next.nonce });
        me.door |= attached && self.has(Flaw::OpensBeforeTakingOver);
        me.phase = Phase::Ready(Writing { purpose: Purpose::TakeOver, own: held, next });
        Some(Event::Noted)
    }

    pub(crate) fn look(&self, state: &mut State, place: Place) -> Option<Event> {
        let Phase::Looking(writing) = state.instances[place].phase else { return None };
        let purpose = writing.purpose;
        let (decided, condition) = self.decide(&writing, state.id(place), state.pointer);
        let boots = matches!(purpose, Purpose::TakeOver | Purpose::Renew);
        match decided {
            Decided::Owned => Self::succeed(state, place, purpose),
            Decided::Write => drop(self.send(state, place, writing, condition)),
            Decided::Lost => self.lose(state, place, purpose),
            // Refresh looks again; a backup has failed, and the node serves on.
            Decided::Moved | Decided::Vanished if !boots => {
                let me = &mut state.instances[place];
                (me.phase, me.run.resting) = (Phase::Serving, false);
            }
            Decided::Moved => state.instances[place].phase = Phase::Booting,
            Decided::Vanished => {
                let me = &mut state.instances[place];
                (me.phase, me.door) = (Phase::Ended, false);
            }
        }
        Some(Event::Looked(purpose, decided))
    }

    pub(crate) fn succeed(state: &mut State, place: Place, purpose: Purpose) {
        let me = &mut state.instances[place];
        match purpose {
            Purpose::TakeOver | Purpose::Renew => {
                me.lost = false;
                me.phase = Phase::Owner;
            }
            Purpose::Publish => me.phase = Phase::Serving,
            Purpose::Retire => me.phase = Phase::Retired,
        }
    }

    /// Another is the owner: a boot ends for good, a node that served closes its door and boots anew.
    fn lose(&self, state: &mut State, place: Place, purpose: Purpose) {
        let me = &mut state.instances[place];
        me.lost = true;
        me.run = Run::default();
        me.door &= self.has(Flaw::LoserKeepsDoorOpen);
        me.phase = match purpose {
            Purpose::TakeOver | Purpose::Renew => Phase::Ended,
            Purpose::Publish | Purpose::Retire => Phase::Booting,
        };
    }

    /// The link is looked for before the door opens.
    pub(crate) fn expose(state: &mut State, place: Place) -> Option<Event> {
        let attached = state.attached(place);
        let me = &mut state.instances[place];
        if me.phase != Phase::Owner {
            return None;
        }
        me.door = attached;
        if attached {
            me.phase = Phase::Serving;
            return Some(Event::Exposed);
        }
        (me.phase, me.run) = (Phase::Booting, Run::default());
        Some(Event::NotExposed)
    }

    /// Reads whether the generation is still ours, and packs what the server has.
    pub(crate) fn pack(&self, state: &mut State, place: Place, purpose: Purpose) -> Option<Event> {
        let (id, now) = (state.id(place), state.pointer);
        let me = &mut state.instances[place];
        let (Phase::Serving, Some(record)) = (me.phase, me.record) else { return None };
        let left = match purpose {
            Purpose::Retire => &mut state.left.retirements,
            Purpose::TakeOver | Purpose::Renew | Purpose::Publish => &mut state.left.backups,
        };
        *left = left.checked_sub(1)?;
        let ours =
            now.filter(|now| (now.owner, now.nonce) == (id, record.nonce) || self.has(Flaw::OwnerIsNotAsked));
        let Some(own) = ours else {
            self.lose(state, place, purpose);
            return Some(Event::Dethroned(purpose));
        };
        let retires = purpose == Purpose::Retire;
        me.run.resting = retires && !self.has(Flaw::RetiresWhileClientsWrite);
        if retires && self.has(Flaw::ReleasesBeforePublishing) {
            state.holders &= !bit(place);
        }
        if retires && self.has(Flaw::RetiresWithoutBackup) {
            me.phase = Phase::Retired;
            return Some(Event::Packed(purpose));
        }
        state.backups += 1;
        let next = Manifest { backup: Backup { number: state.backups, data: me.data }, ..own };
        me.phase = Phase::Ready(Writing { purpose, own: Some(own), next });
        Some(Event::Packed(purpose))
    }
}
