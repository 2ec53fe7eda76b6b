//! Auto Scaling's lifecycle: an instance moves through its states, hooks hold it in `:Wait`.
//!
//! ```text
//!  Pending ─▶ Pending:Wait ─▶ Pending:Proceed ─▶ InService ─▶ Terminating ─▶ Terminating:Wait
//!     ▲          │ ABANDON                                                        ▼
//!     │          └────────────────▶ Terminating:Proceed ◀─────────────────────────┘
//!  Warmed:Pending ─▶ :Wait ─▶ :Proceed ─▶ Warmed:Stopped | Warmed:Running ─▶ Pending
//! ```
//!
//! All hooks of a transition wait side by side; the instance goes on when all have answered, at once on ABANDON.

use std::time::Duration;

use jiff::Timestamp;

use super::resources::{InstanceState, Lifecycle, Member, OpenAction, Resources};
use super::spec::{Hook, Transition, Verdict, WarmPool};
use super::{Cloud, View};
use crate::ledger::Event;

/// Who answered a lifecycle action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// A call, with the caller's ARN.
    Call {
        by: String,
    },
    HeartbeatTimeout,
    GlobalTimeout,
    /// Another hook said ABANDON, or the instance went away.
    Overtaken,
}

/// One action of a hook, from its start to its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleAction {
    pub group: String,
    pub hook: String,
    pub instance: String,
    pub token: String,
    pub transition: Transition,
    pub started: Timestamp,
    pub heartbeats: u32,
    pub outcome: Option<(Verdict, Answered)>,
}

impl Cloud {
    /// All lifecycle actions so far, in the order in which they began.
    pub fn lifecycle_actions(&self) -> Vec<LifecycleAction> {
        self.state().actions.clone()
    }

    pub(super) fn start_groups(&self) {
        let members = self.read(View::Now, |r| {
            r.groups.values().flat_map(|g| g.members.keys().cloned()).collect::<Vec<_>>()
        });
        for id in members {
            self.follow_member(&id);
        }
    }

    /// What happens next to a member in its present state.
    pub(super) fn follow_member(&self, id: &str) {
        let Some(state) = self.lifecycle(id) else { return };
        match state {
            Lifecycle::PendingWait | Lifecycle::TerminatingWait | Lifecycle::WarmedPendingWait => {
                self.begin_wait(id);
            }
            Lifecycle::TerminatingProceed => {
                self.after_step(id, state, |cloud, id| {
                    // Terminated past the group already: the member leaves with the instance.
                    let _ = cloud.terminate(id);
                });
            }
            Lifecycle::WarmedPendingProceed => self.after_step(id, state, Self::rest),
            Lifecycle::Pending
            | Lifecycle::Terminating
            | Lifecycle::WarmedPending
            | Lifecycle::PendingProceed => {
                self.after_step(id, state, Self::advance);
            }
            Lifecycle::InService
            | Lifecycle::Terminated
            | Lifecycle::WarmedStopped
            | Lifecycle::WarmedRunning => {}
        }
    }

    /// Acts after one lifecycle step, if the member still is in this state then.
    fn after_step(&self, id: &str, state: Lifecycle, act: fn(&Self, &str)) {
        let id = id.to_owned();
        self.after(self.spec().delays.lifecycle, move |cloud| {
            if cloud.lifecycle(&id) == Some(state) {
                act(&cloud, &id);
            }
        });
    }

    fn set_lifecycle(&self, id: &str, to: Lifecycle) {
        self.change(|r| {
            if let Some(member) = member_mut(r, id) {
                member.state = to;
                member.open.clear();
            }
        });
        self.follow_member(id);
    }

    fn advance(&self, id: &str) {
        let Some(state) = self.lifecycle(id) else { return };
        let launching = !self.hooks(id, Transition::Launching).is_empty();
        let next = match state {
            Lifecycle::Pending if launching => Lifecycle::PendingWait,
            Lifecycle::Pending | Lifecycle::PendingProceed => Lifecycle::InService,
            Lifecycle::WarmedPending if launching => Lifecycle::WarmedPendingWait,
            Lifecycle::WarmedPending => Lifecycle::WarmedPendingProceed,
            Lifecycle::Terminating if !self.hooks(id, Transition::Terminating).is_empty() => {
                Lifecycle::TerminatingWait
            }
            Lifecycle::Terminating => Lifecycle::TerminatingProceed,
            _ => return,
        };
        self.set_lifecycle(id, next);
    }

