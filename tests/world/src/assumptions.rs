//! What the world claims about the real services, and how we know it.
//!
//! Each double owns a `BEHAVIOURS` table beside its code; `world --assumptions` prints all of them.

use std::fmt;

/// How we know that the real service behaves like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The service's own documentation says so; the source is named.
    Documented(&'static str),
    /// A real service or server was recorded doing it; the recording is named.
    Recorded(&'static str),
    /// Nobody wrote it down; the reason says why it is plausible.
    Assumed(&'static str),
}

/// One behaviour of one double.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// Dotted and unique: `ec2.attach.in-use`.
    pub name: &'static str,
    /// What the double does, in one sentence.
    pub what: &'static str,
    pub known: Known,
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tag, source) = match self.known {
            Known::Documented(source) => ("documented", source),
            Known::Recorded(source) => ("recorded", source),
            Known::Assumed(source) => ("assumed", source),
        };
        write!(f, "{tag:<10}  {:<40}  {}  [{source}]", self.name, self.what)
    }
}

/// All that the doubles claim, service by service.
pub fn all() -> impl Iterator<Item = &'static Behaviour> {
    let tables = [
        crate::endpoint::BEHAVIOURS,
        crate::iam::BEHAVIOURS,
        crate::cloud::BEHAVIOURS,
        crate::ec2::BEHAVIOURS,
        crate::autoscaling::BEHAVIOURS,
        crate::imds::BEHAVIOURS,
        crate::secrets::BEHAVIOURS,
        crate::sts::BEHAVIOURS,
        crate::s3::BEHAVIOURS,
        crate::registry::BEHAVIOURS,
        crate::vpc::BEHAVIOURS,
        crate::machine::BEHAVIOURS,
    ];
    tables.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_every_source_is_named() {
        let mut names = BTreeSet::new();
        for behaviour in super::all() {
            assert!(names.insert(behaviour.name), "{} stands twice", behaviour.name);
            assert!(!behaviour.to_string().contains("[]"), "{} has no source", behaviour.name);
        }
    }
}
