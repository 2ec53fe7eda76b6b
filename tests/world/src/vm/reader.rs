//! Clients that read all the time and count what they are given. Whatever a client was told is right, or the case
//! fails: an answer that comes before the data is verified shows itself by its numbers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinHandle;

use crate::ledger::Client;
use crate::stage::{Counts, Site};

/// Between two rounds: a reader that never rests would be all that an emulated machine does.
const REST: Duration = Duration::from_millis(500);

/// What one round gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Round {
    Right,
    /// It answered, and not as the backup has it.
    Wrong(String),
    /// No connection, or an answer that is an error.
    Nothing(String),
}

/// What a client has seen.
#[derive(Clone, Debug)]
pub struct Sight {
    pub at: Timestamp,
    pub client: Client,
    pub round: Round,
}

/// Two readers, near and far. Dropping them stops them.
pub struct Readers {
    sights: Arc<Mutex<Vec<Sight>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Readers {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Readers {
    pub fn start(site: &Arc<Site>) -> Self {
        let sights: Arc<Mutex<Vec<Sight>>> = Arc::default();
        let read = |client| {
            let (site, sights) = (Arc::clone(site), Arc::clone(&sights));
            tokio::spawn(async move {
                loop {
                    // What is held may be another backup meanwhile: it is asked for anew.
                    if let Some(held) = site.held() {
                        let round = read(&site, client, &held).await;
                        let sight = Sight { at: Timestamp::now(), client, round };
                        sights.lock().unwrap_or_else(PoisonError::into_inner).push(sight);
                    }
                    tokio::time::sleep(REST).await;
                }
            })
        };
        let tasks = [Client::Near, Client::Far].map(read).into();
        Self { sights, tasks }
    }

    /// What was seen from this moment on.
    pub fn since(&self, moment: Timestamp) -> Vec<Sight> {
        let sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        sights.iter().filter(|sight| sight.at >= moment).cloned().collect()
    }

    /// One sentence for each answer that was wrong.
    pub fn wrong(&self) -> Vec<String> {
        let wrong = |sight: Sight| match sight.round {
            Round::Wrong(why) => Some(format!("{:?} was told wrong at {}: {why}", sight.client, sight.at)),
            Round::Right | Round::Nothing(_) => None,
        };
        self.since(Timestamp::MIN).into_iter().filter_map(wrong).collect()
    }
}

async fn read(site: &Site, client: Client, held: &Counts) -> Round {
    match site.answer(client, held).await {
        Ok(Ok(counts)) if counts == *held => Round::Right,
        Ok(Ok(counts)) => Round::Wrong(format!("{counts:?}, not {held:?}")),
        Ok(Err(answer)) => Round::Wrong(answer),
        Err(error) => Round::Nothing(format!("{error:#}")),
    }
}
