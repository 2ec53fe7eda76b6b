//! What a look at the server's container means: a pure function of what was seen and what was exposed.

use std::fmt;

use crate::container::{Now, Sight};
use crate::disk::ServerProcess;

/// One look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Docker did not answer.
    Silent,
    Container(Sight),
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// What was verified runs behind the door.
    Rest,
    /// The server may live on without Docker (live-restore), and whatever came to it is seen once Docker is back:
    /// a restart of it takes seconds.
    AwaitDocker,
    /// Frozen by somebody who will go on (`docker commit` does both by itself). Nobody is answered, but what is
    /// behind the door is what was verified; a restart would kill a server that only rests.
    AwaitUnpause,
    /// What is behind the door, if anything is, nobody has verified.
    Close(Lost),
}

/// What became of the process that was exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    Ended {
        code: i64,
        oom: bool,
    },
    /// Its container was removed.
    Gone,
    /// Its container was started again, by somebody else.
    Another,
}

pub fn decide(seen: &Seen, exposed: &ServerProcess) -> Plan {
    match seen {
        Seen::Silent => Plan::AwaitDocker,
        Seen::Container(Sight::Gone) => Plan::Close(Lost::Gone),
        Seen::Container(Sight::Here { life: Now::Ended { code, oom }, .. }) => {
            Plan::Close(Lost::Ended { code: *code, oom: *oom })
        }
        Seen::Container(Sight::Here { started, .. }) if *started != exposed.started => {
            Plan::Close(Lost::Another)
        }
        Seen::Container(Sight::Here { life: Now::Paused, .. }) => Plan::AwaitUnpause,
        Seen::Container(Sight::Here { life: Now::Runs, .. }) => Plan::Rest,
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rest => "the server runs on",
            Self::AwaitDocker => "Docker does not answer: the door stays open, for a server that may live on",
            Self::AwaitUnpause => "somebody has paused the server: nobody is answered until it goes on",
            Self::Close(_) => "closes the door: what was verified does not run any more",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_has_its_facts() {
        let exposed = ServerProcess { container: "c".to_owned(), started: "then".to_owned() };
        let here = |started: &str, life| Seen::Container(Sight::Here { started: started.to_owned(), life });
        let ended = |code, oom| Now::Ended { code, oom };
        let closed = |code, oom| Plan::Close(Lost::Ended { code, oom });
        let rows = [
            (here("then", Now::Runs), Plan::Rest),
            (Seen::Silent, Plan::AwaitDocker),
            (here("then", Now::Paused), Plan::AwaitUnpause),
            (here("then", ended(137, true)), closed(137, true)),
            // In order as well: Docker was restarted, or somebody stopped it.
            (here("then", ended(0, false)), closed(0, false)),
            // Started again by somebody, and ended again: how it ended says more.
            (here("later", ended(2, false)), closed(2, false)),
            (here("later", Now::Runs), Plan::Close(Lost::Another)),
            (here("later", Now::Paused), Plan::Close(Lost::Another)),
            (Seen::Container(Sight::Gone), Plan::Close(Lost::Gone)),
        ];
        for (seen, expected) in &rows {
            assert_eq!(decide(seen, &exposed), *expected, "{seen:?}");
        }
        crate::tests::rows::every_variant!(
            rows.map(|(_, expected)| expected),
            crate::watch::decide::Plan { Rest, AwaitDocker, AwaitUnpause, Close }
        );
    }
}
