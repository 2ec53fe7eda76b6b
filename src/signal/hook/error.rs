//! Why the lifecycle hook has no answer.

use std::time::Duration;

use crate::aws::CallError;
use crate::explain::{Class, Explain};
use crate::state::StateError;

#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the Auto Scaling group {group} has no lifecycle hook {hook}")]
    NoHook { group: String, hook: String },
    #[error("the lifecycle hook {hook} of {group} has not taken {answer} within {} s", waited.as_secs())]
    NotTaken { group: String, hook: String, answer: &'static str, waited: Duration },
    #[error("{instance} cannot go on: its group has it in {stage}")]
    Ending { instance: String, stage: String },
    #[error(transparent)]
    State(#[from] StateError),
}

impl Explain for SignalError {
    fn class(&self) -> Class {
        match self {
            Self::Call(call) => call.class(),
            Self::State(state) => state.class(),
            Self::NotTaken { .. } => Class::Retry,
            Self::NoHook { .. } | Self::Ending { .. } => Class::Final,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Call(call) => call.remedy(),
            Self::State(state) => state.remedy(),
            Self::NoHook { group, .. } => {
                format!("Put the hook on {group}, or mend `signal.asg.launch_hook`.")
            }
            Self::NotTaken { .. } => "The next run sends it again.".to_owned(),
            Self::Ending { .. } => {
                "The hook timed out or the group was changed: raise its heartbeat timeout, look at the group's activities."
                    .to_owned()
            }
        }
    }
}
