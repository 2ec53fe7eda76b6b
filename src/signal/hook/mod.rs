//! The Auto Scaling group's lifecycle hook: kept patient, and always answered.
//!
//! ```text
//! where do I stand? ──▶ decide ──▶ AwaitHook (Pending): look again    NotNeeded: written down
//!        ▲                   ├──▶ Complete ──taken──▶ written down    Refuse: the group ends us
//!        └──── no action ────┘      (propagation race, or another answered: the next look tells)
//! ```
//!
//! "No active Lifecycle Action" comes before the hook waits, after it was answered, and for a moment while
//! the group's parts do not agree (PrairieLearn #15586): it never decides anything, the next look does.
//!
//! To add a state of the group: a word in `Stage::read` with its row in `decide.rs`.

mod decide;
mod error;
mod group;
mod heartbeat;

pub use decide::{Answer, Facts, Plan, Stage, Target, decide};
pub use error::SignalError;
pub use group::{Member, Replacement, Timeouts};
pub use heartbeat::{Heartbeat, Patience};

use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::group::{Group, Taken};
use crate::explain::{Class, Explain as _, Failure};
use crate::host::Host;
use crate::instance::Identity;
use crate::network::Serving;
use crate::report::{Status, Step};
use crate::state::SignalOutcome;

/// How long an answer is offered. The hook itself waits longer, and the next run offers it again.
const DEADLINE: Duration = Duration::from_mins(10);
/// Between looks: soon at first, because a client waits for the node, then every 5 s. The answer is
/// refused before `Pending:Wait`, and once more while that spreads (Auto Scaling User Guide, lifecycle hooks).
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(5);

/// CONTINUE: only with the evidence that the node serves.
pub async fn proceed(
    host: &Host,
    identity: &Identity,
    serving: &Serving,
) -> Result<SignalOutcome, SignalError> {
    tracing::info!("tells the group that the node serves on {}", serving.address());
    answer(host, identity, Answer::Continue).await
}

/// ABANDON, with the reason in the journal and the log; the API has no field for it.
pub async fn abandon(
    host: &Host,
    identity: &Identity,
    failure: &Failure,
) -> Result<SignalOutcome, SignalError> {
    tracing::error!(failed_step = %failure.step, error_class = failure.class.name(), "gives the instance up: {failure}");
    answer(host, identity, Answer::Abandon).await
}

/// CONTINUE for an instance that only joins a warm pool: nothing serves, and nothing should.
pub async fn warmed(host: &Host, identity: &Identity) -> Result<SignalOutcome, SignalError> {
    answer(host, identity, Answer::Continue).await
}

/// Where the instance stands in its group, and what its launch hook allows. `None`: no group, or no
/// `[signal.asg]`.
pub async fn membership(host: &Host, identity: &Identity) -> Result<Option<(Member, Timeouts)>, SignalError> {
    let Some(group) = group(host, identity).await else { return Ok(None) };
    let Some(member) = group.member().await? else { return Ok(None) };
    let timeouts = group.timeouts(&member.group).await?;
    Ok(Some((member, timeouts)))
}

/// In which order the group of this instance replaces it; for `plan`.
pub async fn replacement(
    host: &Host,
    identity: &Identity,
    member: &Member,
) -> Result<Option<Replacement>, SignalError> {
    match group(host, identity).await {
        Some(group) => group.replacement(&member.group).await.map(Some),
        None => Ok(None),
    }
}

async fn group(host: &Host, identity: &Identity) -> Option<Group> {
    let asg = host.settings.signal.asg.as_ref()?;
    Some(Group {
        client: host.aws(identity.region()).await.autoscaling.clone(),
        instance: identity.instance_id().to_owned(),
        hook: asg.launch_hook.clone(),
    })
}

async fn answer(host: &Host, identity: &Identity, answer: Answer) -> Result<SignalOutcome, SignalError> {
    let _working = host.status.begin(Step::Signal);
    let done = match group(host, identity).await {
        Some(group) => offer(&group, &host.status, answer, DEADLINE).await?,
        None => Some("no [signal.asg] is configured".to_owned()),
    };
    let outcome = match done {
        None => SignalOutcome::Sent { result: answer.as_str().to_owned(), at: host.now() },
        Some(why) => SignalOutcome::NotNeeded { why },
    };
    if let SignalOutcome::NotNeeded { why } = &outcome {
        tracing::info!(answer = %answer, "the lifecycle hook needs no {answer}: {why}");
    } else {
        tracing::info!(answer = %answer, "the lifecycle hook was told {answer}");
    }
    host.journal.write(|state| {
        // What was accepted stays written: a second run finds that nobody waits any more, because of it.
        let sent = matches!(&state.signal, SignalOutcome::Sent { result, .. } if result == answer.as_str());
        if !(sent && matches!(outcome, SignalOutcome::NotNeeded { .. })) {
            state.signal = outcome.clone();
        }
    })?;
    Ok(outcome)
}

/// Offers the answer until it is taken (`None`), nobody waits for it (why), or the deadline passes.
async fn offer(
    group: &Group,
    status: &Status,
    answer: Answer,
    deadline: Duration,
) -> Result<Option<String>, SignalError> {
    let started = Instant::now();
    let mut pause = FIRST;
    loop {
        let (name, last) = match turn(group, answer).await {
            Ok(Turn::Settled(why)) => return Ok(why),
            Ok(Turn::Again { group, plan }) => {
                status.say(Step::Signal, format!("{answer}: {plan}"));
                (group, None)
            }
            Err(error) if error.class() == Class::Final => return Err(error),
            Err(error) => {
                status.say(Step::Signal, format!("{answer}: tries again: {error}"));
                (String::new(), Some(error))
            }
        };
        if started.elapsed() + pause >= deadline {
            let (hook, waited) = (group.hook.clone(), started.elapsed());
            let late = SignalError::NotTaken { group: name, hook, answer: answer.as_str(), waited };
            return Err(last.unwrap_or(late));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// What a turn came to.
enum Turn {
    /// The answer was taken (`None`), or nobody waits for it (why).
    Settled(Option<String>),
    /// Another look tells more.
    Again { group: String, plan: Plan },
}

/// Look, decide, act, once.
async fn turn(group: &Group, answer: Answer) -> Result<Turn, SignalError> {
    let member = group.member().await?;
    let (name, stage) = member.map_or((String::new(), Stage::Outside), |member| (member.group, member.stage));
    let plan = decide(&Facts { answer, stage });
    match &plan {
        Plan::NotNeeded { why } => return Ok(Turn::Settled(Some(why.clone()))),
        Plan::Refuse { stage } => {
            let (instance, stage) = (group.instance.clone(), stage.clone());
            return Err(SignalError::Ending { instance, stage });
        }
        Plan::Complete => {
            if group.complete(&name, answer).await? == Taken::Yes {
                return Ok(Turn::Settled(None));
            }
        }
        // A hook that is not there would never begin to wait: said now, not at the deadline.
        Plan::AwaitHook { .. } => drop(group.timeouts(&name).await?),
    }
    Ok(Turn::Again { group: name, plan })
}

#[cfg(test)]
mod tests;
