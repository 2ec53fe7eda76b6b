//! Claiming the interface: a bounded machine over what EC2 shows.
//!
//! ```text
//!   look ──▶ decide ──▶ AwaitOwner, AwaitReleased, Confirm ──(pause, until claim_deadline)──▶ look
//!     ▲                 Attach, Detach, Protect ──(act)──▶ look
//!     │                 AwaitAttached ──(pause, until link_deadline)──▶ look
//!     └────────────────────────────────┘
//!                       Keep ──▶ the link, by MAC, until link_deadline ──▶ AttachedEni
//!                       Refuse ──▶ NetworkError
//! ```
//!
//! A look that does not show it attached here closes the door, if an earlier run of this boot has opened it: whoever has
//! the interface may serve.
//!
//! An answer that was lost does no harm: the next look shows what it did. A living owner is waited for and never
//! robbed; detaching is only from an instance seen stopped or terminated twice.
//!
//! To add a state: a variant of [`Plan`] with its rows in `decide.rs`, and an arm in `act`.

mod calls;
mod decide;

pub use decide::{Facts, OwnerState, Plan, decide};

use std::time::Duration;

use aws_sdk_ec2::Client;
use tokio::time::{Instant, sleep};

use self::calls::Calls;
use super::eni::{AttachedEni, LocatedEni};
use super::netlink::Netlink;
use super::{NetworkError, audit, expose, locate};
use crate::host::Host;
use crate::instance::Identity;
use crate::report::{Status, Step};

/// How long each kind of wait lasts at most.
#[derive(Clone, Copy, Debug)]
struct Patience {
    owner: Duration,
    link: Duration,
    /// For an interface that was located and that EC2 does not show any more: its answers come from many places.
    unseen: Duration,
}

/// How old the answer that an owner is ending may be: it ends by being released, which the interface itself shows.
const OWNER: Duration = Duration::from_secs(1);

/// The security groups are looked at beside the claim, which takes longer: one call. What is not known by then is
/// not worth a wait.
const AUDIT: Duration = Duration::from_secs(3);

/// Claims the interface: waits for a living or ending owner, attaches, makes it outlive this instance, and
/// waits for its link.
pub async fn claim(host: &Host, identity: &Identity, eni: &LocatedEni) -> Result<AttachedEni, NetworkError> {
    let settings = &host.settings.network;
    let ec2 = &host.aws(identity.region()).await.ec2;
    let patience = Patience {
        owner: settings.claim_deadline,
        link: settings.link_deadline,
        unseen: locate::UNSEEN.deadline,
    };
    let machine = Machine { ec2, status: &host.status, me: identity.instance_id(), eni, patience };
    let claimed = async {
        let (attachment_id, reused) = machine.run(async || expose::withdraw_opened(host).await).await?;
        let netlink = Netlink::connect()?;
        // It is looked up by its MAC each time: udev may give it another name at any moment now.
        netlink.await_link(&host.status, eni.id(), eni.mac(), settings.link_deadline).await?;
        Ok::<_, NetworkError>((attachment_id, reused))
    };
    // What it finds is a warning and never an error.
    let (claimed, ()) = tokio::join!(claimed, warn_of_wide_groups(host, identity, eni));
    let (attachment_id, reused) = claimed?;
    tracing::info!(eni = eni.id(), reused, "claimed {}", eni.id());
    Ok(AttachedEni::new(eni.clone(), attachment_id, reused))
}

/// Tells who else the ENI's security groups let in.
async fn warn_of_wide_groups(host: &Host, identity: &Identity, eni: &LocatedEni) {
    let why = match tokio::time::timeout(AUDIT, audit::audit(host, identity, eni)).await {
        Ok(Ok(warnings)) => return warnings.into_iter().for_each(|warning| host.status.warn(warning)),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", AUDIT.as_secs()),
    };
    host.status.warn(format!("the security groups could not be looked at: {why}"));
}

/// What `claim` would do now: for the command `plan`. Nothing is changed.
pub async fn plan(host: &Host, identity: &Identity, eni: &LocatedEni) -> Result<Plan, NetworkError> {
    let ec2 = &host.aws(identity.region()).await.ec2;
    let calls = Calls { ec2, me: identity.instance_id(), eni };
    // The command shows what will be done once the state is confirmed.
    Ok(decide(&calls.look(None, 1, None).await?))
}

