//! What to tell the lifecycle hook, from what the group says. Pure.

use std::fmt;

/// The answer to a lifecycle hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Continue,
    Abandon,
}

impl Answer {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Abandon => "ABANDON",
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the instance stands in its group. Words that are not in the model are kept as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not a member of any group.
    Outside,
    /// The hook has not begun to wait.
    Before(String),
    /// The hook waits for an answer.
    Waiting(String),
    /// The launch went on: nobody waits for an answer.
    After(String),
    /// The group is ending the instance.
    Ending(String),
}

impl Stage {
    /// Reads `LifecycleState` as DescribeAutoScalingInstances gives it.
    pub fn read(state: &str) -> Self {
        let word = state.to_owned();
        match state {
            "Pending" | "Warmed:Pending" | "Pending:Retained" | "Warmed:Pending:Retained" => {
                Self::Before(word)
            }
            "Pending:Wait" | "Warmed:Pending:Wait" => Self::Waiting(word),
            _ if state.starts_with("Terminat") || state.starts_with("Warmed:Terminat") => Self::Ending(word),
            _ => Self::After(word),
        }
    }

    pub fn word(&self) -> &str {
        match self {
            Self::Outside => "in no group",
            Self::Before(word) | Self::Waiting(word) | Self::After(word) | Self::Ending(word) => word,
        }
    }
}

/// One look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub answer: Answer,
    pub stage: Stage,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nobody waits for it.
    NotNeeded {
        why: String,
    },
    /// The hook waits, or it will soon: the answer is sent when it does.
    AwaitHook {
        stage: String,
    },
    Complete,
    /// The group ends the instance although it should live.
    Refuse {
        stage: String,
    },
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNeeded { why } => write!(f, "no answer is needed: {why}"),
            Self::AwaitHook { stage } => write!(f, "waits for the hook ({stage})"),
            Self::Complete => f.write_str("answers the hook"),
            Self::Refuse { stage } => write!(f, "cannot continue: the instance is {stage}"),
        }
    }
}

/// Decides. "No active Lifecycle Action" is never an input: what it means, the stage says.
pub fn decide(facts: &Facts) -> Plan {
    match (&facts.stage, facts.answer) {
        (Stage::Outside, _) => Plan::NotNeeded { why: "the instance is in no Auto Scaling group".to_owned() },
        (Stage::Before(stage), _) => Plan::AwaitHook { stage: stage.clone() },
        (Stage::Waiting(_), _) => Plan::Complete,
        (Stage::After(stage), _) => Plan::NotNeeded { why: format!("the instance is {stage} already") },
        (Stage::Ending(stage), Answer::Continue) => Plan::Refuse { stage: stage.clone() },
        (Stage::Ending(stage), Answer::Abandon) => {
            Plan::NotNeeded { why: format!("the group ends the instance already ({stage})") }
        }
    }
}

/// What this boot is for, from IMDS `autoscaling/target-lifecycle-state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// 404: the instance never was in a group.
    NoGroup,
    /// To serve.
    InService,
    /// A warm pool: prepare, but do not claim and do not restore; a stopped instance loses its disks.
    Warm(String),
    /// To end.
    Terminated,
    /// Standby, Detached, or a word that is not in the model.
    Other(String),
}

impl Target {
    pub fn read(word: Option<&str>) -> Self {
        match word {
            None => Self::NoGroup,
            Some("InService") => Self::InService,
            Some("Terminated" | "Warmed:Terminated") => Self::Terminated,
            Some(warm) if warm.starts_with("Warmed:") => Self::Warm(warm.to_owned()),
            Some(other) => Self::Other(other.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        use Answer::{Abandon, Continue};
        let not_needed = |why: &str| Plan::NotNeeded { why: why.to_owned() };
        let wait = |stage: &str| Plan::AwaitHook { stage: stage.to_owned() };
        let refuse = |stage: &str| Plan::Refuse { stage: stage.to_owned() };
        let none = "the instance is in no Auto Scaling group";
        // The state, the answer → the plan.
        let rows = [
            (None, Continue, not_needed(none)),
            (None, Abandon, not_needed(none)),
            (Some("Pending"), Continue, wait("Pending")),
            (Some("Pending"), Abandon, wait("Pending")),
            (Some("Warmed:Pending"), Continue, wait("Warmed:Pending")),
            (Some("Pending:Wait"), Continue, Plan::Complete),
            (Some("Pending:Wait"), Abandon, Plan::Complete),
            (Some("Warmed:Pending:Wait"), Continue, Plan::Complete),
            (Some("Pending:Proceed"), Continue, not_needed("the instance is Pending:Proceed already")),
            (Some("InService"), Continue, not_needed("the instance is InService already")),
            (Some("InService"), Abandon, not_needed("the instance is InService already")),
            (Some("Warmed:Stopped"), Continue, not_needed("the instance is Warmed:Stopped already")),
            (Some("Terminating:Wait"), Continue, refuse("Terminating:Wait")),
            (Some("Terminating"), Continue, refuse("Terminating")),
            (Some("Warmed:Terminating:Wait"), Continue, refuse("Warmed:Terminating:Wait")),
            (Some("Terminating"), Abandon, not_needed("the group ends the instance already (Terminating)")),
            (
                Some("ReplacingRootVolume:Wait"),
                Continue,
                not_needed("the instance is ReplacingRootVolume:Wait already"),
            ),
            (Some("SomethingNew"), Continue, not_needed("the instance is SomethingNew already")),
        ];
        for (state, answer, expected) in &rows {
            let stage = state.map_or(Stage::Outside, Stage::read);
            assert_eq!(decide(&Facts { answer: *answer, stage }), *expected, "{state:?} {answer}");
        }
        crate::tests::rows::every_variant!(
            rows.map(|(_, _, expected)| expected),
            crate::signal::Plan { NotNeeded, AwaitHook, Complete, Refuse }
        );
    }

    #[test]
    fn targets_of_a_warm_pool_are_told_apart() {
        for (word, expected) in [
            (None, Target::NoGroup),
            (Some("InService"), Target::InService),
            (Some("Warmed:Stopped"), Target::Warm("Warmed:Stopped".to_owned())),
            (Some("Warmed:Hibernated"), Target::Warm("Warmed:Hibernated".to_owned())),
            (Some("Warmed:Running"), Target::Warm("Warmed:Running".to_owned())),
            (Some("Warmed:Terminated"), Target::Terminated),
            (Some("Terminated"), Target::Terminated),
            (Some("Standby"), Target::Other("Standby".to_owned())),
        ] {
            assert_eq!(Target::read(word), expected, "{word:?}");
        }
    }
}
