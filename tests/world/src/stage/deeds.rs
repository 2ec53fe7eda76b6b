//! What others do while the agent works, each deed when the world has seen a call often enough. One that never came
//! to be done fails the case: without it the case is another one.
//!
//! To add one: a variant of [`Deed`], and its arm in [`Deeds::act`].

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::watch;

use super::{BUCKET, Programs, Published, Stage, scene};
use crate::case::{Deed, LATER, Meanwhile, is_call};
use crate::cloud::resources::Lifecycle;
use crate::cloud::spec::{ENI, GROUP, NEW, OLD, Transition, Verdict};
use crate::cloud::{ActionKey, Cloud};
use crate::ledger::{Event, Ledger};
use crate::machine::Machine;
use crate::s3;

/// The longest that a group may take to begin the end of an instance.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// The deeds of a case that are still to be done, each by what it comes after.
#[derive(Debug, Default)]
pub struct ToCome(watch::Sender<Vec<String>>);

impl ToCome {
    fn expect(&self, deed: String) {
        self.0.send_modify(|to_come| to_come.push(deed));
    }

    fn done(&self, deed: &str) {
        self.0.send_modify(|to_come| {
            if let Some(at) = to_come.iter().position(|known| known == deed) {
                to_come.remove(at);
            }
        });
    }

    pub(super) fn left(&self) -> watch::Receiver<Vec<String>> {
        self.0.subscribe()
    }

    /// Waits until all are done; what is not done within `patience`.
    async fn all_done(&self, patience: Duration) -> Vec<String> {
        let mut to_come = self.0.subscribe();
        // Without a wait where there is nothing to wait for.
        let _ = tokio::time::timeout(patience, to_come.wait_for(Vec::is_empty)).await;
        to_come.borrow().clone()
    }
}

impl fmt::Display for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, with: _, times, then } = self;
        write!(f, "{then:?} after {after} #{times}")
    }
}

/// What the deeds of others need.
pub struct Deeds {
    ledger: Arc<Ledger>,
    cloud: Cloud,
    store: s3::Store,
    prefix: String,
    source: Option<String>,
    programs: Programs,
    published: Published,
    machine: Arc<Machine>,
}

impl Stage {
    pub(super) fn deeds(&self) -> Deeds {
        Deeds {
            ledger: Arc::clone(&self.ledger),
            cloud: self.cloud.clone(),
            store: self.store.clone(),
            prefix: self.prefix.clone(),
            source: self.source.as_ref().map(|source| source.bucket.clone()),
            programs: self.programs.clone(),
            published: Arc::clone(&self.published),
            machine: Arc::clone(&self.machine),
        }
    }

    /// Begins to wait for the calls after which the scene's deeds are done.
    pub(super) fn expect_deeds(&mut self) {
        for deed in self.scene.meanwhile.clone() {
            self.to_come.expect(deed.to_string());
            let (deeds, to_come) = (self.deeds(), Arc::clone(&self.to_come));
            self.others.spawn(async move {
                let name = deed.to_string();
                meanwhile(deed, deeds).await;
                to_come.done(&name);
            });
        }
    }

    /// Waits until everything that others were to do is done; a sentence for each deed that is not.
    pub async fn deeds_done(&self, patience: Duration) -> Vec<String> {
        let undone = self.to_come.all_done(patience).await;
        undone.iter().map(|deed| format!("it never came to {deed}")).collect()
    }

    /// Somebody else's deed, now.
    pub async fn perform(&self, deed: &Deed) {
        self.deeds().perform(deed.clone()).await;
    }

    /// The old owner, which the group ends, does its last duties.
    pub async fn retire(&self, backup: Option<&str>) -> Result<()> {
        self.deeds().retire(backup).await
    }
}

/// Waits until the world has seen the call often enough, and does the deed.
async fn meanwhile(what: Meanwhile, deeds: Deeds) {
    let Meanwhile { after, with, times, then } = what;
    let seen_enough = || {
        let events = deeds.ledger.events();
        let matching = events.iter().filter(|seen| is_call(&seen.event, &after, &with));
        u64::try_from(matching.count()).unwrap_or(u64::MAX) >= times
    };
    while !seen_enough() {
        tokio::time::sleep(LOOK).await;
    }
    deeds.perform(then).await;
}

