//! Which backups stay, and why: the rules, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::settings::Keep;
use super::weigh::{Row, Standing};

/// Why a backup stays, or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The manifest names it.
    Latest,
    /// This instance reads it at the moment.
    Leased(String),
    /// This one is built on it, and stays.
    BaseOf(String),
    Last,
    Daily,
    Weekly,
    /// Damaged, held back or without checksums: not counted among the good ones, and kept as long as the oldest of
    /// those that `keep.last` keeps.
    Recent,
    /// Not made, finished or adopted by this program: never removed.
    NotOurs,
    Surplus,
    /// Damaged, held back or without checksums, and older than the ones that stay.
    Useless,
}

impl Reason {
    pub const fn goes(&self) -> bool {
        match self {
            Self::Surplus | Self::Useless => true,
            Self::Latest
            | Self::Leased(_)
            | Self::BaseOf(_)
            | Self::Last
            | Self::Daily
            | Self::Weekly
            | Self::Recent
            | Self::NotOurs => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("the manifest names it"),
            Self::Leased(instance) => write!(f, "{instance} is restoring it"),
            Self::BaseOf(id) => write!(f, "{id} is built on it"),
            Self::Last => f.write_str("one of the newest"),
            Self::Daily => f.write_str("the newest of its day"),
            Self::Weekly => f.write_str("the newest of its week"),
            Self::Recent => f.write_str("not whole, or held back, and recent"),
            Self::NotOurs => f.write_str("no manifest of ours knows it: left alone"),
            Self::Surplus => f.write_str("newer ones of its day and week stay"),
            Self::Useless => f.write_str("not whole, or held back, and older than those that stay"),
        }
    }
}

/// What becomes of one backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub id: String,
    pub bytes: u64,
    pub reason: Reason,
}

/// One verdict for each row, in their order: the newest first.
pub fn decide(rows: &[Row], keep: &Keep) -> Vec<Verdict> {
    let mut reasons: BTreeMap<&str, Reason> = BTreeMap::new();
    let ours = |row: &&Row| match row.standing {
        Standing::Whole | Standing::Damaged => row.completed.is_some(),
        Standing::WithoutManifest | Standing::Unfinished | Standing::Unreadable => false,
    };
    let good: Vec<&Row> = rows
        .iter()
        .filter(ours)
        .filter(|row| row.standing == Standing::Whole && row.held_back.is_none())
        .collect();
    // The strongest reason is told.
    for row in rows {
        let reason = if row.latest {
            Some(Reason::Latest)
        } else if let Some(instance) = row.leased.first() {
            Some(Reason::Leased(instance.clone()))
        } else if !ours(&row) {
            Some(Reason::NotOurs)
        } else {
            None
        };
        if let Some(reason) = reason {
            reasons.insert(&row.id, reason);
        }
    }
    let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date().to_string();
    let week = |at: Timestamp| {
        let week = at.to_zoned(TimeZone::UTC).date().iso_week_date();
        format!("{}-{}", week.year(), week.week())
    };
    for &row in good.iter().take(keep.last) {
        reasons.entry(&row.id).or_insert(Reason::Last);
    }
    first_of(&good, &mut reasons, keep.daily, &Reason::Daily, day);
    first_of(&good, &mut reasons, keep.weekly, &Reason::Weekly, week);
    let oldest = good.iter().take(keep.last).next_back().and_then(|row| row.completed);
    for row in rows.iter().filter(ours) {
        if reasons.contains_key(row.id.as_str()) {
            continue;
        }
        let good = row.standing == Standing::Whole && row.held_back.is_none();
        let reason = match (good, row.completed >= oldest) {
            (true, _) => Reason::Surplus,
            (false, true) => Reason::Recent,
            (false, false) => Reason::Useless,
        };
        reasons.insert(&row.id, reason);
    }
    bases(rows, &mut reasons);
    rows.iter()
        .map(|row| Verdict {
            id: row.id.clone(),
            bytes: row.bytes,
            reason: reasons.remove(row.id.as_str()).unwrap_or(Reason::NotOurs),
        })
        .collect()
}

/// The newest of each time that `of` tells apart, for so many of them.
fn first_of<'a>(
    good: &[&'a Row],
    reasons: &mut BTreeMap<&'a str, Reason>,
    most: usize,
    reason: &Reason,
    of: impl Fn(Timestamp) -> String,
) {
    let mut seen = BTreeSet::new();
    for &row in good {
        let Some(completed) = row.completed else { continue };
        if seen.len() < most && seen.insert(of(completed)) {
            reasons.entry(&row.id).or_insert_with(|| reason.clone());
        }
    }
}

/// Whatever one that stays is built on stays too, and what that is built on.
fn bases<'a>(rows: &'a [Row], reasons: &mut BTreeMap<&'a str, Reason>) {
    loop {
        let stays = |row: &&Row| reasons.get(row.id.as_str()).is_some_and(|reason| !reason.goes());
        let needed: Vec<(&Row, &String)> = rows
            .iter()
            .filter(stays)
            .flat_map(|row| row.chain.iter().map(move |link| (row, link)))
            .filter(|(_, link)| reasons.get(link.as_str()).is_some_and(Reason::goes))
            .collect();
        if needed.is_empty() {
            return;
        }
        for (row, base) in needed {
            reasons.insert(base, Reason::BaseOf(row.id.clone()));
        }
    }
}

#[cfg(test)]
#[path = "keep_tests.rs"]
mod tests;
