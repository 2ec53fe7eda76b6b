//! Each step of a schedule, done by the real code, and compared.

use std::collections::BTreeMap;
use std::time::Duration;

use ownership_model::{
    Action, Claimed, Condition, Decided, Effect, Event, Id, Manifest, PLACES, Phase, Place, Purpose, Put,
    Refreshed, Schedule, Staged, State, Writing,
};
use tokio::task::JoinHandle;
use weaviate_provisioner::manifest::{self, Claim, Held, ManifestError, Pointer};
use weaviate_provisioner::network::{self, Attachment, AttachmentStatus, ClaimFacts, ClaimPlan, OwnerState};
use weaviate_provisioner::restore::{self, RefreshPlan, Remembered, StageFacts, StagePlan};

use super::bucket::{Bucket, Write};
use super::names;

/// Longer than any schedule's pauses: that the code gives up by itself is not played here.
const DEADLINE: Duration = Duration::from_hours(1);

type Done = Result<manifest::Claimed, ManifestError>;

/// What the real code of one instance has in its hands.
#[derive(Default)]
struct Real {
    held: Option<Held>,
    plan: Option<StagePlan>,
    /// The manifest of what was restored.
    restored: manifest::Manifest,
    own: Option<Pointer>,
    task: Option<JoinHandle<Done>>,
    done: Option<Done>,
}

struct Replay {
    bucket: Bucket,
    reals: BTreeMap<Id, Real>,
}

