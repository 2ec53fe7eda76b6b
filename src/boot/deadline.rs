//! How long the boot may take, before it is given up for good.

use std::time::Duration;

use super::Settings;
use crate::signal::Patience;

/// The longest default. Sixteen ranges at a time, of 20 MB/s each, bring 2.3 TB in it, and the largest instance store
/// that this program uses holds 1.9 TB (c8gd.8xlarge); a group should not wait half a day for a machine that hangs.
const LONGEST: Duration = Duration::from_hours(2);
/// Without a hook nobody waits; systemd starts us again.
const WITHOUT_HOOK: Duration = Duration::from_mins(30);
/// The answer itself must arrive before the hook's global timeout.
const MARGIN: Duration = Duration::from_mins(1);

/// `boot.deadline`, or what the hook's global timeout leaves: whatever is less, because a hook that has timed out
/// takes no answer.
pub fn allowed(settings: &Settings, patience: Patience) -> Duration {
    let left = match patience {
        // A hook shorter than the margin (only tests have one) leaves half of itself.
        Patience::Hook(global) => {
            Some(global.checked_sub(MARGIN).filter(|left| *left >= global / 2).unwrap_or(global / 2))
        }
        Patience::Unknown | Patience::Nobody => None,
    };
    match (settings.deadline, left, patience) {
        (Some(deadline), Some(left), _) => deadline.min(left),
        (Some(deadline), None, _) => deadline,
        (None, Some(left), _) => left.min(LONGEST),
        // A service that cannot be asked now must not make the boot shorter than its hook allows.
        (None, None, Patience::Unknown | Patience::Hook(_)) => LONGEST,
        (None, None, Patience::Nobody) => WITHOUT_HOOK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_leaves_time_for_the_answer() {
        let seconds = Duration::from_secs;
        let rows = [
            (Some(seconds(90)), Patience::Hook(seconds(600)), seconds(90)),
            (Some(seconds(90)), Patience::Hook(seconds(30)), seconds(15)),
            (Some(seconds(90)), Patience::Unknown, seconds(90)),
            (Some(seconds(90)), Patience::Nobody, seconds(90)),
            (None, Patience::Hook(seconds(600)), seconds(540)),
            (None, Patience::Hook(seconds(172_800)), LONGEST),
            (None, Patience::Hook(seconds(20)), seconds(10)),
            (None, Patience::Unknown, LONGEST),
            (None, Patience::Nobody, WITHOUT_HOOK),
        ];
        for (deadline, hook, expected) in rows {
            assert_eq!(allowed(&Settings { deadline }, hook), expected, "{deadline:?} {hook:?}");
        }
    }
}
