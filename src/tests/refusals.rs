//! What the rows of `docs/features.md` must be, besides the errors: read from the code's own types.

use crate::aws::Kind;
use crate::explain::Class;

/// Each plan with what acts and what refuses. The match has no `_`: a new variant must be called one or the
/// other before anything compiles, and nothing that acts may be called a refusal by its own name.
macro_rules! refusing {
    ($found:ident, $($part:ident)::+; acts: $($Acts:ident),*; refuses: $($Refuses:ident),+) => {
        fn known(plan: &crate::$($part)::+) {
            use crate::$($part)::+ as Plan;
            match plan {
                $(Plan::$Acts { .. } => {})*
                $(Plan::$Refuses { .. } => {})+
            }
        }
        let _ = known;
        $(assert!(!stringify!($Acts).starts_with("Refuse"), "{} refuses", stringify!($Acts));)*
        let path = [$(stringify!($part)),+].join("::");
        $found.extend([$(format!("{path}::{}", stringify!($Refuses))),+]);
    };
}

/// Every variant of a plan that ends the boot.
pub fn of_plans() -> Vec<String> {
    let mut found = Vec::new();
    {
        refusing!(found, network::ClaimPlan;
            acts: Keep, Protect, AwaitAttached, AwaitReleased, Attach, AwaitOwner, Confirm, Detach;
            refuses: Refuse);
    }
    {
        refusing!(found, disk::Plan;
            acts: Format, Mount, Complete, Use;
            refuses: RefuseNone, RefuseSeveral, RefuseForeign, RefuseMountpoint, RefuseBusy, RefuseRecord);
    }
    {
        refusing!(found, container::Plan; acts: Create, Adopt, Start, Replace; refuses: RefuseNotOurs);
    }
    {
        refusing!(found, restore::ChoosePlan;
            acts: UsePointer, UseCopy, UseUnverified, UseSource, StartEmpty;
            refuses: RefuseUnverified, RefuseBroken, RefuseInitialized, RefuseEmpty, RefuseSource, RefuseShare);
    }
    {
        refusing!(found, backup::InactivePlan; acts: GoOn, Activate; refuses: Refuse);
    }
    {
        refusing!(found, restore::StagePlan; acts: Keep, Restore, Empty; refuses: Refuse, RefuseGone);
    }
    {
        refusing!(found, restore::RefreshPlan; acts: Unchanged, Follow, Again; refuses: Vanished);
    }
    {
        refusing!(found, manifest::Decision; acts: Owned, Write; refuses: Lost, Moved, Vanished);
    }
    {
        refusing!(found, signal::Plan; acts: NotNeeded, AwaitHook, Complete; refuses: Refuse);
    }
    found
}

pub const KINDS: [Kind; 7] = [
    Kind::Denied,
    Kind::Throttled,
    Kind::Service,
    Kind::Unreachable,
    Kind::Clock,
    Kind::Credentials,
    Kind::Refused,
];

/// The place of a kind in [`KINDS`]: a new one does not compile until it stands there.
const fn place(kind: Kind) -> usize {
    match kind {
        Kind::Denied => 0,
        Kind::Throttled => 1,
        Kind::Service => 2,
        Kind::Unreachable => 3,
        Kind::Clock => 4,
        Kind::Credentials => 5,
        Kind::Refused => 6,
    }
}

#[test]
fn every_kind_stands_in_its_place() {
    let places: Vec<usize> = KINDS.iter().map(|kind| place(*kind)).collect();
    assert_eq!(places, (0..KINDS.len()).collect::<Vec<_>>());
}

pub fn classes() -> [String; 2] {
    [Class::Retry, Class::Final].map(|class| match class {
        Class::Retry => "explain::Class::Retry".to_owned(),
        Class::Final => "explain::Class::Final".to_owned(),
    })
}
