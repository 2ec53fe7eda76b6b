//! Traces of the model that together show each kind of its steps: the shortest way to the first of each kind, in the
//! order in which they are found. Nothing is drawn by lot, so they are the same each time.

use std::collections::{BTreeSet, HashMap};

use crate::actions::{Action, candidates};
use crate::events::Event;
use crate::model::Model;
use crate::state::{PLACES, Phase, State};

/// What makes two steps two kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// How they ended.
    Coarse,
    /// And what everybody was at.
    Fine,
}

/// A trace from the first state.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub scenario: &'static str,
    pub first: State,
    pub steps: Vec<(Action, Event, State)>,
}

type Kind = (Event, Option<([u8; 2], u8, u8, u8)>);

fn kind(grain: Grain, event: Event, state: &State) -> Kind {
    let context = || {
        let phases = state.instances.map(|me| number(me.phase));
        let open = PLACES.into_iter().fold(0, |open, place| open << 1 | u8::from(state.exposed(place)));
        let puts = state.puts.iter().fold(0, |puts, put| puts * 3 + 1 + u8::from(put.awaited));
        (phases, state.holders, open, puts)
    };
    (event, (grain == Grain::Fine).then(context))
}

const fn number(phase: Phase) -> u8 {
    match phase {
        Phase::Off => 0,
        Phase::Booting => 1,
        Phase::Fresh => 2,
        Phase::Ready(_) => 3,
        Phase::Sent(_) => 4,
        Phase::Looking(_) => 5,
        Phase::Owner => 6,
        Phase::Serving => 7,
        Phase::Retired => 8,
        Phase::Ended => 9,
    }
}

/// One for each kind of step that the model can take; what is the beginning of another one is left out.
pub fn schedules(model: &Model, grain: Grain) -> Vec<Schedule> {
    let first = model.scenario.first();
    let mut known = HashMap::from([(first.clone(), 0)]);
    // Each with where it was reached from.
    let mut found = vec![(first, None)];
    let mut kinds = BTreeSet::new();
    let mut ends = Vec::new();
    let mut at = 0;
    while at < found.len() {
        let state = found[at].0.clone();
        for action in candidates(&state) {
            let Some((next, event)) = model.step(&state, action) else { continue };
            if kinds.insert(kind(grain, event, &next)) {
                ends.push((at, action, event, next.clone()));
            }
            known.entry(next.clone()).or_insert_with(|| {
                found.push((next, Some((at, action, event))));
                found.len() - 1
            });
        }
        at += 1;
    }
    let traces = ends.into_iter().map(|(at, action, event, next)| {
        let mut steps = vec![(action, event, next)];
        let mut here = at;
        while let (state, Some((before, action, event))) = &found[here] {
            steps.push((*action, *event, state.clone()));
            here = *before;
        }
        steps.reverse();
        Schedule { scenario: model.scenario.name, first: found[0].0.clone(), steps }
    });
    without_beginnings(traces.collect())
}

fn without_beginnings(mut all: Vec<Schedule>) -> Vec<Schedule> {
    let actions = |schedule: &Schedule| -> Vec<Action> { schedule.steps.iter().map(|(a, ..)| *a).collect() };
    // In the order of their steps a beginning stands before what it begins.
    all.sort_by_cached_key(actions);
    let mut kept: Vec<Schedule> = Vec::new();
    for schedule in all {
        if let Some(last) = kept.last()
            && actions(&schedule).starts_with(&actions(last))
        {
            kept.pop();
        }
        kept.push(schedule);
    }
    kept
}
