//! The state of the embedded cloud, and its time.
//!
//! ```text
//!  ec2, autoscaling, imds ─ read(view) ─▶ Resources (now | each before its last change | nothing)
//!        └─ attach, detach, complete, ... ─▶ change ─▶ ledger (State), waiters
//!  case script ─ launch, terminate, replace ─┘   └─ after(delay) ─▶ change ...   ─▶ Hotplug ─▶ vpc
//! ```
//!
//! All time is tokio's, so a paused clock runs a whole lifecycle in no time; only credentials use the wall
//! clock, because their signatures do. To add a resource: a field in [`resources::Resources`], its entry in
//! [`spec::CloudSpec`], and, if it moves, a line in `Resources::states`.

mod build;
mod eni;
mod instance;
mod lifecycle;
pub mod resources;
mod sessions;
pub mod spec;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

pub use eni::{AttachRefusal, DetachRefusal};
pub use instance::Order;
pub(crate) use lifecycle::{ActionKey, visible};
pub use lifecycle::{Answered, LifecycleAction};
use resources::{Eni, InstanceState, Resources};
pub(crate) use sessions::REGION_KEY;
pub use spec::CloudSpec;

use crate::assumptions::{Behaviour, Known};
use crate::faults::Faults;
use crate::iam::Policy;
use crate::judge::Rule;
use crate::ledger::{Event, Ledger};

/// What the world claims about state and time.
pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "ec2.eni.held-until-terminated",
        what: "an attached ENI stays with its instance through shutting-down and is free at terminated",
        known: Known::Documented("EC2 user guide: terminate; practice reports one or two minutes"),
    },
    Behaviour {
        name: "ec2.eni.held-while-stopped",
        what: "a stopped instance keeps its ENI",
        known: Known::Documented("EC2 user guide, stop and start: network interfaces are retained"),
    },
    Behaviour {
        name: "ec2.instance.orderly-end",
        what: "stop and terminate ask the system to end; stopped and terminated are said when its power is off",
        known: Known::Documented("EC2 user guide, instance lifecycle: stop, terminate"),
    },
    Behaviour {
        name: "ec2.eni.delete-on-termination",
        what: "an ENI whose attachment says DeleteOnTermination is gone when its owner is terminated",
        known: Known::Documented("EC2 API reference, NetworkInterfaceAttachmentChanges"),
    },
    Behaviour {
        name: "ec2.eni.guest-lag",
        what: "the interface appears in the guest some time after the attach call, apart from the API's status",
        known: Known::Documented("amazon-ecs-agent issue 1520: three minutes were seen"),
    },
    Behaviour {
        name: "ec2.stale-read",
        what: "a stale read answers with each resource as it was before its own last change",
        known: Known::Assumed("the guide on eventual consistency promises no more than a delay"),
    },
    Behaviour {
        name: "autoscaling.heartbeat-restarts",
        what: "a heartbeat starts the hook's period anew, bounded by the global timeout",
        known: Known::Documented("Auto Scaling user guide, lifecycle hooks"),
    },
    Behaviour {
        name: "autoscaling.global-timeout",
        what: "100 heartbeat periods or 48 hours, whichever is less",
        known: Known::Documented("Auto Scaling API reference, PutLifecycleHook"),
    },
    Behaviour {
        name: "autoscaling.short-heartbeat",
        what: "heartbeat timeouts under 30 s are accepted",
        known: Known::Assumed("a convenience of the world; the real range is 30 to 7200"),
    },
    Behaviour {
        name: "autoscaling.race",
        what: "Describe shows the wait before Complete and Heartbeat find the action",
        known: Known::Documented(
            "reported in public: Describe says Wait, Complete finds no action, a retry resolves",
        ),
    },
    Behaviour {
        name: "autoscaling.abandon-at-launch",
        what: "the instance is terminated without its terminating hooks",
        known: Known::Assumed("the guide's diagram shows Terminating; whether hooks run is not said"),
    },
    Behaviour {
        name: "autoscaling.warm-pool",
        what: "launching hooks run in Warmed:Pending:Wait and again in Pending:Wait",
        known: Known::Documented("Auto Scaling user guide, warm pool instance lifecycle"),
    },
];

/// What is done to an instance from outside, sent when it is due: the VPC plugs its interfaces, its host
/// switches its power. An `Unplug` may come for an interface that was never plugged: its attachment ended first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hotplug {
    Plug { eni: String, instance: String, mac: String, address: String, prefix: u8, gateway: String },
    Unplug { eni: String, instance: String },
    Power { instance: String, power: Power },
}

impl Hotplug {
    /// The interface that it is about; empty where it is about none.
    pub fn eni(&self) -> &str {
        match self {
            Self::Plug { eni, .. } | Self::Unplug { eni, .. } => eni,
            Self::Power { .. } => "",
        }
    }
}

/// What a host does to an instance's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// The system is asked to end, and the power goes with it.
    Off,
    /// A launch.
    On,
    /// A start after a stop: another host, and so other instance stores, blank ones.
    OnElsewhere,
}

/// Which moment a read sees; faults choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    Now,
    /// Each resource as it was before its own last change.
    Stale,
    /// Nothing exists yet.
    Absent,
}

/// A handle to the cloud; clones share it.
#[derive(Clone)]
pub struct Cloud(Arc<Inner>);