impl Deeds {
    /// Does the deed; that it could not be done is marked in the ledger, and fails the case.
    async fn perform(&self, deed: Deed) {
        if let Err(error) = self.act(deed).await {
            self.ledger.record(Event::Mark { what: format!("the world failed: {error:#}") });
        }
    }

    async fn act(&self, deed: Deed) -> Result<()> {
        match deed {
            Deed::Publish { backup, generation } => self.publish(&backup, generation),
            Deed::PutObject { key, text } => {
                self.store.put(BUCKET, &key, text.as_bytes())?;
                Ok(())
            }
            Deed::RemoveObject { key } => {
                ensure!(self.store.read(BUCKET, &key).is_some(), "there is no {key} to be removed");
                self.store.delete(BUCKET, &key);
                Ok(())
            }
            Deed::Script { script } => scene::script(&self.machine, &script).await,
            Deed::TerminateOldOwner => {
                self.cloud.terminate(OLD);
                Ok(())
            }
            Deed::RetireOldOwner { backup } => {
                self.cloud.terminate_in_group(OLD);
                self.retire(backup.as_deref()).await
            }
            Deed::DetachEni => {
                ensure!(self.cloud.wrest(ENI), "nobody has {ENI}");
                Ok(())
            }
            Deed::DemandKms => {
                self.store.demand_kms();
                Ok(())
            }
            Deed::CloseSource => {
                self.store.close(self.source.as_deref().context("there is no source")?);
                Ok(())
            }
            Deed::RevokeCredentials => {
                self.cloud.expire_credentials(NEW);
                Ok(())
            }
            Deed::BeginHook => {
                self.cloud.put(NEW, Lifecycle::PendingWait);
                Ok(())
            }
        }
    }

    fn publish(&self, backup: &str, generation: u64) -> Result<()> {
        // It reads, hashes and unpacks a chain of backups, while everything else has to be answered.
        let manifest = tokio::task::block_in_place(|| {
            let manifest =
                scene::publish_later(&self.programs, &self.store, &self.prefix, backup, generation);
            scene::tell_published(&self.store, &self.ledger);
            manifest
        })?;
        self.published.lock().unwrap_or_else(PoisonError::into_inner).insert(backup.to_owned(), manifest);
        Ok(())
    }

    /// Waits for the hook that holds the ending instance, publishes, and answers it in the old owner's name.
    async fn retire(&self, backup: Option<&str>) -> Result<()> {
        let waits = self
            .cloud
            .until(|r| r.group_of(OLD).is_some_and(|(_, member)| member.state == Lifecycle::TerminatingWait));
        tokio::time::timeout(PATIENCE, waits).await.context("no hook holds the old owner when it ends")?;
        if let Some(backup) = backup {
            self.publish(backup, LATER)?;
        }
        let mut hooks = self.cloud.spec().groups.iter().flat_map(|group| &group.hooks);
        let hook = hooks.find(|hook| hook.transition == Transition::Terminating);
        let hook = &hook.context("the group has no hook for those that end")?.name;
        let key = ActionKey::Instance(OLD.to_owned());
        let taken = self.cloud.complete(GROUP, hook, &key, Verdict::Continue, OLD);
        ensure!(taken, "the hook {hook} did not take the old owner's answer");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deed_that_is_not_done_is_told() {
        let to_come = ToCome::default();
        let moment = Duration::from_millis(1);
        assert!(to_come.all_done(moment).await.is_empty(), "nothing was to be done");
        for deed in ["one", "one", "other"] {
            to_come.expect(deed.to_owned());
        }
        to_come.done("one");
        to_come.done("other");
        assert_eq!(to_come.all_done(moment).await, ["one"]);
        to_come.done("one");
        assert!(to_come.all_done(moment).await.is_empty(), "all are done");
    }
}
