//! What there is at one moment. No strings: hundreds of thousands of these are compared.

use crate::scenarios::Budget;

/// Where an instance is: two may live at once.
pub type Place = usize;
pub const PLACES: [Place; 2] = [0, 1];

/// An instance, by its place and by how many there were in it before. Each launch is another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    pub place: u8,
    pub life: u8,
}

/// A backup, and which writes of clients it holds, a bit each. Number 0: there is none, and the database is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Backup {
    pub number: u8,
    pub data: u8,
}

/// The manifest. Two are the same object exactly if they are equal: that is its ETag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Manifest {
    pub generation: u8,
    pub owner: Id,
    pub nonce: u8,
    pub backup: Backup,
    pub renewed: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Condition {
    /// Only a flaw writes so.
    Always,
    Absent,
    Match(Manifest),
}

/// A write that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Put {
    pub from: Id,
    /// Its sender waits for the answer. A delayed write whose sender has given up, or has died, may still arrive.
    pub awaited: bool,
    pub condition: Condition,
    pub next: Manifest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    TakeOver,
    Renew,
    Publish,
    /// The last backup of a planned end.
    Retire,
}

/// What an agent is about to write: in the place of what, as it read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Writing {
    pub purpose: Purpose,
    pub own: Option<Manifest>,
    pub next: Manifest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not launched, or terminated.
    Off,
    /// It chooses, stages and claims, in any order, and then looks again.
    Booting,
    /// Verified, and still the latest at a moment when the interface was here.
    Fresh,
    /// The volume's record says what is meant; or the server has packed a backup. Nothing is sent.
    Ready(Writing),
    Sent(Writing),
    /// The answer was lost, or it was a refusal.
    Looking(Writing),
    Owner,
    Serving,
    /// Its last backup is named.
    Retired,
    /// A final cause: exit 78, which nobody starts again.
    Ended,
}

/// What the volume remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    pub generation: u8,
    pub nonce: u8,
}

/// What one run of the agent knows, and forgets when it is killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Run {
    /// The interface was seen attached here.
    pub claimed: bool,
    /// The manifest as it was read when the data was chosen.
    pub held: Option<Option<Manifest>>,
    /// The data on the volume was not touched.
    pub kept: bool,
    /// Nobody may write: the runbook's closed door, the server's read-only mode.
    pub resting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    pub life: u8,
    pub phase: Phase,
    pub run: Run,
    pub door: bool,
    /// Which writes its server holds.
    pub data: u8,
    pub record: Option<Record>,
    /// How many nonces it has drawn.
    pub nonces: u8,
    /// It was told that another is the owner, and has not become it again.
    pub lost: bool,
}

impl Instance {
    pub const fn off(life: u8) -> Self {
        let run = Run { claimed: false, held: None, kept: false, resting: false };
        Self { life, phase: Phase::Off, run, door: false, data: 0, record: None, nonces: 0, lost: false }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub pointer: Option<Manifest>,
    /// Sorted: their order means nothing.
    pub puts: Vec<Put>,
    /// Who has the interface, a bit each. EC2 gives it to one.
    pub holders: u8,
    pub instances: [Instance; 2],
    /// How many backups were begun.
    pub backups: u8,
    /// Which writes were acknowledged.
    pub acknowledged: u8,
    /// What may still happen.
    pub left: Budget,
    /// A write that arrived put an older generation or backup in the place of a newer one.
    pub went_back: bool,
    /// A write that arrived was not its owner's.
    pub foreign: bool,
}

pub const fn bit(place: Place) -> u8 {
    1 << place
}

impl State {
    pub fn id(&self, place: Place) -> Id {
        Id { place: u8::from(place != 0), life: self.instances[place].life }
    }

    pub const fn attached(&self, place: Place) -> bool {
        self.holders & bit(place) != 0
    }

    /// Whether clients get in.
    pub fn exposed(&self, place: Place) -> bool {
        self.instances[place].phase != Phase::Off && self.instances[place].door && self.attached(place)
    }

    pub fn add(&mut self, put: Put) {
        let at = self.puts.partition_point(|other| *other < put);
        self.puts.insert(at, put);
    }

    /// Whoever sent something from here does not wait for it any more.
    pub fn orphan(&mut self, place: Place) {
        let id = self.id(place);
        for put in self.puts.iter_mut().filter(|put| put.from == id) {
            put.awaited = false;
        }
        self.puts.sort_unstable();
    }
}
