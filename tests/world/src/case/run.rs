//! Plays a case: sets its stage, does its acts, and looks at what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use super::script::Until;
use super::{Act, Case, Outcome, WorldOutcome, acts, expect, lives};
use crate::cloud::{Answered, Order};
use crate::ledger::{Client, Event};
use crate::stage::{Agent, Ended, Programs, Stage};

/// The longest that one `run` act may take: a case that needs more is stuck.
const PATIENCE: Duration = Duration::from_mins(3);
/// What others were to do is done a moment after its call was seen, or never.
const A_MOMENT: Duration = Duration::from_secs(10);

/// A played case: what came of it, and what was not as expected.
#[derive(Debug)]
pub struct Played {
    pub outcome: Outcome,
    pub complaints: Vec<String>,
    /// The agent's log, for a person who reads a failed case.
    pub log: String,
    /// The ledger as JSON lines.
    pub ledger: String,
    /// The timeline of the last boot, drawn.
    pub picture: String,
}

/// Sets the stage, plays, judges, and takes everything down again.
pub async fn play(case: &Case, programs: &Programs) -> Result<Played> {
    let mut stage = Stage::set(programs, &case.whole())
        .await
        .with_context(|| format!("setting the stage of {}", case.name))?;
    let mut played = perform(case, &mut stage).await;
    // Told beside what came of the case, and not instead of it.
    let struck = stage.strike().await.context("taking the stage down");
    played.complaints.extend(struck.err().map(|error| format!("{error:#}")));
    Ok(played)
}

/// What the acts of a case left.
struct Acted {
    complaints: Vec<String>,
    /// The agent that stays.
    staying: Option<Agent>,
    /// The agent that stays of the instance before.
    former: Option<Agent>,
    /// How the last `run` ended.
    ended: Option<Ended>,
    /// When the last run began.
    since: Timestamp,
}

