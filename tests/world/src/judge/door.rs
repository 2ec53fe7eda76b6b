//! No client reaches the server before the world itself saw, in this boot of the machine and since the server's
//! last start, that everything was counted and that the manifest's generation belongs to this instance.
//!
//! ```text
//! server: starts, restores ─▶ counted: nothing     machine starts ─▶ everything is to be proven again
//! server: each Aggregate ───▶ counted: one more    pointer written ─▶ owner, and what has to be counted
//! a client got in ─▶ stranger? counted? ours? once ours, and told that it is lost for a while now?
//!
//! What others publish while the instance serves has to be counted by who takes it, not by who has not been told of it.
//!
//! Of several machines each has its own proof; a client that got in is behind the address, at whoever has the interface.
//! ```

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Rule;
use super::pointer::{Pointer, Shard, Write, is_pointer, write};
use crate::ledger::{Client, Event, Seen};

/// The mark that a case leaves when the machine starts: everything has to be proven again. With the instance behind it
/// where there are several.
pub const START: &str = "machine-start";
/// A container started with data that was not counted yet has to be counted again.
const RESTORE: &str = "/restore";
/// Who serves and reads that the fence is another's closes within this; the steps before that are its own.
const GRACE: SignedDuration = SignedDuration::from_secs(5);

/// What has been seen since one machine's last start; the pointer lives longer.
#[derive(Clone, Default)]
struct Proof {
    pointer: Option<Pointer>,
    /// As it was last in the instance's own name: what is served is this.
    own: Option<Pointer>,
    /// Since the server's last start, and since its last restore.
    counted: BTreeSet<Shard>,
    schema: bool,
    /// The instance that has read or written the pointer.
    consulted: Option<String>,
    /// Somebody got in by right.
    rightful: bool,
    /// When the instance was told that the pointer is another's.
    told: Option<Timestamp>,
    reported: BTreeSet<(Rule, Client, u16)>,
}

impl Proof {
    /// `own`: it is this machine that did it.
    fn see(&mut self, at: Timestamp, event: &Event, own: bool) {
        match event {
            Event::Mark { what } if what == START || own && what.starts_with(START) => {
                *self = Self { pointer: self.pointer.take(), ..Self::default() };
            }
            Event::ServerStart { .. } if own => self.nothing_counted(),
            Event::Server { method, path, status: 200, details, of: _ } if own => {
                if method == "POST" && path.ends_with(RESTORE) {
                    // Into a server whose clients are there by right: what comes back was not there, and whoever asked
                    // for it is told only when it was counted.
                    if !(self.rightful && self.all_counted()) {
                        self.nothing_counted();
                    }
                } else if method == "POST" && path == "/v1/graphql" {
                    self.counted.extend(counts(details));
                } else if method == "GET" && path == "/v1/schema" {
                    self.schema = true;
                }
            }
            _ => {}
        }
        if let Some(Write { caller, now, .. }) = write(self.pointer.as_ref(), event) {
            self.pointer = Some(now);
            if let Some(caller) = caller {
                if !own {
                    // Nobody has told it.
                    return;
                }
                self.consulted = Some(caller.to_owned());
            }
        } else if let Event::Call { service, caller: Some(caller), parameters, status: 200 | 412, .. } = event
            && service == "s3"
            && is_pointer(parameters.get("Key"))
            && own
        {
            self.consulted = Some(caller.clone());
        } else {
            return;
        }
        if self.taken() {
            self.own.clone_from(&self.pointer);
        }
        // Who is answered about the pointer knows whose it is.
        let noticed = matches!(event, Event::Call { .. }) && !self.taken();
        self.told = noticed.then(|| self.told.unwrap_or(at));
    }

    fn nothing_counted(&mut self) {
        self.counted.clear();
        self.schema = false;
    }

    /// Everything that the pointer names; the schema is enough where it names nothing.
    fn all_counted(&self) -> bool {
        let served = if self.rightful && !self.taken() { &self.own } else { &self.pointer };
        match served {
            Some(pointer) if !pointer.shards.is_empty() => pointer.shards.is_subset(&self.counted),
            Some(_) | None => self.schema,
        }
    }

    /// A generation in somebody else's name is not taken.
    fn taken(&self) -> bool {
        let owner = self.pointer.as_ref().and_then(|pointer| pointer.owner.as_ref());
        owner.is_some() && owner == self.consulted.as_ref()
    }