struct Machine<'a> {
    ec2: &'a Client,
    status: &'a Status,
    me: &'a str,
    eni: &'a LocatedEni,
    patience: Patience,
}

/// What happened so far.
struct Progress {
    started: Instant,
    /// Set while EC2 attaches.
    attaching: Option<Instant>,
    /// Who was seen dead, and how often in a row.
    dead: Option<(String, u32)>,
    /// Who was seen ending, and when it was asked.
    ending: Option<(String, OwnerState, Instant)>,
    /// The device index for the next attachment, looked up while there is time; each is tried once.
    index: Option<i32>,
    /// Whether it was this run that attached.
    attached: bool,
    protected: u32,
    /// Since when EC2 shows no such interface.
    unseen: Option<Instant>,
}

impl Progress {
    fn begin() -> Self {
        Self {
            started: Instant::now(),
            attaching: None,
            dead: None,
            ending: None,
            index: None,
            attached: false,
            protected: 0,
            unseen: None,
        }
    }

    /// Whose end was seen so short a time ago that asking again tells nothing.
    fn ending(&self) -> Option<(&str, OwnerState)> {
        let (owner, state, asked) = self.ending.as_ref()?;
        (asked.elapsed() < OWNER).then_some((owner.as_str(), *state))
    }

    /// Remembers an owner whose end was seen.
    fn note(&mut self, owner: &str, state: OwnerState) {
        if self.ending().is_none() {
            let ends = matches!(state, OwnerState::Stopping | OwnerState::ShuttingDown);
            self.ending = ends.then(|| (owner.to_owned(), state, Instant::now()));
        }
    }
}

