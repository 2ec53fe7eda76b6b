//! How long the boot may take, before it is given up for good.

use std::time::Duration;

use super::Settings;

/// The longest default: an hour more than the largest restore that we have measured is still far from it, and
/// a group should not wait half a day for a machine that hangs.
const LONGEST: Duration = Duration::from_hours(2);
/// Without a hook nobody waits; systemd starts us again.
const WITHOUT_HOOK: Duration = Duration::from_mins(30);
/// The answer itself must arrive before the hook's global timeout.
const MARGIN: Duration = Duration::from_mins(1);

/// `boot.deadline`, or what the hook's global timeout leaves.
pub fn allowed(settings: &Settings, hook_global_timeout: Option<Duration>) -> Duration {
    match (settings.deadline, hook_global_timeout) {
        (Some(deadline), _) => deadline,
        // A hook shorter than the margin (only tests have one) leaves half of itself.
        (None, Some(global)) => {
            global.checked_sub(MARGIN).filter(|left| *left >= global / 2).unwrap_or(global / 2).min(LONGEST)
        }
        (None, None) => WITHOUT_HOOK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_leaves_time_for_the_answer() {
        let seconds = Duration::from_secs;
        let rows = [
            (Some(seconds(90)), Some(seconds(30)), seconds(90)),
            (None, Some(seconds(600)), seconds(540)),
            (None, Some(seconds(172_800)), LONGEST),
            (None, Some(seconds(20)), seconds(10)),
            (None, None, WITHOUT_HOOK),
        ];
        for (deadline, hook, expected) in rows {
            assert_eq!(allowed(&Settings { deadline }, hook), expected, "{deadline:?} {hook:?}");
        }
    }
}
