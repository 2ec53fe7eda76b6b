//! What an answer means, in the words of `src/manifest/protocol.rs`; the same table, without strings.

use crate::events::Decided;
use crate::flaws::Flaw;
use crate::model::Model;
use crate::state::{Condition, Id, Manifest, Purpose, Writing};

/// What is written next, where the decision is to write.
pub type Decision = (Decided, Option<Condition>);

const fn only(decided: Decided) -> Decision {
    (decided, None)
}

fn over(now: Manifest) -> Decision {
    (Decided::Write, Some(Condition::Match(now)))
}

impl Model {
    /// What an agent makes of what it reads after a lost answer or a refusal.
    pub(crate) fn decide(&self, writing: &Writing, me: Id, now: Option<Manifest>) -> Decision {
        match writing.purpose {
            Purpose::TakeOver => self.decide_first(writing, me, now),
            Purpose::Renew | Purpose::Publish | Purpose::Retire => self.decide_again(writing, now),
        }
    }

    fn decide_first(&self, writing: &Writing, me: Id, now: Option<Manifest>) -> Decision {
        let nonce = writing.next.nonce;
        match (writing.own, now) {
            (_, Some(now))
                if now.owner == me && (now.nonce == nonce || self.has(Flaw::OwnWritingByInstanceOnly)) =>
            {
                only(Decided::Owned)
            }
            (None, None) => (Decided::Write, Some(Condition::Absent)),
            (Some(_), None) => only(Decided::Vanished),
            (Some(held), Some(now)) if held == now => over(now),
            (Some(held), Some(now)) if held.generation == now.generation => self.moved(now),
            (_, Some(now)) if now.owner != me => self.lost(now, Flaw::LostIsWrittenOver),
            (_, Some(now)) => self.moved(now),
        }
    }

    fn decide_again(&self, writing: &Writing, now: Option<Manifest>) -> Decision {
        let (Some(own), Some(now), next) = (writing.own, now, writing.next) else {
            return only(Decided::Vanished);
        };
        let ours = (now.owner, now.nonce) == (own.owner, own.nonce);
        if ours && now.backup == next.backup && self.has(Flaw::SameWordsAreOwn) {
            return only(Decided::Owned);
        }
        if now == own {
            return over(now);
        }
        if !ours {
            return self.lost(now, Flaw::PublishesOverOthers);
        }
        if now.backup == next.backup || self.has(Flaw::OwnNonceIsOwn) {
            return only(Decided::Owned);
        }
        only(Decided::Moved)
    }

    fn moved(&self, now: Manifest) -> Decision {
        if self.has(Flaw::MovedIsWrittenOver) { over(now) } else { only(Decided::Moved) }
    }

    fn lost(&self, now: Manifest, flaw: Flaw) -> Decision {
        if self.has(flaw) { over(now) } else { only(Decided::Lost) }
    }
}
