//! Every state of every scenario: `cargo test --workspace --test scenarios -- --nocapture` prints the table.

use std::collections::BTreeSet;
use std::time::Instant;

use ownership_model::{
    ALWAYS, Decided, Event, Grain, Model, Purpose, SCENARIOS, SOMETIMES, Scenario, schedules,
};
use stateright::{Checker as _, Model as _};

/// Looks at all of it: the states, the longest of the shortest ways to one, and what is wrong.
fn look_at(scenario: &Scenario) -> (usize, usize, Vec<String>) {
    let model = Model { scenario: scenario.clone(), flaw: None };
    let checker = model.checker().threads(2).spawn_bfs().join();
    let mut found = checker.discoveries();
    let mut wrong = Vec::new();
    for (name, _) in ALWAYS {
        if let Some(path) = found.remove(name) {
            wrong.push(format!("{}: not {name:?} after {:?}", scenario.name, path.into_actions()));
        }
    }
    let never = scenario.sometimes.iter().filter(|name| !found.contains_key(**name));
    wrong.extend(never.map(|name| format!("{}: never {name:?}", scenario.name)));
    (checker.unique_state_count(), checker.max_depth(), wrong)
}

#[test]
fn no_state_breaks_a_property_and_what_should_happen_does() {
    let (mut all, mut wrong) = (0, Vec::new());
    println!("| scenario | states | depth | seconds | |\n|---|---:|---:|---:|---|");
    for scenario in &SCENARIOS {
        let begun = Instant::now();
        let (states, depth, mut found) = look_at(scenario);
        let seconds = begun.elapsed().as_secs_f64();
        println!("| {} | {states} | {depth} | {seconds:.1} | {} |", scenario.name, scenario.about);
        assert!(states > 10_000, "{}: only {states} states", scenario.name);
        all += states;
        wrong.append(&mut found);
    }
    println!("{all} states in all");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_thing_that_should_happen_is_asked_for_somewhere() {
    let asked: BTreeSet<&str> = SCENARIOS.iter().flat_map(|scenario| scenario.sometimes).copied().collect();
    let known: BTreeSet<&str> = SOMETIMES.iter().map(|(name, _)| *name).collect();
    assert_eq!(asked, known);
    assert!(SCENARIOS.iter().any(|scenario| scenario.planned));
}

/// Whatever a write is for, each answer comes about and each decision is made, but for those that cannot.
#[test]
fn each_answer_and_each_decision_comes_about() {
    let mut seen = BTreeSet::new();
    for scenario in &SCENARIOS {
        let model = Model { scenario: scenario.clone(), flaw: None };
        seen.extend(
            schedules(&model, Grain::Coarse).into_iter().flat_map(|s| s.steps).map(|(_, event, _)| event),
        );
    }
    let mut missing = Vec::new();
    for purpose in [Purpose::TakeOver, Purpose::Renew, Purpose::Publish, Purpose::Retire] {
        let mut wanted = vec![
            Event::Sent(purpose),
            Event::Answered(purpose),
            Event::Refused(purpose),
            Event::GaveUp(purpose),
        ];
        let decisions = [Decided::Owned, Decided::Write, Decided::Lost, Decided::Moved];
        wanted.extend(decisions.map(|decided| Event::Looked(purpose, decided)));
        missing.extend(wanted.into_iter().filter(|event| !seen.contains(event)));
    }
    assert_eq!(missing, Vec::new());
    println!("{} kinds of steps: {seen:?}", seen.len());
}