struct Inner {
    spec: CloudSpec,
    ledger: Arc<Ledger>,
    faults: Arc<Faults>,
    policy: Policy,
    roles: BTreeMap<String, Policy>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    now: Resources,
    before: Resources,
    sessions: sessions::Sessions,
    secrets: crate::secrets::Store,
    metadata: crate::imds::Tokens,
    actions: Vec<LifecycleAction>,
    plugs: Option<mpsc::UnboundedSender<Hotplug>>,
    /// The instances that have machines, and whether their power is on.
    machines: BTreeMap<String, bool>,
    ids: u64,
}

impl Cloud {
    /// `policy` is that of the instances' role.
    ///
    /// # Panics
    /// When a role's policy in the spec is not valid: a mistake in the case.
    pub fn new(spec: CloudSpec, ledger: Arc<Ledger>, faults: Arc<Faults>, policy: Policy) -> Self {
        let roles = spec.roles.iter().filter_map(|(name, role)| {
            let text = role.policy.as_ref()?;
            Some((name.clone(), Policy::load(text, &[]).expect("the case's role policy is valid")))
        });
        let now = Resources::build(&spec);
        let state = State {
            before: now.clone(),
            now,
            sessions: sessions::Sessions::new(&spec.operators),
            secrets: crate::secrets::Store::new(&spec),
            ..State::default()
        };
        Self(Arc::new(Inner {
            roles: roles.collect(),
            ledger,
            faults,
            policy,
            state: Mutex::new(state),
            changed: Notify::new(),
            spec,
        }))
    }

    /// Starts the clocks of everything that is on its way when the case begins: instances that shut down,
    /// hooks that wait. Call it once, inside a runtime.
    pub fn start(&self) {
        self.start_instances();
        self.start_groups();
    }

    pub fn spec(&self) -> &CloudSpec {
        &self.0.spec
    }

    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// What the VPC must do, from now on. Only the last receiver gets anything.
    pub fn hotplug(&self) -> mpsc::UnboundedReceiver<Hotplug> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.state().plugs = Some(sender);
        receiver
    }

    pub fn instance_state(&self, id: &str) -> Option<InstanceState> {
        self.state().now.instance_state(id)
    }

    pub fn instance(&self, id: &str) -> Option<resources::Instance> {
        self.state().now.instances.get(id).cloned()
    }

    pub fn eni(&self, id: &str) -> Option<Eni> {
        self.state().now.enis.get(id).cloned()
    }

    /// The lifecycle state of an instance in its group.
    pub fn lifecycle(&self, instance: &str) -> Option<resources::Lifecycle> {
        self.state().now.group_of(instance).map(|(_, member)| member.state)
    }

    /// Reads the resources as they look through `view`.
    pub fn read<T>(&self, view: View, look: impl FnOnce(&Resources) -> T) -> T {
        let state = self.state();
        match view {
            View::Now => look(&state.now),
            View::Stale => look(&state.before),
            View::Absent => look(&Resources::default()),
        }
    }

    /// Waits until the resources look like this. The caller sets the deadline.
    pub async fn until(&self, holds: impl Fn(&Resources) -> bool) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if holds(&self.state().now) {
                return;
            }
            changed.await;
        }
    }

    /// The one way in which resources change: the moment before is kept, every move is told to the judge.
    fn change<T>(&self, act: impl FnOnce(&mut Resources) -> T) -> T {
        let (result, moves) = {
            let mut state = self.state();
            let before = state.now.clone();
            let result = act(&mut state.now);
            if before == state.now {
                return result;
            }
            let moves = moves(&before, &state.now);
            let State { now, before: older, .. } = &mut *state;
            older.keep(&before, now);
            (result, moves)
        };
        for event in moves {
            self.0.ledger.record(event);
        }
        self.0.changed.notify_waiters();
        result
    }

    /// Does something later, unless the cloud is gone by then.
    fn after(&self, delay: Duration, act: impl FnOnce(Self) + Send + 'static) {
        let weak = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if let Some(inner) = weak.upgrade() {
                act(Self(inner));
            }
        });
    }

    fn send(&self, plug: Hotplug) {
        if let Some(sender) = &self.state().plugs {
            // A case without a VPC may have dropped its end.
            let _ = sender.send(plug);
        }
    }

    pub(crate) fn forbid(&self, rule: Rule, details: String) {
        self.0.ledger.record(Event::Forbidden { rule, details });
    }

    /// A mistake of the case or of the world itself: the case fails.
    pub(crate) fn failed(&self, what: &str) {
        self.0.ledger.record(Event::Mark { what: format!("the world failed: {what}") });
    }

    /// The next number for an id; the same case gives the same ids.
    fn next_id(&self) -> u64 {
        let mut state = self.state();
        state.ids += 1;
        state.ids
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("the cloud changes without panics")
    }

    pub(crate) fn with_secrets<T>(&self, act: impl FnOnce(&mut crate::secrets::Store) -> T) -> T {
        act(&mut self.state().secrets)
    }

    pub(crate) fn with_metadata_tokens<T>(&self, act: impl FnOnce(&mut crate::imds::Tokens) -> T) -> T {
        act(&mut self.state().metadata)
    }
}

fn moves(before: &Resources, now: &Resources) -> Vec<Event> {
    let (before, now) = (before.states(), now.states());
    let gone = before.iter().filter(|(of, _)| !now.contains_key(*of));
    let gone = gone.map(|(of, from)| (of.clone(), from.clone(), "gone".to_owned()));
    let moved = now.iter().filter(|(of, to)| before.get(*of) != Some(to)).map(|(of, to)| {
        let from = before.get(of).map_or_else(|| "absent".to_owned(), Clone::clone);
        (of.clone(), from, to.clone())
    });
    gone.chain(moved).map(|(of, from, to)| Event::State { of, from, to }).collect()
}