    /// The end of the way into the warm pool.
    fn rest(&self, id: &str) {
        let pool = self.read(View::Now, |r| r.group_of(id).and_then(|(g, _)| g.spec.warm_pool));
        if pool == Some(WarmPool::Running) {
            self.set_lifecycle(id, Lifecycle::WarmedRunning);
        } else {
            self.stop(id);
            self.set_lifecycle(id, Lifecycle::WarmedStopped);
        }
    }

    /// Puts a waiting instance of the warm pool to work: `Pending`, with its launching hooks once more.
    pub fn leave_warm_pool(&self, id: &str) {
        // A running one stays as it is.
        let _ = self.start_instance(id);
        self.set_lifecycle(id, Lifecycle::Pending);
    }

    /// Terminates as the group does: `Terminating`, with its hooks.
    pub fn terminate_in_group(&self, id: &str) {
        self.overtake(id);
        self.set_lifecycle(id, Lifecycle::Terminating);
    }

    /// Puts a member into any state, for case scripts.
    pub fn put(&self, id: &str, state: Lifecycle) {
        self.overtake(id);
        self.set_lifecycle(id, state);
    }

    /// The instance is terminated: so is its membership.
    pub(super) fn left_group(&self, id: &str) {
        self.overtake(id);
        let left = self.change(|r| {
            r.groups.values_mut().find_map(|g| g.members.remove(id).map(|_| g.spec.name.clone()))
        });
        if let Some(group) = left {
            self.ledger()
                .record(Event::Mark { what: format!("{group} lost {id} and wants another instance") });
        }
    }

    fn hooks(&self, id: &str, transition: Transition) -> Vec<Hook> {
        self.read(View::Now, |r| {
            let hooks = r.group_of(id).map(|(g, _)| g.spec.hooks.clone()).unwrap_or_default();
            hooks.into_iter().filter(|h| h.transition == transition).collect()
        })
    }

    fn begin_wait(&self, id: &str) {
        let launching = self.lifecycle(id) != Some(Lifecycle::TerminatingWait);
        let transition = if launching { Transition::Launching } else { Transition::Terminating };
        let hooks = self.hooks(id, transition);
        let Some(group) = self.read(View::Now, |r| r.group_of(id).map(|(g, _)| g.spec.clone())) else {
            return;
        };
        for hook in &hooks {
            let token = format!("0aaaaaaa-0000-4000-8000-{:012x}", self.next_id());
            self.change(|r| {
                if let Some(member) = member_mut(r, id) {
                    member.open.push(OpenAction { hook: hook.name.clone(), token: token.clone(), beats: 0 });
                    member.verdict = Verdict::Continue;
                    member.race = group.race;
                }
            });
            self.state().actions.push(LifecycleAction {
                group: group.name.clone(),
                hook: hook.name.clone(),
                instance: id.to_owned(),
                token: token.clone(),
                transition,
                started: Timestamp::now(),
                heartbeats: 0,
                outcome: None,
            });
            self.arm(id, hook, &token, hook.heartbeat(), Some(0));
            self.arm(id, hook, &token, hook.global(), None);
        }
        if hooks.is_empty() {
            // A hook that was deleted while the instance was on its way here.
            self.proceed(id);
        }
    }

    /// A timer of a hook: the heartbeat's is void after `beats` moved on, the global one never is.
    fn arm(&self, id: &str, hook: &Hook, token: &str, delay: Duration, beats: Option<u64>) {
        let (id, token, result) = (id.to_owned(), token.to_owned(), hook.default_result);
        self.after(delay, move |cloud| {
            let due = cloud.read(View::Now, |r| {
                let open = r.group_of(&id).and_then(|(_, m)| m.open.iter().find(|a| a.token == token));
                open.is_some_and(|a| beats.is_none_or(|beats| beats == a.beats))
            });
            if due {
                let by = if beats.is_some() { Answered::HeartbeatTimeout } else { Answered::GlobalTimeout };
                cloud.answer(&id, &token, result, &by);
            }
        });
    }

    /// Whether the call found an action: by instance, or by token.
    pub(crate) fn complete(
        &self,
        group: &str,
        hook: &str,
        key: &ActionKey,
        verdict: Verdict,
        by: &str,
    ) -> bool {
        let Some((id, token)) = self.open_action(group, hook, key) else { return false };
        self.answer(&id, &token, verdict, &Answered::Call { by: by.to_owned() });
        true
    }

    /// Starts the heartbeat's period anew.
    pub(crate) fn heartbeat(&self, group: &str, hook: &str, key: &ActionKey) -> bool {
        let Some((id, token)) = self.open_action(group, hook, key) else { return false };
        let beats = self.change(|r| {
            let open = member_mut(r, &id)?.open.iter_mut().find(|a| a.token == token)?;
            open.beats += 1;
            Some(open.beats)
        });
        if let Some(action) = self.state().actions.iter_mut().find(|a| a.token == token) {
            action.heartbeats += 1;
        }
        let spec = self
            .read(View::Now, |r| r.groups.get(group)?.spec.hooks.iter().find(|h| h.name == hook).cloned());
        if let (Some(spec), Some(_)) = (spec, beats) {
            self.arm(&id, &spec, &token, spec.heartbeat(), beats);
        }
        true
    }

