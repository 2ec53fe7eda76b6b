//! Where the agent dies: each call passes here before it acts and after it acted, and at the point of the plan
//! the agent is killed before the call goes on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::machine::Killer;

/// On which side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// The call has no effect.
    Before,
    /// The call has its effect, and the agent never hears of it.
    After,
}

/// One moment of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// `ec2:AttachNetworkInterface`, `docker:POST containers/{}/start`, `process:nft -f`, `kernel:add_address`.
    pub call: String,
    pub when: When,
    /// Counted from 1.
    pub nth: u64,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, when, nth } = self;
        let when = if *when == When::Before { "before" } else { "after" };
        write!(f, "{when} {call} #{nth}")
    }
}

/// How often each call came by, on either side.
pub type Counts = BTreeMap<(String, When), u64>;

#[derive(Debug, Default)]
struct State {
    plan: Option<Point>,
    victim: Option<Killer>,
    seen: Counts,
    struck: bool,
}

/// Counts calls while its victim lives.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
}

impl Gate {
    /// Without a plan it only counts.
    pub fn new(plan: Option<Point>) -> Self {
        Self { state: Mutex::new(State { plan, ..State::default() }) }
    }

    /// Another plan, for what comes by from now on.
    pub fn aim(&self, plan: Option<Point>) {
        self.state().plan = plan;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls are counted, and the victim may die, from here to [`Self::disarm`].
    pub fn arm(&self, victim: Killer) {
        self.state().victim = Some(victim);
    }

    pub fn disarm(&self) {
        self.state().victim = None;
    }

    /// A call comes by. True: the agent was killed here.
    pub fn pass(&self, call: &str, when: When) -> bool {
        let mut state = self.state();
        let Some(victim) = state.victim.clone() else { return false };
        let seen = state.seen.entry((call.to_owned(), when)).or_default();
        *seen += 1;
        let seen = *seen;
        let here = state
            .plan
            .as_ref()
            .is_some_and(|plan| plan.call == call && plan.when == when && plan.nth == seen);
        if here && victim.kill() {
            state.struck = true;
            state.victim = None;
        }
        here && state.struck
    }

    pub fn struck(&self) -> bool {
        self.state().struck
    }

    pub fn counts(&self) -> Counts {
        self.state().seen.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;
    use crate::machine::Process;

    fn victim() -> Process {
        let sleep = tokio::process::Command::new("sleep").arg("60").kill_on_drop(true).spawn();
        Process::watch(sleep.expect("sleep starts")).expect("it has an id")
    }

    #[tokio::test]
    async fn the_victim_dies_at_the_planned_call_and_at_no_other() {
        let point = Point { call: "ec2:Attach".to_owned(), when: When::After, nth: 2 };
        let gate = Gate::new(Some(point));
        let mut process = victim();
        assert!(!gate.pass("ec2:Attach", When::After), "not armed: not counted");
        gate.arm(process.killer());
        let passes = [
            ("ec2:Attach", When::Before),
            ("ec2:Attach", When::After),
            ("ec2:Attach", When::Before),
            ("ec2:Detach", When::After),
        ];
        for (call, when) in passes {
            assert!(!gate.pass(call, when), "{call} {when:?}");
        }
        assert!(!gate.struck() && process.ended().is_none());
        assert!(gate.pass("ec2:Attach", When::After));
        assert_eq!(process.wait().await.expect("it ends").signal(), Some(9));
        assert!(gate.struck());
        assert!(!gate.pass("ec2:Attach", When::After), "the dead are not counted");
        assert_eq!(gate.counts().get(&("ec2:Attach".to_owned(), When::After)), Some(&2));
    }

    #[tokio::test]
    async fn without_a_plan_it_only_counts() {
        let gate = Gate::new(None);
        let mut process = victim();
        gate.arm(process.killer());
        assert!(!gate.pass("s3:GetObject", When::Before));
        assert_eq!(gate.counts().len(), 1);
        assert!(process.ended().is_none());
        process.kill().await.expect("it is killed");
    }
}