impl Machine<'_> {
    /// Until it is attached here and stays when this instance ends; whether it was so before. `close`: the door, at each
    /// look that shows it elsewhere.
    async fn run(
        &self,
        close: impl AsyncFn() -> Result<(), NetworkError>,
    ) -> Result<(String, bool), NetworkError> {
        let calls = Calls { ec2: self.ec2, me: self.me, eni: self.eni };
        let mut progress = Progress::begin();
        let started = progress.started;
        loop {
            let dead = progress.dead.clone();
            let (owner, looks) =
                dead.as_ref().map_or((None, 0), |(owner, looks)| (Some(owner.as_str()), *looks));
            let plan = match calls.look(owner, looks, progress.ending()).await {
                Ok(facts) => {
                    progress.unseen = None;
                    if !facts.attached_here() {
                        close().await?;
                    }
                    decide(&facts)
                }
                Err(error @ NetworkError::EniNotFound { .. })
                    if progress.unseen.get_or_insert_with(Instant::now).elapsed() < self.patience.unseen =>
                {
                    self.status.say(Step::Claim, format!("looks again: {error}"));
                    sleep(jitter(Duration::from_secs(1))).await;
                    continue;
                }
                Err(error) if locate::may_pass(&error) && started.elapsed() < self.patience.owner => {
                    self.status.say(Step::Claim, format!("looks again: {error}"));
                    sleep(jitter(Duration::from_secs(1))).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.status.say(Step::Claim, format!("{} {plan}", self.eni.id()));
            if let Plan::Keep { attachment_id } = plan {
                return Ok((attachment_id, !progress.attached));
            }
            let pause = pace(&plan, started.elapsed());
            self.act(&calls, plan, &mut progress).await?;
            sleep(jitter(pause)).await;
        }
    }

    /// Obeys the plan; an error ends the claim.
    async fn act(&self, calls: &Calls<'_>, plan: Plan, progress: &mut Progress) -> Result<(), NetworkError> {
        let died = progress.dead.take();
        if !matches!(plan, Plan::AwaitAttached | Plan::Attach) {
            progress.attaching = None;
        }
        match plan {
            Plan::Keep { .. } => {}
            Plan::Protect { attachment_id } => {
                progress.protected += 1;
                // EC2 took it three times and still shows the old value: not this time.
                if progress.protected > 3 {
                    let (eni, instance) = (self.eni.id().to_owned(), self.me.to_owned());
                    return Err(NetworkError::DeletedOnTermination { eni, instance });
                }
                self.or_later(calls.protect(&attachment_id).await, progress)?;
            }
            Plan::AwaitAttached | Plan::Attach => {
                let since = *progress.attaching.get_or_insert_with(Instant::now);
                if since.elapsed() > self.patience.link {
                    let (eni, instance) = (self.eni.id().to_owned(), self.me.to_owned());
                    return Err(NetworkError::NotAttached { eni, instance, waited: since.elapsed() });
                }
                progress.attached = true;
                if plan == Plan::Attach {
                    self.or_later(calls.attach(progress.index.take()).await, progress)?;
                }
            }
            Plan::AwaitReleased { owner } => {
                let owner = owner.unwrap_or_else(|| "nobody that EC2 names".to_owned());
                self.still_patient(progress, &owner, "detaching")?;
                foresee(calls, progress).await;
            }
            Plan::AwaitOwner { owner, state } => {
                self.still_patient(progress, &owner, &state.to_string())?;
                progress.note(&owner, state);
                foresee(calls, progress).await;
            }
            Plan::Confirm { owner, .. } => {
                let looks = died.filter(|(before, _)| *before == owner).map_or(0, |(_, looks)| looks);
                progress.dead = Some((owner, looks + 1));
            }
            Plan::Detach { attachment_id, owner, state } => {
                self.still_patient(progress, &owner, &state.to_string())?;
                tracing::warn!(eni = self.eni.id(), owner = %owner, "detaches {} from {owner}, which is {state}", self.eni.id());
                self.or_later(calls.detach(&attachment_id).await, progress)?;
            }
            Plan::Refuse { why } => {
                return Err(NetworkError::Unusable { eni: self.eni.id().to_owned(), why });
            }
        }
        Ok(())
    }

    /// A call that may pass is left to the next look, for as long as there is time.
    fn or_later(&self, done: Result<(), NetworkError>, progress: &Progress) -> Result<(), NetworkError> {
        match done {
            Err(error) if locate::may_pass(&error) && progress.started.elapsed() < self.patience.owner => {
                self.status.say(Step::Claim, format!("looks again: {error}"));
                Ok(())
            }
            other => other,
        }
    }

    fn still_patient(&self, progress: &Progress, owner: &str, state: &str) -> Result<(), NetworkError> {
        let waited = progress.started.elapsed();
        if waited < self.patience.owner {
            return Ok(());
        }
        let (eni, owner, state) = (self.eni.id().to_owned(), owner.to_owned(), state.to_owned());
        Err(NetworkError::Held { eni, owner, state, waited })
    }
}

/// Looks up the device index while the interface is awaited anyway: one call less between its release and ours.
async fn foresee(calls: &Calls<'_>, progress: &mut Progress) {
    if progress.index.is_none() {
        // What cannot be known now is asked for again when it is needed.
        progress.index = calls.free_index().await.ok();
    }
}

/// How long until the next look. Reading calls have a budget of 20 a second per account and region
/// (EC2 developer guide, ec2-api-throttling): a release that is near is watched closely, with some seven of them, for a
/// while.
fn pace(plan: &Plan, waited: Duration) -> Duration {
    let near = matches!(
        plan,
        Plan::AwaitAttached
            | Plan::Attach
            | Plan::Protect { .. }
            | Plan::AwaitReleased { .. }
            | Plan::Detach { .. }
            | Plan::AwaitOwner {
                state: OwnerState::ShuttingDown | OwnerState::Stopping | OwnerState::Terminated,
                ..
            }
    );
    match (near, waited.as_secs()) {
        (true, 0..=60) => Duration::from_millis(100),
        (true, 61..=300) | (false, 0..=60) => Duration::from_secs(1),
        _ => Duration::from_secs(5),
    }
}

/// Up to a fifth more or less, so that nodes that wait together do not ask together.
fn jitter(pause: Duration) -> Duration {
    use rand::RngExt as _;
    pause.mul_f64(rand::rng().random_range(0.8..1.2))
}

#[cfg(test)]
mod tests;
