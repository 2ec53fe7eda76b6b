//! The model's own traces, played with the real code: reading, deciding, claiming, and every write of the manifest.
//!
//! By default each way in which a step can end is played once. `OWNERSHIP_SCHEDULES=all` plays each of them for everything that
//! the others were at meanwhile.

mod real;

use std::time::Instant;

use ownership_model::{Grain, Model, SCENARIOS, schedules};

#[tokio::test(start_paused = true)]
async fn the_real_code_does_what_the_model_does() {
    let all = std::env::var("OWNERSHIP_SCHEDULES").is_ok_and(|value| value == "all");
    let grain = if all { Grain::Fine } else { Grain::Coarse };
    let (mut played, mut steps) = (0, 0);
    for scenario in &SCENARIOS {
        let name = scenario.name;
        let begun = Instant::now();
        let found = schedules(&Model { scenario: scenario.clone(), flaw: None }, grain);
        let searched = begun.elapsed();
        assert!(found.len() > 10, "{name}: only {} schedules", found.len());
        let local = tokio::task::LocalSet::new();
        for schedule in &found {
            local.run_until(real::play(schedule)).await;
            steps += schedule.steps.len();
        }
        played += found.len();
        let took = begun.elapsed();
        println!("{name}: {} schedules, found in {searched:.1?}, played by {took:.1?}", found.len());
    }
    println!("{played} schedules, {steps} steps");
}