impl Acted {
    async fn act(&mut self, stage: &mut Stage, act: &Act) -> Result<()> {
        match act {
            Act::Run { ends, without } => {
                self.since = Timestamp::now();
                self.ended = Some(stage.run_agent(PATIENCE).await?);
                self.complaints.extend(lives::check_run(stage, self.since, ends.as_deref(), without));
            }
            Act::Plan { says } => self.complaints.extend(stage.plan(says).await?),
            Act::Stay { until } => {
                self.since = Timestamp::now();
                self.ended = None;
                let agent = self.staying.insert(stage.start_agent(&[])?);
                stage.until(agent, until.outcome(), PATIENCE).await?;
            }
            Act::Start => {
                self.since = Timestamp::now();
                self.ended = None;
                self.staying = Some(stage.start_agent(&[])?);
            }
            Act::Serves => {
                let agent = self.staying.as_mut().context("nobody was started who could serve")?;
                stage.until(agent, Until::Serving.outcome(), PATIENCE).await?;
            }
            Act::Restarted => {
                let ended = self.staying.take().context("nobody stays who could be restarted")?;
                self.since = Timestamp::now();
                self.staying = Some(lives::restarted(stage, ended, PATIENCE).await?);
            }
            Act::Stop => {
                let mut agent = self.staying.take().context("no agent stays that could be stopped")?;
                self.complaints.extend(acts::stop(stage, &mut agent).await?);
            }
            Act::PowerCut | Act::Reboot | Act::StopStart | Act::ReplaceRoot => {
                // It ends with the machine that it runs in.
                self.staying = None;
                lives::live_on(stage, act).await?;
            }
            Act::PutToWork => lives::put_to_work(stage).await?,
            Act::Replace { order, backup } => lives::replace(stage, *order, backup.as_deref()).await?,
            Act::Succeed { order } => {
                self.former = self.staying.take().filter(|_| *order == Order::LaunchFirst);
                lives::succeed(stage, *order).await?;
            }
            Act::Former { act } => {
                stage.turn()?;
                std::mem::swap(&mut self.staying, &mut self.former);
                let (since, ended) = (self.since, self.ended);
                // Boxed, because it is a future within itself.
                let acted = Box::pin(self.act(stage, act)).await;
                (self.since, self.ended) = (since, ended);
                std::mem::swap(&mut self.staying, &mut self.former);
                stage.turn()?;
                acted?;
            }
            Act::Ends => {
                let mut ended = self.staying.take().context("nobody stays who could end")?;
                lives::ends(&mut ended, PATIENCE).await?;
            }
            Act::Look { near, far, stranger } => {
                let seen = stage.look().await;
                if seen != (*near, *far, *stranger) {
                    self.complaints.push(format!(
                        "looked and saw {seen:?} (near, far, stranger), not {:?}",
                        (near, far, stranger)
                    ));
                }
            }
            Act::User { name, client, program, arguments } => {
                stage.start_user(name, *client, program, arguments).await?;
            }
            Act::UserGoesOn { name } => stage.until_user_goes_on(name, PATIENCE).await?,
            Act::UserEnds { name } => self.complaints.extend(stage.end_user(name, PATIENCE).await?),
            Act::Deed { deed } => stage.perform(deed).await,
            Act::DeedsDone => self.complaints.extend(stage.deeds_done(PATIENCE).await),
            Act::Await { call, with, times } => {
                stage.until_called(call, with, *times, self.since, PATIENCE).await?;
            }
            // The clients knock meanwhile: that nobody gets in for so long is what such an act shows.
            Act::Wait { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            other => self.complaints.extend(acts::act(stage, other).await?),
        }
        Ok(())
    }
}

async fn act_all(case: &Case, stage: &mut Stage) -> Acted {
    let mut acted =
        Acted { complaints: Vec::new(), staying: None, former: None, ended: None, since: Timestamp::now() };
    for act in &case.acts {
        if let Err(error) = acted.act(stage, act).await {
            // Those after it would tell of this one only. What the world saw is judged all the same.
            acted.complaints.push(format!("{act:?}: {error:#}"));
            break;
        }
    }
    acted
}

/// The agent that stayed, ended now that it was looked at; a sentence where it did not stay.
async fn end(agent: &mut Agent) -> Option<String> {
    if let Some(status) = agent.process.ended() {
        return Some(format!("the agent did not stay: {status}"));
    }
    agent.process.kill().await.err().map(|error| format!("{error:#}"))
}

pub(crate) async fn perform(case: &Case, stage: &mut Stage) -> Played {
    let Acted { mut complaints, mut staying, mut former, ended, since } = act_all(case, stage).await;
    complaints.extend(stage.deeds_done(A_MOMENT).await);
    // An ABANDON ends the machine: not while it is looked at.
    let steady = Arc::clone(&stage.steady);
    let looking = steady.lock().await;
    let (near, far, stranger) = stage.look().await;
    complaints.extend(count_all(case, stage).await);
    for agent in [&mut staying, &mut former].into_iter().flatten() {
        complaints.extend(end(agent).await);
    }
    let forbidden = stage.verdict().await;
    let events = stage.ledger.events();
    let world = WorldOutcome {
        lifecycle_action: lifecycle_action(stage),
        forbidden,
        client_status: far,
        near_status: near,
        stranger_status: stranger,
    };
    let report = stage.fresh_report();
    let picture = stage.picture().await.unwrap_or_default();
    let published = stage.published.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let log = stage.agent_log();
    let outcome = match report {
        Ok(report) => Outcome::from_report(&case.name, &report, world),
        Err(error) => {
            complaints.push(format!("{error:#}"));
            Outcome::failed(&case.name, format!("{error:#}"), world)
        }
    };
    if let Some(ended) = ended {
        complaints.extend(expect::check_end(&case.expect, &outcome.outcome, ended));
    }
    if let Some(generation) = case.expect.generation {
        let there = stage.generation();
        if there != Some(generation) {
            complaints.push(format!("the manifest has generation {there:?}, not {generation}"));
        }
    }
    complaints.extend(expect::check(case, &outcome, &published, &stage.ledger.since(since)));
    complaints.extend(expect::in_order(&case.expect.order, &events));
    drop(looking);
    if case.expect.ends
        && let Err(error) = lives::until_ended(stage).await
    {
        complaints.push(format!("{error:#}"));
    }
    if outcome.outcome == "serving" {
        complaints.extend(lives::check_interface(stage));
    }
    if let Some(most) = case.expect.ms_after_exit {
        let late = acts::told_late(stage, Duration::from_millis(most));
        complaints.extend(late.unwrap_or_else(|error| vec![format!("{error:#}")]));
    }
    if case.expect.bucket_report && !stage.report_is_kept() {
        complaints.push("the report does not lie in the bucket as it lies on the machine".to_owned());
    }
    complaints.extend(stage.source_written());
    complaints.extend(stage.faults.unused());
    complaints.extend(events.iter().filter_map(|seen| match &seen.event {
        Event::Mark { what } if what.starts_with("the world failed") => Some(what.clone()),
        _ => None,
    }));
    if !complaints.is_empty() {
        complaints.extend(generated(&events));
    }
    let ledger = events.iter().map(|seen| serde_json::to_string(seen).unwrap_or_default() + "\n").collect();
    Played { outcome, complaints, log, ledger, picture }
}

/// What was generated: with the seed the same backup can be made again.
fn generated(events: &[crate::ledger::Seen]) -> Option<String> {
    events.iter().find_map(|seen| match &seen.event {
        Event::Mark { what } if what.starts_with("the backup was generated") => Some(what.clone()),
        _ => None,
    })
}

/// The answer that the new instance's launch hook got by a call; none where a timeout answered.
fn lifecycle_action(stage: &Stage) -> Option<String> {
    let actions = stage.cloud.lifecycle_actions();
    let action = actions.iter().rev().find(|action| action.instance == stage.machine.spec().instance_id)?;
    match &action.outcome {
        Some((verdict, Answered::Call { .. })) => Some(verdict.text().to_owned()),
        _ => None,
    }
}

/// Whether this client counts, right now, exactly what the backup with the last id holds.
pub async fn count_everything(stage: &Stage, client: Client) -> bool {
    match stage.held() {
        Some(held) => stage.count(client, &held).await.is_ok_and(|counts| counts == held),
        None => false,
    }
}

/// Near and far clients must count exactly what the backup holds.
async fn count_all(case: &Case, stage: &Stage) -> Vec<String> {
    let Some(id) = case.expect.backup_id.as_ref().filter(|_| case.expect.outcome == "serving") else {
        return Vec::new();
    };
    let published = stage.published.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let held = expect::named(&published, id).and_then(|id| published.get(&id)).map(expect::counts);
    let Some(held) = held else { return vec![format!("the case expects {id}, which was never published")] };
    let mut complaints = Vec::new();
    for client in [Client::Near, Client::Far] {
        match stage.count(client, &held).await {
            Ok(counts) if expect::holds(&counts, &held, case.expect.written) => {}
            Ok(counts) => complaints.push(format!("{client:?} counts {counts:?}, not {held:?}")),
            Err(error) => complaints.push(format!("{client:?} cannot count: {error:#}")),
        }
    }
    complaints
}

/// How often the world saw each call, by `service:Operation`.
pub fn calls(events: &[crate::ledger::Seen]) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    for seen in events {
        if let Event::Call { service, operation, .. } = &seen.event {
            *calls.entry(format!("{service}:{operation}")).or_default() += 1;
        }
    }
    calls
}