/// Plays it from its first step to its last; panics at the first that is not the model's.
pub async fn play(schedule: &Schedule) {
    let mut replay = Replay { bucket: Bucket::default(), reals: BTreeMap::new() };
    if let Some(pointer) = &schedule.first.pointer {
        replay.bucket.put(names::bytes(*pointer));
    }
    let mut before = &schedule.first;
    for (number, (action, event, after)) in schedule.steps.iter().enumerate() {
        let said = replay.step(before, *action, *event, after).await;
        let said = said.and_then(|()| replay.compare(after));
        if let Err(said) = said {
            let steps: Vec<_> = schedule.steps.iter().take(number + 1).map(|(a, e, _)| (a, e)).collect();
            panic!("{}, step {}: {said}\n{steps:#?}\n{before:#?}", schedule.scenario, number + 1);
        }
        before = after;
    }
    for id in replay.reals.keys().copied().collect::<Vec<_>>() {
        replay.kill(id).await;
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, real: &T, model: &T) -> Result<(), String> {
    if real == model { Ok(()) } else { Err(format!("{what}: the code has {real:?}, the model {model:?}")) }
}

fn as_write(put: &Put) -> Write {
    let etag = |manifest: Manifest| names::etag(&names::bytes(manifest));
    let condition = match &put.condition {
        Condition::Match(there) => Some(etag(*there)),
        Condition::Absent | Condition::Always => None,
    };
    (put.from, put.awaited, condition, etag(put.next))
}

impl Replay {
    fn real(&mut self, id: Id) -> &mut Real {
        self.reals.entry(id).or_default()
    }

    async fn step(
        &mut self,
        before: &State,
        action: Action,
        event: Event,
        after: &State,
    ) -> Result<(), String> {
        match action {
            Action::Choose(place) => self.choose(before, place, event).await,
            Action::Claim(place) => claim(before, place, event),
            Action::Refresh(place) => self.refresh(before, place, event).await,
            Action::TakeOver(place) | Action::Send(place) => match after.instances[place].phase {
                Phase::Sent(writing) => self.send(before.id(place), &writing).await,
                _ => Ok(()),
            },
            Action::Backup(place) | Action::Retire(place) => self.pack(before, place, event).await,
            Action::Arrive { put, lose } => self.arrive(&before.puts[put], lose, event).await,
            Action::GiveUp(place) => {
                self.bucket.give_up(before.id(place));
                self.settle(before.id(place)).await;
                Ok(())
            }
            Action::Look(place) => self.look(before.id(place), event).await,
            Action::Restart(place)
            | Action::Reboot(place)
            | Action::Wipe(place)
            | Action::Terminate(place)
            | Action::Leave(place) => {
                self.kill(before.id(place)).await;
                Ok(())
            }
            // The door, the clients, the group and the operator: nothing of this code.
            Action::Expose(_) | Action::Write(_) | Action::Launch(_) | Action::Detach => Ok(()),
        }
    }

    /// What is there after a step, for everybody.
    fn compare(&self, after: &State) -> Result<(), String> {
        let pointer = self.bucket.pointer().map(|bytes| names::etag(&bytes));
        let named = after.pointer.map(|m| names::etag(&names::bytes(m)));
        same("the pointer", &pointer, &named)?;
        let mut writes: Vec<Write> = after.puts.iter().map(as_write).collect();
        writes.sort();
        same("the writes under way", &self.bucket.writes(), &writes)?;
        for place in PLACES {
            let (id, phase) = (after.id(place), after.instances[place].phase);
            let works = self.reals.get(&id).is_some_and(|real| real.task.is_some());
            same("who works", &works, &matches!(phase, Phase::Sent(_) | Phase::Looking(_)))?;
            same("who looks", &self.bucket.looks(id), &matches!(phase, Phase::Looking(_)))?;
        }
        Ok(())
    }

    async fn read(&self, id: Id) -> Option<Pointer> {
        let store = self.bucket.store(id, false);
        manifest::read(&store, names::KEY, names::DEPLOYMENT, names::NODE).await.expect("reads")
    }

    async fn choose(&mut self, before: &State, place: Place, event: Event) -> Result<(), String> {
        let staged = self.stage(before, place).await;
        same("what was chosen", &Event::Chose(staged), &event)
    }

    async fn stage(&mut self, before: &State, place: Place) -> Staged {
        let id = before.id(place);
        let now = self.read(id).await;
        let manifest = now.as_ref().map(|pointer| &pointer.manifest);
        let remembered = before.instances[place].record.map(|record| Remembered {
            backup_id: None,
            generation: record.generation.into(),
            nonce: names::nonce(record.nonce),
            verified: true,
            // Both must come to the same here: the manifest is never gone.
            taken: false,
        });
        let plan = restore::decide_stage(&StageFacts {
            instance_id: names::instance(id),
            remembered,
            pointer: now.is_some(),
            owner: manifest.and_then(|m| m.owner.clone()),
            nonce: manifest.and_then(|m| m.nonce.clone()),
            generation: manifest.map_or(0, |m| m.generation),
            backup_id: manifest.and_then(|m| m.backup_id.clone()),
            refused: false,
        });
        let staged = match &plan {
            StagePlan::Keep { .. } => Staged::Keep,
            StagePlan::Restore { .. } => Staged::Restore,
            StagePlan::Empty => Staged::Empty,
            StagePlan::Refuse | StagePlan::RefuseGone { .. } => panic!("{plan}"),
        };
        let real = self.real(id);
        real.restored = manifest.cloned().unwrap_or_default();
        real.plan = Some(plan);
        real.held = Some(now.map_or(Held::Nothing, |pointer| Held::Pointer(Box::new(pointer))));
        staged
    }

    async fn refresh(&mut self, before: &State, place: Place, event: Event) -> Result<(), String> {
        let id = before.id(place);
        let now = self.read(id).await;
        let real = self.real(id);
        let (Some(held), Some(plan)) = (&real.held, &real.plan) else {
            return Err("nothing chosen".to_owned());
        };
        let refreshed = match restore::decide_refresh(held, now.as_ref(), plan, &real.restored) {
            RefreshPlan::Unchanged => Refreshed::Unchanged,
            RefreshPlan::Follow => {
                real.held = now.map(|pointer| Held::Pointer(Box::new(pointer)));
                Refreshed::Follow
            }
            RefreshPlan::Again => Refreshed::Again(self.stage(before, place).await),
            RefreshPlan::Vanished => return Err("the manifest is gone".to_owned()),
        };
        same("what was refreshed", &Event::Refreshed(refreshed), &event)
    }

    async fn pack(&mut self, before: &State, place: Place, event: Event) -> Result<(), String> {
        let id = before.id(place);
        let own = self.read(id).await;
        let record = before.instances[place].record;
        let ours = own.as_ref().is_some_and(|own| {
            own.manifest.owner == Some(names::instance(id))
                && own.manifest.nonce == record.map(|record| names::nonce(record.nonce))
        });
        self.real(id).own = own;
        same("whose it is", &ours, &matches!(event, Event::Packed(_)))
    }

    async fn send(&mut self, id: Id, writing: &Writing) -> Result<(), String> {
        let store = self.bucket.store(id, true);
        let next = names::manifest(writing.next);
        let real = self.real(id);
        let own = match (writing.purpose, &real.held) {
            (Purpose::Publish | Purpose::Retire, _) => real.own.clone(),
            (_, Some(Held::Pointer(pointer))) => Some((**pointer).clone()),
            _ => None,
        };
        let work: std::pin::Pin<Box<dyn Future<Output = Done>>> = match (writing.purpose, own) {
            (Purpose::TakeOver, _) => {
                let held = real.held.clone().ok_or("nothing held")?;
                let nonce = names::nonce(writing.next.nonce);
                let claim = Claim { instance_id: names::instance(id), nonce };
                Box::pin(async move {
                    manifest::publish(&store, names::KEY, &held, &next, &claim, DEADLINE).await
                })
            }
            (Purpose::Renew, Some(own)) => {
                Box::pin(async move { manifest::renew(&store, &own, DEADLINE).await })
            }
            (Purpose::Publish | Purpose::Retire, Some(own)) => {
                Box::pin(async move { manifest::publish_again(&store, &own, &next, DEADLINE).await })
            }
            (purpose, None) => return Err(format!("{purpose:?} of nothing")),
        };
        real.done = None;
        real.task = Some(tokio::task::spawn_local(work));
        self.settle(id).await;
        Ok(())
    }

    async fn arrive(&mut self, put: &Put, lose: bool, event: Event) -> Result<(), String> {
        let took = self.bucket.arrive(&as_write(put), lose);
        let effect = match event {
            Event::Answered(_) | Event::AnswerLost(_, Effect::Took) | Event::Late(Effect::Took) => true,
            Event::Refused(_) | Event::AnswerLost(_, Effect::None) | Event::Late(Effect::None) => false,
            other => return Err(format!("{other:?} of a write")),
        };
        same("the effect", &took, &effect)?;
        if !put.awaited {
            return Ok(());
        }
        self.settle(put.from).await;
        if let Event::Answered(_) = event { self.ended(put.from, Decided::Owned) } else { Ok(()) }
    }

    async fn look(&mut self, id: Id, event: Event) -> Result<(), String> {
        self.bucket.look(id);
        self.settle(id).await;
        match event {
            // That it is under way again, the comparison sees.
            Event::Looked(_, Decided::Write) => Ok(()),
            Event::Looked(_, decided) => self.ended(id, decided),
            other => Err(format!("{other:?} of a look")),
        }
    }

    /// How the real call has ended.
    fn ended(&mut self, id: Id, wanted: Decided) -> Result<(), String> {
        let pointer = self.bucket.pointer().map(|bytes| names::etag(&bytes));
        let decided = match self.real(id).done.take().ok_or("it has not ended")? {
            Ok(claimed) => {
                same("the ETag that it has now", &Some(claimed.etag), &pointer)?;
                Decided::Owned
            }
            Err(ManifestError::Lost { .. }) => Decided::Lost,
            Err(ManifestError::Moved { .. }) => Decided::Moved,
            Err(ManifestError::Vanished { .. }) => Decided::Vanished,
            Err(error) => return Err(format!("another end: {error}")),
        };
        same("the end", &decided, &wanted)
    }

    /// Until the call waits for the bucket, or has ended.
    async fn settle(&mut self, id: Id) {
        let bucket = self.bucket.clone();
        let real = self.real(id);
        while let Some(task) = &mut real.task
            && !bucket.waits(id)
        {
            tokio::select! {
                biased;
                done = task => {
                    real.done = Some(done.expect("no panic"));
                    real.task = None;
                }
                () = bucket.changed.notified() => {}
            }
        }
    }

    /// The process is gone, and all that it waited for.
    async fn kill(&mut self, id: Id) {
        if let Some(real) = self.reals.remove(&id)
            && let Some(task) = real.task
        {
            task.abort();
            drop(task.await);
        }
    }
}

/// The interface as EC2 shows it, through the claim's own decision.
fn claim(before: &State, place: Place, event: Event) -> Result<(), String> {
    let holder = PLACES.into_iter().find(|other| before.attached(*other));
    let attachment = holder.map(|holder| Attachment {
        id: "eni-attach-1".to_owned(),
        instance: Some(names::instance(before.id(holder))),
        status: AttachmentStatus::Attached,
        device_index: 1,
        delete_on_termination: false,
    });
    let facts = ClaimFacts {
        me: names::instance(before.id(place)),
        available: attachment.is_none(),
        attachment,
        owner: OwnerState::Running,
        dead_before: 0,
    };
    let plan = network::decide_claim(&facts);
    let fits = match event {
        Event::Claimed(Claimed::Kept) => facts.attached_here() && matches!(plan, ClaimPlan::Keep { .. }),
        Event::Claimed(Claimed::Closed) => !facts.attached_here(),
        Event::Claimed(Claimed::Attached) => !facts.attached_here() && plan == ClaimPlan::Attach,
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("the claim: the code would {plan}, the model has {event:?}")) }
}
