//! What to do about the interface, from what was seen. Pure.

use std::fmt;

use crate::network::eni::{Attachment, AttachmentStatus};

/// The state of the instance that holds the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    Pending,
    Running,
    Stopping,
    Stopped,
    ShuttingDown,
    Terminated,
    /// EC2 shows no such instance (yet, or any more), or a word that is not in its model.
    Unknown,
}

impl fmt::Display for OwnerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Unknown => "in an unknown state",
        })
    }
}

/// One look at the interface and at whoever holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// This instance.
    pub me: String,
    /// Whether EC2 calls the interface `available`.
    pub available: bool,
    pub attachment: Option<Attachment>,
    /// Looked up when another instance holds it.
    pub owner: OwnerState,
    /// How many looks in a row, this one not counted, saw the same owner stopped or terminated.
    pub dead_before: u32,
}

impl Facts {
    /// Whether nobody else can have it at this moment.
    pub fn attached_here(&self) -> bool {
        self.attachment.as_ref().is_some_and(|held| {
            held.status == AttachmentStatus::Attached && held.instance.as_ref() == Some(&self.me)
        })
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It is ours and attached.
    Keep { attachment_id: String },
    /// It is ours, but would be deleted with this instance.
    Protect { attachment_id: String },
    /// It is ours and on its way here.
    AwaitAttached,
    /// It is on its way from its owner, or EC2's answers do not agree yet.
    AwaitReleased { owner: Option<String> },
    /// Nobody has it.
    Attach,
    /// Its owner lives, or is ending: never robbed.
    AwaitOwner { owner: String, state: OwnerState },
    /// Its owner looks dead; one answer could be old, so another look decides.
    Confirm { owner: String, state: OwnerState },
    /// Its owner is dead and still has it.
    Detach { attachment_id: String, owner: String, state: OwnerState },
    /// No wait helps.
    Refuse { why: String },
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep { .. } => f.write_str("is attached here already"),
            Self::Protect { .. } => f.write_str("sets DeleteOnTermination to false"),
            Self::AwaitAttached => f.write_str("waits until EC2 has attached it"),
            Self::AwaitReleased { owner: Some(owner) } => write!(f, "waits until it has left {owner}"),
            Self::AwaitReleased { owner: None } => f.write_str("waits until EC2 calls it available"),
            Self::Attach => f.write_str("attaches it"),
            Self::AwaitOwner { owner, state } => write!(f, "waits for {owner} to release it ({state})"),
            Self::Confirm { owner, state } => write!(f, "looks again whether {owner} is {state}"),
            Self::Detach { owner, state, .. } => write!(f, "detaches it from {owner} ({state})"),
            Self::Refuse { why } => write!(f, "refuses: {why}"),
        }
    }
}

/// Decides. Detaching is only from an instance seen stopped or terminated twice.
pub fn decide(facts: &Facts) -> Plan {
    let Some(held) = &facts.attachment else {
        return if facts.available { Plan::Attach } else { Plan::AwaitReleased { owner: None } };
    };
    let owner = held.instance.clone();
    match (held.status, owner) {
        (AttachmentStatus::Detached, _) if facts.available => Plan::Attach,
        (AttachmentStatus::Detaching | AttachmentStatus::Detached, owner) => Plan::AwaitReleased { owner },
        (_, Some(owner)) if owner == facts.me => decide_own(held),
        (_, None) => Plan::Refuse { why: "a service of AWS holds it".to_owned() },
        (AttachmentStatus::Unknown, owner) => Plan::AwaitReleased { owner },
        (AttachmentStatus::Attaching | AttachmentStatus::Attached, Some(owner)) => {
            let state = facts.owner;
            match state {
                OwnerState::Stopped | OwnerState::Terminated if held.device_index == 0 => {
                    Plan::Refuse { why: format!("it is the primary interface of {owner}") }
                }
                OwnerState::Stopped | OwnerState::Terminated if facts.dead_before == 0 => {
                    Plan::Confirm { owner, state }
                }
                OwnerState::Stopped | OwnerState::Terminated => {
                    Plan::Detach { attachment_id: held.id.clone(), owner, state }
                }
                OwnerState::Pending
                | OwnerState::Running
                | OwnerState::Stopping
                | OwnerState::ShuttingDown
                | OwnerState::Unknown => Plan::AwaitOwner { owner, state },
            }
        }
    }
}

fn decide_own(held: &Attachment) -> Plan {
    match held.status {
        _ if held.device_index == 0 => {
            Plan::Refuse { why: "it is this instance's primary interface".to_owned() }
        }
        AttachmentStatus::Attached if held.delete_on_termination => {
            Plan::Protect { attachment_id: held.id.clone() }
        }
        AttachmentStatus::Attached => Plan::Keep { attachment_id: held.id.clone() },
        AttachmentStatus::Attaching
        | AttachmentStatus::Detaching
        | AttachmentStatus::Detached
        | AttachmentStatus::Unknown => Plan::AwaitAttached,
    }
}

