//! Each guard, taken away, breaks the property that it is there for:
//! `cargo test --workspace --test flaws -- --nocapture` prints the table.

use std::collections::BTreeSet;
use std::time::Instant;

use ownership_model::{ALWAYS, Flaw, Model, SCENARIOS, Scenario};
use stateright::{Checker as _, HasDiscoveries, Model as _};

const ONE: &str = ALWAYS[0].0;
const OWNER: &str = ALWAYS[1].0;
const BACK: &str = ALWAYS[2].0;
const FOREIGN: &str = ALWAYS[3].0;
const PUBLISHED: &str = ALWAYS[4].0;
const ACKNOWLEDGED: &str = ALWAYS[5].0;
const LOSER: &str = ALWAYS[6].0;

const ROWS: [(Flaw, &str, &str); 27] = [
    (Flaw::InterfaceIsNoLock, "planned", ONE),
    (Flaw::ClaimRobs, "planned", ACKNOWLEDGED),
    (Flaw::ClaimLeavesDoorOpen, "robbed", OWNER),
    (Flaw::ClaimIsBelieved, "robbed", OWNER),
    (Flaw::TakesOverWithoutInterface, "planned", OWNER),
    (Flaw::DoorStaysOpenOverBoot, "disk-lost", PUBLISHED),
    (Flaw::KeptUnasked, "robbed", OWNER),
    (Flaw::KeptIsNotRenewed, "robbed", OWNER),
    (Flaw::RenewalChangesNothing, "robbed", OWNER),
    (Flaw::FollowsAnything, "planned", ACKNOWLEDGED),
    (Flaw::TakesOverUnconditionally, "first-boots", FOREIGN),
    (Flaw::TakesTheSameGeneration, "planned", FOREIGN),
    (Flaw::OpensBeforeTakingOver, "planned", OWNER),
    (Flaw::LostAnswerIsDone, "planned", OWNER),
    (Flaw::RefusalIsDone, "robbed", OWNER),
    (Flaw::OwnWritingByInstanceOnly, "disk-lost", OWNER),
    (Flaw::MovedIsWrittenOver, "all-at-once", BACK),
    (Flaw::LostIsWrittenOver, "first-boots", FOREIGN),
    (Flaw::PublishesUnconditionally, "planned", BACK),
    (Flaw::OwnerIsNotAsked, "robbed", FOREIGN),
    (Flaw::PublishesOverOthers, "robbed", BACK),
    (Flaw::SameWordsAreOwn, "all-at-once", OWNER),
    (Flaw::OwnNonceIsOwn, "planned", ACKNOWLEDGED),
    (Flaw::LoserKeepsDoorOpen, "robbed", LOSER),
    (Flaw::RetiresWhileClientsWrite, "planned", ACKNOWLEDGED),
    (Flaw::RetiresWithoutBackup, "planned", ACKNOWLEDGED),
    (Flaw::ReleasesBeforePublishing, "planned", ACKNOWLEDGED),
];

/// How the property is broken; `None`: it holds in every state.
fn broken(flaw: Flaw, scenario: Scenario, property: &'static str) -> Option<usize> {
    let model = Model { scenario, flaw: Some(flaw) };
    let enough = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = model.checker().threads(2).finish_when(enough).spawn_bfs().join();
    checker.discovery(property).map(|path| path.into_actions().len())
}

#[test]
fn each_guard_that_is_taken_away_is_missed() {
    let mut harmless = Vec::new();
    println!("| flaw | scenario | broken | steps | seconds |\n|---|---|---|---:|---:|");
    for (flaw, name, property) in ROWS {
        let begun = Instant::now();
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).expect("a scenario");
        let steps = broken(flaw, scenario.clone(), property);
        let seconds = begun.elapsed().as_secs_f64();
        let said = steps.map_or_else(|| "never".to_owned(), |steps| steps.to_string());
        println!("| {flaw:?} | {name} | {property} | {said} | {seconds:.1} |");
        if steps.is_none() {
            harmless.push(format!("{flaw:?} does not break {property:?} in {name}"));
        }
    }
    assert!(harmless.is_empty(), "{}", harmless.join("\n"));
}

#[test]
fn every_flaw_has_its_row_and_every_property_its_flaw() {
    for flaw in Flaw::ALL {
        assert!(ROWS.iter().any(|(known, ..)| *known == flaw), "{flaw:?}");
    }
    for (property, _) in ALWAYS {
        assert!(ROWS.iter().any(|(.., broken)| *broken == property), "{property}");
    }
}
