//! What case scripts do to instances: launch, terminate, stop, start, reboot, a power cut, and replacement
//! by the group in both orders.

use std::time::Duration;

use jiff::Timestamp;

use super::resources::{InstanceState, Lifecycle, Resources};
use super::spec::InstanceSpec;
use super::{Cloud, Hotplug, Power};
use crate::ledger::Event;

/// How often it is looked whether a machine's power is off.
const LOOK: Duration = Duration::from_millis(20);

/// Which of the two comes first when a group replaces an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    TerminateFirst,
    LaunchFirst,
}

impl Cloud {
    pub(super) fn start_instances(&self) {
        let all = self.read(super::View::Now, |r| {
            r.instances.values().map(|i| (i.id.clone(), i.state)).collect::<Vec<_>>()
        });
        for (id, state) in all {
            self.follow_instance(&id, state);
        }
    }

    /// The next state of an instance that is on its way.
    fn follow_instance(&self, id: &str, state: InstanceState) {
        let delays = &self.spec().delays;
        let (delay, next): (Duration, _) = match state {
            InstanceState::Pending => (delays.boot, InstanceState::Running),
            InstanceState::Stopping => (delays.stopping, InstanceState::Stopped),
            InstanceState::ShuttingDown => (delays.shutting_down, InstanceState::Terminated),
            InstanceState::Running | InstanceState::Stopped | InstanceState::Terminated => return,
        };
        let id = id.to_owned();
        self.after(delay, move |cloud| cloud.go_on(&id, state, next));
    }

    fn go_on(&self, id: &str, state: InstanceState, next: InstanceState) {
        let ends = matches!(next, InstanceState::Stopped | InstanceState::Terminated);
        if ends && self.is_powered(id) {
            let id = id.to_owned();
            return self.after(LOOK, move |cloud| cloud.go_on(&id, state, next));
        }
        let moved = self.change(|r| step(r, id, &[state], next));
        if moved && next == InstanceState::Terminated {
            self.after_termination(id);
        }
        if moved && next == InstanceState::Running {
            self.plug_at_boot(id);
        }
    }

    /// What the instance's launch template said, where it was not known before.
    pub fn give_user_data(&self, id: &str, text: String) {
        self.change(|r| {
            if let Some(instance) = r.instances.get_mut(id) {
                instance.user_data = Some(text);
            }
        });
    }

    /// This instance has a machine, which runs: whoever switches its power says so by [`Self::powered`].
    pub fn house(&self, id: &str) {
        self.powered(id, true);
    }

    /// The machine's power was switched.
    pub fn powered(&self, id: &str, on: bool) {
        self.state().machines.insert(id.to_owned(), on);
    }

    pub fn is_powered(&self, id: &str) -> bool {
        self.state().machines.get(id).copied().unwrap_or_default()
    }

    fn switch(&self, id: &str, power: Power) {
        self.send(Hotplug::Power { instance: id.to_owned(), power });
    }

    /// A stopped instance that starts finds its ENIs again, without a new attach call.
    fn plug_at_boot(&self, id: &str) {
        for plug in self.interfaces_of(id) {
            self.send(plug);
        }
    }

    fn after_termination(&self, id: &str) {
        let held = self.read(super::View::Now, |r| {
            let held =
                r.enis.values().filter_map(|e| e.attachment.as_ref().map(|a| (e.id.clone(), a.clone())));
            held.filter(|(_, a)| a.instance == id).collect::<Vec<_>>()
        });
        for (eni, attachment) in held {
            self.after(self.spec().delays.release, move |cloud| cloud.released(&eni, &attachment.id));
        }
        self.left_group(id);
    }

    fn move_instance(&self, id: &str, from: &[InstanceState], to: InstanceState, power: Power) -> bool {
        let moved = self.change(|r| step(r, id, from, to));
        if moved {
            self.switch(id, power);
            self.follow_instance(id, to);
        }
        moved
    }

