//! A step that ends at its deadline says only that it was late: its own limits must end it before, with an error that
//! says what was waited for and what to do.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::network::longest;
use crate::report::Step;
use crate::{container, disk, instance, restore, secrets};

/// The longest that a step waits by its own limits together.
const LIMITS: [(Step, Duration); 12] = [
    (Step::Close, longest::CLOSE),
    (Step::Identify, instance::LONGEST),
    (Step::Locate, longest::LOCATE),
    // It asks the kernel, which answers at once.
    (Step::Place, Duration::ZERO),
    (Step::Prepare, disk::LONGEST),
    (Step::Fetch, secrets::LONGEST),
    // A pull that moves is bounded by nothing else.
    (Step::Image, container::IMAGE_LONGEST),
    (Step::Choose, restore::CHOOSE_LONGEST),
    (Step::Mark, longest::MARK),
    (Step::Warm, restore::WARM_LONGEST),
    (Step::Expose, longest::EXPOSE),
    (Step::Probe, longest::PROBE),
];

#[test]
fn a_steps_own_limits_end_before_its_deadline() {
    for (step, longest) in LIMITS {
        let deadline = step.deadline().unwrap_or_else(|| panic!("{} has no deadline", step.name()));
        assert!(longest < deadline, "{}: {longest:?} of {deadline:?}", step.name());
    }
}

#[test]
fn every_deadline_has_its_limits() {
    let listed = LIMITS.into_iter().map(|(step, _)| step);
    let bound = Step::ALL.into_iter().filter(|step| step.deadline().is_some());
    assert_eq!(listed.collect::<BTreeSet<_>>(), bound.collect::<BTreeSet<_>>());
}
