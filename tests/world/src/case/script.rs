//! What happens in a case: acts, in their order, and deeds of others beside them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::cloud::Order;
use crate::ledger::Client;

/// A deed of somebody else, done when the world has seen a call for the n-th time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meanwhile {
    /// `service:Operation`, with parameters that must contain these texts.
    pub after: String,
    #[serde(default)]
    pub with: BTreeMap<String, String>,
    #[serde(default = "once")]
    pub times: u64,
    pub then: Deed,
}

const fn once() -> u64 {
    1
}

/// The generation of a backup that an owner publishes who has published before: above all that the scenes begin with.
pub const LATER: u64 = 7;

const fn later() -> u64 {
    LATER
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Deed {
    /// The old owner publishes this backup, as this generation.
    Publish {
        backup: String,
        #[serde(default = "later")]
        generation: u64,
    },
    /// Somebody writes an object into the bucket.
    PutObject { key: String, text: String },
    /// Somebody removes an object of the bucket.
    RemoveObject { key: String },
    /// Somebody runs a script on the machine.
    Script { script: String },
    /// The old owner is terminated: it shuts down, and the ENI becomes free.
    TerminateOldOwner,
    /// The group ends the old owner, which publishes this backup and answers its own hook before it goes.
    RetireOldOwner { backup: Option<String> },
    /// An operator takes the interface from the instance that has it, which lives on.
    DetachEni,
    /// The bucket's policy refuses from now on what is not to be encrypted by KMS.
    DemandKms,
    /// The owner of the bucket that `restore.from` names lets nobody read it any more.
    CloseSource,
    /// The credentials that the instance has are revoked; the metadata service has new ones.
    RevokeCredentials,
    /// The group, which was slow, comes to the hook of the new instance.
    BeginHook,
}

/// When an agent that stays has done what the next acts wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    #[default]
    Serving,
    Prepared,
}

impl Until {
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Prepared => "prepared",
        }
    }
}

/// What happens, in order.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// The agent runs as a service manager would run it: again after 75, until it serves or refuses.
    Run {
        /// What its report must say, where it is not the last run.
        ends: Option<String>,
        /// Calls that it must not have made.
        #[serde(default)]
        without: Vec<String>,
    },
    /// `plan`, which must change nothing and say these texts.
    Plan {
        #[serde(default)]
        says: Vec<String>,
    },
    /// The same as `run`, without `--once`; it stays while the next acts happen.
    Stay {
        #[serde(default)]
        until: Until,
    },
    /// The same, and the next acts wait for nothing: they happen while it boots.
    Start,
    /// The agent that was started serves now.
    Serves,
    /// The agent that stays ends by itself, to be tried again; it is started again, and stays once it serves.
    Restarted,
    /// The agent that stays gets SIGTERM, as from `systemctl stop`: it says so to systemd, and ends with 0.
    Stop,
    /// Mains off; the disks and the root volume stay. Boots again, door closed early as the unit does.
    PowerCut,
    /// An orderly reboot.
    Reboot,
    /// Somebody stops and starts the instance by EC2: another host, a blank instance store.
    StopStart,
    /// EC2's root volume replacement: a fresh root volume, the disks stay.
    ReplaceRoot,
    /// The group takes the instance out of its warm pool, once it rests there.
    PutToWork,
    /// The group replaces the old owner by the new instance; in the order `launch-first` the old one stays until
    /// somebody else ends it.
    Replace {
        order: Order,
        /// The old owner's last backup, in the order `terminate-first`.
        backup: Option<String>,
    },
    /// Another instance is launched, on a machine of its own; from here on the acts are about that one. In the order
    /// `terminate-first` the group replaces the one before by it; in the order `launch-first` somebody has raised the
    /// group's desired capacity, and the one before lives on, and its agent.
    Succeed { order: Order },
    /// An act about the instance that was there before.
    Former { act: Box<Act> },
    /// The agent that stays ends by itself, to be tried again, and nobody starts it.
    Ends,
    /// The clients look: their statuses must be these (0: no connection).
    Look { near: u16, far: u16, stranger: u16 },
    /// A program of the checkout runs in a client's namespace, in the interpreter that WORLD_PYTHON names.
    User {
        name: String,
        client: Client,
        program: PathBuf,
        #[serde(default)]
        arguments: Vec<String>,
    },
    /// Waits until something goes well for it that begins from here on.
    UserGoesOn { name: String },
    /// It is told to end: it looks once more, and must have found all as it should be.
    UserEnds { name: String },
    /// Somebody else's deed, done to its end before the next act.
    Deed { deed: Deed },
    /// Waits until everything that others were to do meanwhile is done.
    DeedsDone,
    /// Waits until the world has seen the call, with parameters that contain these texts, so often since the last run
    /// began.
    Await {
        call: String,
        #[serde(default)]
        with: BTreeMap<String, String>,
        times: u64,
    },
    /// What one client gets from the server.
    Ask {
        client: Client,
        path: String,
        /// With the reader's key, or without any.
        #[serde(default = "yes")]
        key: bool,
        status: u16,
        /// Texts in the body.
        #[serde(default)]
        holds: Vec<String>,
    },
    /// Whether one client's connection to the port of the fixed address is accepted.
    Knock { client: Client, port: u16, open: bool },
    /// What Docker shows of the container: values by JSON pointer (`/HostConfig/NetworkMode`).
    Inspect { is: BTreeMap<String, toml::Value> },
    /// Every command that only looks, as text and as JSON, on a node that serves; and a configuration that is refused.
    Commands,
    /// One command of the agent's program beside the one that stays: how it must end, and what it must print.
    Command {
        arguments: Vec<String>,
        #[serde(default)]
        exit: i32,
        #[serde(default)]
        says: Vec<String>,
        /// Numbers of its JSON that may not be larger.
        #[serde(default)]
        at_most: BTreeMap<String, u64>,
    },
    /// A client writes so many objects with the writer's key; the first one's number makes their ids and vectors.
    Write {
        client: Client,
        class: String,
        tenant: Option<String>,
        #[serde(default)]
        first: u64,
        objects: u64,
        /// Bytes in each that no compression makes fewer by much.
        #[serde(default)]
        noise: usize,
    },
    /// A client deletes an object or a collection with the writer's key.
    Delete { client: Client, path: String, status: u16 },
    /// Every object of a backup that the agent has made is one of a manifest's copy, each of those is there, and the
    /// backup that the pointer names has a copy.
    WholeBackups,
    /// All backups that the agent has made consist of the same files, by their names below each one's folder.
    SameLayout,
    /// What both clients count of a collection, or of one of its tenants.
    Count {
        class: String,
        #[serde(default)]
        tenant: String,
        objects: u64,
    },
    /// A script in the machine, which must end well and print these texts.
    Shell {
        script: String,
        #[serde(default)]
        says: Vec<String>,
    },
    /// A script in the machine that only looks, run again until it ends well.
    Until { script: String },
    /// Docker is stopped, as by an upgrade of its package.
    StopDocker,
    /// It is started again, with the same arguments.
    StartDocker,
    /// From now on systemd is told a line with this text so often.
    Hear { line: String, times: usize },
    /// Nothing of the agent runs for this long while the clients keep knocking.
    Wait { ms: u64 },
}

const fn yes() -> bool {
    true
}
