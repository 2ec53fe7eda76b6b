//! Where it begins, and how often each thing may happen that nobody wants. All else happens as often as it can.

use crate::state::{Backup, Id, Instance, Manifest, Phase, Record, State};

/// How often each may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub writes: u8,
    pub backups: u8,
    pub retirements: u8,
    pub launches: [u8; 2],
    pub losses: u8,
    pub delays: u8,
    pub restarts: u8,
    pub reboots: u8,
    pub wipes: u8,
    pub terminations: u8,
    pub detaches: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// An empty bucket, and nobody there.
    Nothing,
    /// The first instance serves, and has made no backup.
    Serving,
    /// The first instance serves, and has a backup of a write.
    BackedUp,
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    pub begin: Begin,
    /// Nothing happens in it that could cost an acknowledged write.
    pub planned: bool,
    pub left: Budget,
    /// What must happen in some state of it.
    pub sometimes: &'static [&'static str],
}

const NONE: Budget = Budget {
    writes: 0,
    backups: 0,
    retirements: 0,
    launches: [0, 0],
    losses: 0,
    delays: 0,
    restarts: 0,
    reboots: 0,
    wipes: 0,
    terminations: 0,
    detaches: 0,
};

pub static SCENARIOS: [Scenario; 7] = [
    Scenario {
        name: "first-boots",
        about: "two instances find an empty bucket; answers are lost, writes delayed, the interface is taken away",
        begin: Begin::Nothing,
        planned: false,
        left: Budget { launches: [1, 1], writes: 1, losses: 1, delays: 1, restarts: 1, detaches: 1, ..NONE },
        sometimes: &["a first owner serves", "a successor serves"],
    },
    Scenario {
        name: "planned",
        about: "a node is replaced, before or after its successor is launched",
        begin: Begin::Serving,
        planned: true,
        left: Budget {
            launches: [0, 1],
            writes: 2,
            backups: 1,
            retirements: 1,
            losses: 1,
            delays: 1,
            restarts: 1,
            reboots: 1,
            ..NONE
        },
        sometimes: &["an instance retires", "a backup of a write is named", "a successor serves"],
    },
    Scenario {
        name: "planned-twice",
        about: "and its successor is replaced again, in the first one's place",
        begin: Begin::BackedUp,
        planned: true,
        left: Budget {
            launches: [1, 1],
            writes: 2,
            retirements: 2,
            losses: 1,
            delays: 1,
            restarts: 1,
            ..NONE
        },
        sometimes: &["an instance retires", "a third owner serves"],
    },
    Scenario {
        name: "reboots",
        about: "a node reboots and its agent is killed, at any point, while a successor waits",
        begin: Begin::Serving,
        planned: true,
        left: Budget {
            launches: [0, 1],
            writes: 1,
            backups: 2,
            losses: 1,
            delays: 1,
            restarts: 1,
            reboots: 2,
            ..NONE
        },
        sometimes: &["what was kept is shown again", "a backup of a write is named"],
    },
    Scenario {
        name: "robbed",
        about: "the interface is taken from a living node, and from its successor too",
        begin: Begin::Serving,
        planned: false,
        left: Budget {
            launches: [0, 1],
            writes: 1,
            backups: 1,
            restarts: 1,
            reboots: 1,
            detaches: 2,
            ..NONE
        },
        sometimes: &[
            "a successor serves",
            "what was kept is shown again",
            "somebody has lost while another serves",
            "a write is under way for which nobody waits, while another serves",
        ],
    },
    Scenario {
        name: "disk-lost",
        about: "a node is stopped and started, or ends as it is: its disk is gone, and the last backup is not",
        begin: Begin::BackedUp,
        planned: false,
        left: Budget {
            launches: [1, 1],
            writes: 1,
            backups: 1,
            losses: 1,
            delays: 1,
            wipes: 1,
            terminations: 1,
            ..NONE
        },
        sometimes: &["a backup of a write is named", "a successor serves", "a third owner serves"],
    },
    Scenario {
        name: "all-at-once",
        about: "once each: a lost answer, a delayed write, a reboot, a lost interface, an end",
        begin: Begin::Serving,
        planned: false,
        left: Budget {
            launches: [0, 1],
            writes: 1,
            retirements: 1,
            losses: 1,
            delays: 1,
            reboots: 1,
            terminations: 1,
            detaches: 1,
            ..NONE
        },
        sometimes: &[
            "a successor serves",
            "what was kept is shown again",
            "somebody has lost while another serves",
        ],
    },
];

impl Scenario {
    pub fn first(&self) -> State {
        let mut state = State {
            pointer: None,
            puts: Vec::new(),
            holders: 0,
            instances: [Instance::off(0); 2],
            backups: 0,
            acknowledged: 0,
            left: self.left,
            went_back: false,
            foreign: false,
        };
        let backup = match self.begin {
            Begin::Nothing => return state,
            Begin::Serving => Backup::default(),
            Begin::BackedUp => Backup { number: 1, data: 1 },
        };
        let owner = Id { place: 0, life: 1 };
        state.pointer = Some(Manifest { generation: 1, owner, nonce: 1, backup, renewed: 0 });
        state.instances[0] = Instance {
            phase: Phase::Serving,
            door: true,
            data: backup.data,
            record: Some(Record { generation: 1, nonce: 1 }),
            nonces: 1,
            ..Instance::off(1)
        };
        (state.holders, state.backups, state.acknowledged) = (1, backup.number, backup.data);
        state
    }
}