    /// Launches an instance of the spec (or a new one) by itself, or into a group: `Pending`, or
    /// `Warmed:Pending` where `warm`.
    pub fn launch(&self, spec: &InstanceSpec, group: Option<&str>, warm: bool) {
        self.change(|r| {
            r.launch(spec, InstanceState::Pending);
            if let Some(group) = group {
                r.join(group, &spec.id, if warm { Lifecycle::WarmedPending } else { Lifecycle::Pending });
            }
        });
        self.switch(&spec.id, Power::On);
        self.follow_instance(&spec.id, InstanceState::Pending);
        self.follow_member(&spec.id);
    }

    /// Terminates at once, past all hooks, as TerminateInstances does. False: it was not there to terminate.
    pub fn terminate(&self, id: &str) -> bool {
        use InstanceState::{Pending, Running, Stopped, Stopping};
        self.move_instance(
            id,
            &[Pending, Running, Stopping, Stopped],
            InstanceState::ShuttingDown,
            Power::Off,
        )
    }

    pub fn stop(&self, id: &str) -> bool {
        self.move_instance(id, &[InstanceState::Running], InstanceState::Stopping, Power::Off)
    }

    pub fn start_instance(&self, id: &str) -> bool {
        self.move_instance(id, &[InstanceState::Stopped], InstanceState::Pending, Power::OnElsewhere)
    }

    /// EC2's state does not change in a reboot.
    pub fn reboot(&self, id: &str) {
        self.ledger().record(Event::Mark { what: format!("reboot of {id}") });
        self.change(|r| {
            if let Some(instance) = r.instances.get_mut(id) {
                instance.impaired = false;
            }
        });
    }

    /// A power cut: EC2 goes on saying `running`, the status checks and the group notice.
    pub fn kill(&self, id: &str) {
        self.ledger().record(Event::Mark { what: format!("power cut of {id}") });
        self.change(|r| {
            if let Some(instance) = r.instances.get_mut(id) {
                instance.impaired = true;
            }
            for group in r.groups.values_mut() {
                if let Some(member) = group.members.get_mut(id) {
                    member.healthy = false;
                }
            }
        });
    }

    /// The ENI of an instance leaves it without a call by anybody: for cases that pull the plug.
    pub fn unplug(&self, eni: &str) {
        if let Some(instance) = self.eni(eni).and_then(|e| e.owner().map(str::to_owned)) {
            self.send(Hotplug::Unplug { eni: eni.to_owned(), instance });
        }
    }

    pub fn spot_notice(&self, id: &str, action: &str, at: Timestamp) {
        self.change(|r| {
            if let Some(instance) = r.instances.get_mut(id) {
                instance.spot_notice = Some((action.to_owned(), at));
            }
        });
    }

    pub fn rebalance_notice(&self, id: &str, at: Timestamp) {
        self.change(|r| {
            if let Some(instance) = r.instances.get_mut(id) {
                instance.rebalance_notice = Some(at);
            }
        });
    }

    /// The group replaces `old` with `new`, hooks and all. Returns when the first of the two has run its
    /// course and the second is on its way.
    pub async fn replace(&self, group: &str, old: &str, new: &InstanceSpec, order: Order) {
        match order {
            Order::TerminateFirst => {
                self.terminate_in_group(old);
                self.until(|r| r.instance_state(old).is_none_or(|s| s == InstanceState::Terminated)).await;
                self.launch(new, Some(group), false);
            }
            Order::LaunchFirst => {
                self.launch(new, Some(group), false);
                self.until(|r| r.group_of(&new.id).is_some_and(|(_, m)| m.state == Lifecycle::InService))
                    .await;
                self.terminate_in_group(old);
            }
        }
    }
}

fn step(r: &mut Resources, id: &str, from: &[InstanceState], to: InstanceState) -> bool {
    let Some(instance) = r.instances.get_mut(id).filter(|i| from.contains(&i.state)) else { return false };
    instance.state = to;
    if to == InstanceState::Pending {
        instance.launched = Timestamp::now();
    }
    true
}
