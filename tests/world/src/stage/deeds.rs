//! What others do while the agent works, each deed when the world has seen a call often enough.
//!
//! To add one: a variant of [`Deed`], and its arm in [`Deeds::act`].

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Programs, Published, Stage, scene};
use crate::case::{Deed, Meanwhile};
use crate::cloud::resources::Lifecycle;
use crate::cloud::spec::{GROUP, NEW, OLD, Transition, Verdict};
use crate::cloud::{ActionKey, Cloud};
use crate::ledger::{Event, Ledger};
use crate::s3;

/// The longest that a group may take to begin the end of an instance.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// What the deeds of others need.
pub struct Deeds {
    ledger: Arc<Ledger>,
    cloud: Cloud,
    store: s3::Store,
    prefix: String,
    programs: Programs,
    published: Published,
}

impl Stage {
    pub(super) fn deeds(&self) -> Deeds {
        Deeds {
            ledger: Arc::clone(&self.ledger),
            cloud: self.cloud.clone(),
            store: self.store.clone(),
            prefix: self.prefix.clone(),
            programs: self.programs.clone(),
            published: Arc::clone(&self.published),
        }
    }

    /// The old owner, which the group ends, does its last duties.
    pub async fn retire(&self, backup: Option<&str>) -> Result<()> {
        self.deeds().retire(backup).await
    }
}

/// Waits until the world has seen the call often enough, and does the deed.
pub async fn meanwhile(what: Meanwhile, deeds: Deeds) {
    let Meanwhile { after, with, times, then } = what;
    let seen_enough = || {
        let matching = deeds.ledger.events().into_iter().filter(|seen| match &seen.event {
            Event::Call { service, operation, parameters, .. } => {
                format!("{service}:{operation}") == after
                    && with.iter().all(|(name, text)| {
                        parameters.get(name).is_some_and(|value| value.contains(text.as_str()))
                    })
            }
            _ => false,
        });
        u64::try_from(matching.count()).unwrap_or(u64::MAX) >= times
    };
    while !seen_enough() {
        tokio::time::sleep(LOOK).await;
    }
    if let Err(error) = deeds.act(then).await {
        deeds.ledger.record(Event::Mark { what: format!("the world failed: {error:#}") });
    }
}

impl Deeds {
    async fn act(&self, deed: Deed) -> Result<()> {
        match deed {
            Deed::Publish { backup } => self.publish(&backup),
            Deed::TerminateOldOwner => {
                self.cloud.terminate(OLD);
                Ok(())
            }
            Deed::RetireOldOwner { backup } => {
                self.cloud.terminate_in_group(OLD);
                self.retire(backup.as_deref()).await
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

    fn publish(&self, backup: &str) -> Result<()> {
        let manifest = scene::publish_later(&self.programs, &self.store, &self.prefix, backup, 7)?;
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
            self.publish(backup)?;
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
