//! Which moments are taken. Pure: from the counts of a clean run to the list of attempts.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::gate::{Counts, Point};
use crate::case::Act;

/// `[kill]` of a case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Random moments of the short form, and of the soak.
    pub random: usize,
    pub soak_random: usize,
    pub seed: u64,
    /// Only calls that begin with one of these: what this scene has beside the one of `killed-anywhere`.
    #[serde(default)]
    pub only: Vec<String>,
    /// Not a boot is struck, but an agent that serves while this command is asked of it.
    #[serde(default)]
    pub during: Vec<String>,
    /// What happens before that command is asked.
    #[serde(default)]
    pub before: Vec<Act>,
}

impl Spec {
    fn wants(&self, call: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|start| call.starts_with(start))
    }
}

/// One killed run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attempt {
    At(Point),
    /// So long after the start.
    Moment(Duration),
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(point) => point.fmt(f),
            Self::Moment(after) => write!(f, "at {} ms", after.as_millis()),
        }
    }
}

/// The kinds of call that a clean run must have shown and did not: a gate that sees none of one kind tests nothing. A
/// case that takes some calls only leaves the rest to the one that takes all.
pub fn unseen<'a>(counts: &Counts, spec: &'a Spec, kinds: &'a [&'a str]) -> Vec<&'a str> {
    let only = spec.only.iter().map(String::as_str);
    let wanted = only.chain(kinds.iter().copied().filter(|_| spec.only.is_empty()));
    wanted.filter(|kind| !counts.keys().any(|(call, _)| call.starts_with(kind))).collect()
}

/// Short: each kind of call once on each side. Soak: all that a clean run counted. Both: random moments of it.
pub fn choose(counts: &Counts, took: Duration, spec: &Spec, soak: bool) -> Vec<Attempt> {
    let mut points = BTreeSet::new();
    for ((call, when), times) in counts.iter().filter(|((call, _), _)| spec.wants(call)) {
        let last = if soak { *times } else { 1 };
        for nth in 1..=last {
            points.insert(Attempt::At(Point { call: call.clone(), when: *when, nth }));
        }
    }
    let mut seed = spec.seed;
    let moments = if soak { spec.soak_random } else { spec.random };
    for _ in 0..moments {
        let span = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        points.insert(Attempt::Moment(Duration::from_millis(next(&mut seed) % span)));
    }
    points.into_iter().collect()
}

/// SplitMix64: the same moments for the same seed.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::When;
    use super::*;

    #[test]
    fn the_short_form_takes_every_kind_and_the_soak_every_call() {
        let counts: Counts = [
            (("ec2:Attach".to_owned(), When::Before), 3),
            (("ec2:Attach".to_owned(), When::After), 3),
            (("process:nft -f".to_owned(), When::Before), 1),
        ]
        .into();
        let spec = Spec {
            random: 2,
            soak_random: 7,
            seed: 1,
            only: Vec::new(),
            during: Vec::new(),
            before: Vec::new(),
        };
        let took = Duration::from_mins(1);
        let short = choose(&counts, took, &spec, false);
        assert_eq!(short.len(), 3 + 2, "{short:?}");
        assert_eq!(short, choose(&counts, took, &spec, false), "the same seed, the same moments");
        assert_eq!(choose(&counts, took, &spec, true).len(), 7 + 7);
        let some = Spec { only: vec!["process:".to_owned()], ..spec };
        assert_eq!(choose(&counts, took, &some, false).len(), 1 + 2);
    }

    #[test]
    fn a_kind_that_a_clean_run_does_not_show_is_told() {
        let counts: Counts = [(("ec2:Attach".to_owned(), When::Before), 1)].into();
        let spec = |only: &[&str]| Spec {
            random: 0,
            soak_random: 0,
            seed: 1,
            only: only.iter().map(|start| (*start).to_owned()).collect(),
            during: Vec::new(),
            before: Vec::new(),
        };
        let rows: [(&[&str], &[&str]); 4] = [
            (&[], &["s3:"]),
            (&["ec2:"], &[]),
            (&["ec2:Detach"], &["ec2:Detach"]),
            (&["ec2:", "sts:"], &["sts:"]),
        ];
        for (only, expected) in rows {
            assert_eq!(unseen(&counts, &spec(only), &["ec2:", "s3:"]), expected, "{only:?}");
        }
    }
}
