//! The judge judged: a rogue commits every forbidden act inside a real machine, by real calls, packets and writes,
//! and the verdict must name it. Beside each stands the honest act that looks most like it, which must not be named.
//!
//! To add a rule to the judge: its rogue here.

use world::judge::Rule;

mod acts;
mod converge;
mod door;
mod rogue;
mod secrets;
mod walls;

const ROGUES: [&str; 4] =
    [include_str!("acts.rs"), include_str!("door.rs"), include_str!("secrets.rs"), include_str!("walls.rs")];

#[test]
fn every_rule_has_a_rogue() {
    // What a rogue is condemned for stands in its own call, between the verdict and the words.
    let calls = ROGUES.concat().split_whitespace().collect::<String>();
    let named = |rule: &Rule| calls.contains(&format!(",Rule::{rule:?},&["));
    let without: Vec<_> = Rule::ALL.iter().filter(|rule| !named(rule)).collect();
    assert!(without.is_empty(), "no rogue for {without:?}");
}