    /// Which rule this client's entrance breaks.
    fn judge(&mut self, at: Timestamp, client: Client, known: fn(Rule) -> bool) -> Option<Rule> {
        if client == Client::Stranger {
            return Some(Rule::DoorStranger);
        }
        if known(Rule::DoorUncounted) && !self.all_counted() {
            return Some(Rule::DoorUncounted);
        }
        if self.taken() {
            self.rightful = true;
            return None;
        }
        if !self.rightful {
            return Some(Rule::DoorUntaken);
        }
        self.told.is_some_and(|told| at.duration_since(told) > GRACE).then_some(Rule::DoorLost)
    }
}

/// What was counted by this request: one question, one object; several, a list.
fn counts(details: &Value) -> impl Iterator<Item = Shard> + '_ {
    let one = details.is_object().then_some(details);
    let all = details.as_array().into_iter().flatten().chain(one);
    all.filter(|about| about["count"].is_u64()).filter_map(|about| {
        let tenant = about["tenant"].as_str().unwrap_or_default();
        Some((about["class"].as_str()?.to_owned(), tenant.to_owned()))
    })
}

const fn why(rule: Rule) -> &'static str {
    match rule {
        Rule::DoorStranger => "its group is not allowed at all",
        Rule::DoorUncounted => "the counts had not been read",
        Rule::DoorLost => "the fence was lost, and the instance had been told",
        _ => "the generation had not been taken",
    }
}

/// One sentence for each rule, client and port of each boot that got in too early.
pub fn too_early(events: &[Seen]) -> Vec<String> {
    judged(events, |_| true)
}

/// The same where the server's requests are not seen.
pub fn too_early_from_outside(events: &[Seen]) -> Vec<String> {
    judged(events, |rule| !matches!(rule, Rule::DoorUncounted))
}

/// The instance that this event is an act of; `None`: everybody's.
fn actor(event: &Event) -> Option<&str> {
    match event {
        Event::Server { of, .. } | Event::ServerStart { of } => Some(of),
        Event::Call { service, caller: Some(caller), parameters, .. }
            if service == "s3" && is_pointer(parameters.get("Key")) =>
        {
            Some(caller)
        }
        Event::Mark { what } => what.strip_prefix(START)?.strip_prefix(' '),
        _ => None,
    }
}

/// Whom the address leads to once this has happened: a secondary interface that is attached. Primary ones are called
/// after their instances.
fn holder(event: &Event) -> Option<&str> {
    let Event::State { of, from: _, to } = event else { return None };
    let (status, instance) = to.split_once(' ')?;
    let own = of.strip_prefix("eni-") == instance.strip_prefix("i-");
    (of.starts_with("eni-") && matches!(status, "attaching" | "in-use") && !own).then_some(instance)
}

/// The machines' proofs, and which of them the address leads to.
#[derive(Default)]
struct Door {
    /// What a machine begins with.
    fresh: Proof,
    proofs: BTreeMap<String, Proof>,
    holder: Option<String>,
    /// Who acted last: the only one, where the cloud says nothing of interfaces.
    last: Option<String>,
}

impl Door {
    fn see(&mut self, at: Timestamp, event: &Event) {
        if let Some(holder) = holder(event) {
            self.holder = Some(holder.to_owned());
        }
        let actor = actor(event);
        if let Some(actor) = actor {
            self.proofs.entry(actor.to_owned()).or_insert_with(|| self.fresh.clone());
            self.last = Some(actor.to_owned());
        }
        self.fresh.see(at, event, false);
        for (instance, proof) in &mut self.proofs {
            proof.see(at, event, actor == Some(instance));
        }
    }

    fn behind(&mut self) -> &mut Proof {
        let who = self.holder.as_ref().or(self.last.as_ref());
        who.and_then(|who| self.proofs.get_mut(who)).unwrap_or(&mut self.fresh)
    }
}

fn judged(events: &[Seen], known: fn(Rule) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut door = Door::default();
    for Seen { at, event } in events {
        door.see(*at, event);
        let Event::Reached { client, port } = event else { continue };
        let proof = door.behind();
        if let Some(rule) = proof.judge(*at, *client, known)
            && proof.reported.insert((rule, *client, *port))
        {
            let who = format!("{client:?}").to_lowercase();
            found.push(format!("{rule}: a {who} client reached port {port} at {at} although {}", why(rule)));
        }
    }
    found
}