    fn open_action(&self, group: &str, hook: &str, key: &ActionKey) -> Option<(String, String)> {
        self.change(|r| {
            let members = &mut r.groups.get_mut(group)?.members;
            let (id, member) = members.iter_mut().find(|(id, m)| match key {
                ActionKey::Instance(wanted) => *id == wanted,
                ActionKey::Token(token) => m.open.iter().any(|a| a.token == *token),
            })?;
            let open = member.open.iter().find(|a| a.hook == hook)?.token.clone();
            if member.race > 0 {
                member.race -= 1;
                return None;
            }
            Some((id.clone(), open))
        })
    }

    fn answer(&self, id: &str, token: &str, verdict: Verdict, by: &Answered) {
        let done = self.change(|r| {
            let member = member_mut(r, id)?;
            member.open.retain(|a| a.token != token);
            if verdict == Verdict::Abandon {
                member.verdict = Verdict::Abandon;
            }
            Some(member.open.is_empty() || verdict == Verdict::Abandon)
        });
        if let Some(action) = self.state().actions.iter_mut().find(|a| a.token == token) {
            action.outcome = Some((verdict, by.clone()));
        }
        self.ledger().record(Event::State {
            of: format!("action {token} of {id}"),
            from: "open".to_owned(),
            to: format!("{} {by:?}", verdict.text()),
        });
        if done == Some(true) {
            self.proceed(id);
        }
    }

    /// Leaves a `:Wait` state.
    fn proceed(&self, id: &str) {
        let Some((state, verdict)) =
            self.read(View::Now, |r| r.group_of(id).map(|(_, m)| (m.state, m.verdict)))
        else {
            return;
        };
        self.overtake(id);
        let next = match (state, verdict) {
            (Lifecycle::PendingWait, Verdict::Continue) => Lifecycle::PendingProceed,
            (Lifecycle::WarmedPendingWait, Verdict::Continue) => Lifecycle::WarmedPendingProceed,
            (Lifecycle::PendingWait | Lifecycle::WarmedPendingWait, Verdict::Abandon)
            | (Lifecycle::TerminatingWait, _) => Lifecycle::TerminatingProceed,
            _ => return,
        };
        self.set_lifecycle(id, next);
    }

    /// Whatever still waits for an answer will get none.
    fn overtake(&self, id: &str) {
        self.change(|r| {
            if let Some(member) = member_mut(r, id) {
                member.open.clear();
            }
        });
        let mut state = self.state();
        for action in state.actions.iter_mut().filter(|a| a.instance == id && a.outcome.is_none()) {
            action.outcome = Some((Verdict::Abandon, Answered::Overtaken));
        }
    }

    /// What the metadata says about the member's target; nothing for an instance outside of groups.
    pub(crate) fn target_lifecycle(r: &Resources, id: &str) -> Option<&'static str> {
        let (group, member) = r.group_of(id)?;
        Some(match member.state {
            Lifecycle::Pending
            | Lifecycle::PendingWait
            | Lifecycle::PendingProceed
            | Lifecycle::InService => "InService",
            Lifecycle::Terminating
            | Lifecycle::TerminatingWait
            | Lifecycle::TerminatingProceed
            | Lifecycle::Terminated => "Terminated",
            Lifecycle::WarmedRunning => "Warmed:Running",
            Lifecycle::WarmedStopped => "Warmed:Stopped",
            Lifecycle::WarmedPending | Lifecycle::WarmedPendingWait | Lifecycle::WarmedPendingProceed => {
                match group.spec.warm_pool {
                    Some(WarmPool::Running) => "Warmed:Running",
                    Some(WarmPool::Stopped) | None => "Warmed:Stopped",
                }
            }
        })
    }
}

/// How a call names its action.
pub(crate) enum ActionKey {
    Instance(String),
    Token(String),
}

fn member_mut<'a>(r: &'a mut Resources, id: &str) -> Option<&'a mut Member> {
    r.groups.values_mut().find_map(|g| g.members.get_mut(id))
}

/// Used by DescribeAutoScalingInstances: whether EC2 says that the instance is there at all.
pub(crate) fn visible(r: &Resources, id: &str) -> bool {
    r.instance_state(id).is_some_and(|s| s != InstanceState::Terminated)
}
