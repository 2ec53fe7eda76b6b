//! What to do about the container that is there, or is not: a pure function of what was seen.

use std::fmt;

/// What Docker has under our name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Absent,
    Here {
        id: String,
        /// The hash in our label; `None`: not made by this program.
        hash: Option<String>,
        state: Life,
    },
}

/// Docker's states, as far as they matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Running,
    /// Created and never started, or ended.
    Stopped,
    /// Paused, dead, being removed, restarting.
    Odd,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    Create,
    /// Runs already, as it would be made now.
    Adopt {
        id: String,
    },
    /// As it would be made now, but does not run: a reboot, or a run that was killed before the start.
    Start {
        id: String,
    },
    Replace {
        id: String,
        why: &'static str,
    },
    RefuseNotOurs,
}

pub fn decide(seen: &Seen, wanted: &str) -> Plan {
    let Seen::Here { id, hash, state } = seen else { return Plan::Create };
    let id = id.clone();
    match (hash.as_deref(), state) {
        (None, _) => Plan::RefuseNotOurs,
        (Some(hash), _) if hash != wanted => {
            Plan::Replace { id, why: "it was made from another specification" }
        }
        (Some(_), Life::Running) => Plan::Adopt { id },
        (Some(_), Life::Stopped) => Plan::Start { id },
        (Some(_), Life::Odd) => Plan::Replace { id, why: "it neither runs nor can be started" },
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create => f.write_str("creates the container"),
            Self::Adopt { .. } => f.write_str("goes on with the container that runs"),
            Self::Start { .. } => f.write_str("starts the container that is there"),
            Self::Replace { why, .. } => write!(f, "replaces the container: {why}"),
            Self::RefuseNotOurs => f.write_str("refuses: a container of that name is not ours"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_has_its_facts() {
        let here = |hash: Option<&str>, state| Seen::Here {
            id: "c".to_owned(),
            hash: hash.map(str::to_owned),
            state,
        };
        let id = || "c".to_owned();
        let other = Plan::Replace { id: id(), why: "it was made from another specification" };
        let rows = [
            (Seen::Absent, Plan::Create),
            (here(Some("h"), Life::Running), Plan::Adopt { id: id() }),
            (here(Some("h"), Life::Stopped), Plan::Start { id: id() }),
            (
                here(Some("h"), Life::Odd),
                Plan::Replace { id: id(), why: "it neither runs nor can be started" },
            ),
            (here(Some("x"), Life::Running), other.clone()),
            (here(Some("x"), Life::Stopped), other),
            (here(None, Life::Running), Plan::RefuseNotOurs),
            (here(None, Life::Stopped), Plan::RefuseNotOurs),
        ];
        for (seen, expected) in &rows {
            assert_eq!(decide(seen, "h"), *expected, "{seen:?}");
        }
        crate::tests::rows::every_variant!(
            rows.map(|(_, expected)| expected),
            crate::container::Plan { Create, Adopt, Start, Replace, RefuseNotOurs }
        );
    }
}