/// The smallest free device index; 0 is the primary interface.
pub fn free_index(used: &[i32]) -> i32 {
    // 15 is the most that any c8gd has; EC2 refuses a number too high.
    (1..64).find(|index| !used.contains(index)).unwrap_or(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(instance: Option<&str>, status: AttachmentStatus, device_index: i32, delete: bool) -> Attachment {
        Attachment {
            id: "eni-attach-1".to_owned(),
            instance: instance.map(str::to_owned),
            status,
            device_index,
            delete_on_termination: delete,
        }
    }

    fn facts(available: bool, attachment: Option<Attachment>, owner: OwnerState, dead_before: u32) -> Facts {
        Facts { me: "i-me".to_owned(), available, attachment, owner, dead_before }
    }

    #[test]
    fn the_whole_table() {
        use AttachmentStatus::{Attached, Attaching, Detached, Detaching, Unknown};
        use OwnerState as O;
        let id = || "eni-attach-1".to_owned();
        let old = || "i-old".to_owned();
        let mine = |status, delete| Some(held(Some("i-me"), status, 1, delete));
        let others = |status| Some(held(Some("i-old"), status, 1, false));
        let wait = |state| Plan::AwaitOwner { owner: old(), state };
        let rows = [
            (facts(true, None, O::Unknown, 0), Plan::Attach),
            (facts(false, None, O::Unknown, 0), Plan::AwaitReleased { owner: None }),
            (facts(true, others(Detached), O::Terminated, 0), Plan::Attach),
            (facts(false, others(Detached), O::Terminated, 9), Plan::AwaitReleased { owner: Some(old()) }),
            (facts(false, others(Detaching), O::Running, 0), Plan::AwaitReleased { owner: Some(old()) }),
            (facts(false, others(Unknown), O::Terminated, 9), Plan::AwaitReleased { owner: Some(old()) }),
            (facts(false, mine(Attached, false), O::Unknown, 0), Plan::Keep { attachment_id: id() }),
            (facts(false, mine(Attached, true), O::Unknown, 0), Plan::Protect { attachment_id: id() }),
            (facts(false, mine(Attaching, false), O::Unknown, 0), Plan::AwaitAttached),
            (facts(false, mine(Unknown, false), O::Unknown, 0), Plan::AwaitAttached),
            (
                facts(false, mine(Detaching, false), O::Unknown, 0),
                Plan::AwaitReleased { owner: Some("i-me".to_owned()) },
            ),
            (facts(false, others(Attached), O::Pending, 9), wait(O::Pending)),
            (facts(false, others(Attached), O::Running, 9), wait(O::Running)),
            (facts(false, others(Attaching), O::Running, 9), wait(O::Running)),
            (facts(false, others(Attached), O::Stopping, 9), wait(O::Stopping)),
            (facts(false, others(Attached), O::ShuttingDown, 9), wait(O::ShuttingDown)),
            (facts(false, others(Attached), O::Unknown, 9), wait(O::Unknown)),
            (
                facts(false, others(Attached), O::Stopped, 0),
                Plan::Confirm { owner: old(), state: O::Stopped },
            ),
            (
                facts(false, others(Attached), O::Terminated, 0),
                Plan::Confirm { owner: old(), state: O::Terminated },
            ),
            (
                facts(false, others(Attached), O::Stopped, 1),
                Plan::Detach { attachment_id: id(), owner: old(), state: O::Stopped },
            ),
            (
                facts(false, others(Attached), O::Terminated, 1),
                Plan::Detach { attachment_id: id(), owner: old(), state: O::Terminated },
            ),
            (
                facts(false, Some(held(Some("i-old"), Attached, 0, false)), O::Stopped, 1),
                Plan::Refuse { why: "it is the primary interface of i-old".to_owned() },
            ),
            (
                facts(false, Some(held(Some("i-me"), Attached, 0, false)), O::Unknown, 0),
                Plan::Refuse { why: "it is this instance's primary interface".to_owned() },
            ),
            (
                facts(false, Some(held(None, Attached, 1, false)), O::Unknown, 0),
                Plan::Refuse { why: "a service of AWS holds it".to_owned() },
            ),
        ];
        for (facts, expected) in &rows {
            assert_eq!(decide(facts), *expected, "{facts:?}");
        }
        crate::tests::rows::every_variant!(
            rows.map(|(_, expected)| expected),
            crate::network::ClaimPlan {
                Keep,
                Protect,
                AwaitAttached,
                AwaitReleased,
                Attach,
                AwaitOwner,
                Confirm,
                Detach,
                Refuse,
            }
        );
    }

    #[test]
    fn nothing_is_detached_from_whoever_may_live() {
        for state in [
            OwnerState::Pending,
            OwnerState::Running,
            OwnerState::Stopping,
            OwnerState::ShuttingDown,
            OwnerState::Unknown,
        ] {
            for status in [AttachmentStatus::Attached, AttachmentStatus::Attaching, AttachmentStatus::Unknown]
            {
                let plan = decide(&facts(false, Some(held(Some("i-old"), status, 1, false)), state, 99));
                assert!(!matches!(plan, Plan::Detach { .. } | Plan::Attach), "{state} {status:?}: {plan}");
            }
        }
    }

    #[test]
    fn the_first_gap_is_taken() {
        for (used, expected) in [(vec![0], 1), (vec![0, 1], 2), (vec![0, 2], 1), (vec![2, 0, 1], 3)] {
            assert_eq!(free_index(&used), expected, "{used:?}");
        }
    }
}
