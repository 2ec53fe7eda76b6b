//! Calls that are held back until something has happened: a condition, where a time would be a guess about the
//! machine that plays the case.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::watch;

use super::Effect;
use crate::ledger::{Event, Ledger};

/// What a held call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// Everything that others do meanwhile is done.
    Deeds,
    /// A client got in after the call came.
    Reached,
}

/// The longest that a call is held. A case whose condition never comes fails by what it expects.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(5);

/// Where it is seen whether the conditions have come.
#[derive(Debug)]
pub struct Conditions {
    pub ledger: Arc<Ledger>,
    /// The deeds that are still to be done.
    pub deeds: watch::Receiver<Vec<String>>,
}

impl Conditions {
    /// Comes back when all that the effects wait for has happened.
    pub(super) async fn come(&self, effects: &[Effect]) {
        let since = Timestamp::now();
        for effect in effects {
            let Effect::Held { until } = effect else { continue };
            let come = async {
                match until {
                    Until::Deeds => drop(self.deeds.clone().wait_for(Vec::is_empty).await),
                    Until::Reached => self.reached(since).await,
                }
            };
            if tokio::time::timeout(PATIENCE, come).await.is_err() {
                tracing::error!(?until, "a call was held in vain");
            }
        }
    }

    async fn reached(&self, since: Timestamp) {
        let got_in =
            || self.ledger.since(since).iter().any(|seen| matches!(seen.event, Event::Reached { .. }));
        while !got_in() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Client;

    fn held(until: Until) -> [Effect; 1] {
        [Effect::Held { until }]
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_held_until_what_it_waits_for_has_come() {
        let ledger = Arc::new(Ledger::default());
        let reached = || ledger.record(Event::Reached { client: Client::Near, port: 8080 });
        let (deeds, left) = watch::channel(vec!["a deed".to_owned()]);
        let conditions = Conditions { ledger: Arc::clone(&ledger), deeds: left };
        conditions.come(&[Effect::Throttled]).await;
        // Whoever got in before the call came is no matter.
        reached();
        for until in [Until::Deeds, Until::Reached] {
            let effects = held(until);
            let mut come = std::pin::pin!(conditions.come(&effects));
            let early = tokio::time::timeout(PATIENCE / 2, &mut come).await;
            assert!(early.is_err(), "{until:?} is held");
            match until {
                Until::Deeds => drop(deeds.send(Vec::new())),
                Until::Reached => reached(),
            }
            tokio::time::timeout(LOOK * 2, come).await.expect("released");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_is_not_waited_for_for_ever() {
        let (_deeds, left) = watch::channel(vec!["never done".to_owned()]);
        let conditions = Conditions { ledger: Arc::default(), deeds: left };
        let start = tokio::time::Instant::now();
        conditions.come(&held(Until::Deeds)).await;
        assert_eq!(start.elapsed(), PATIENCE);
    }
}
