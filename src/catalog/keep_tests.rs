//! Every reason has its facts, and what is needed never goes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::super::settings::Keep;
use super::super::weigh::{Row, Standing};
use super::{Reason, decide};

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

const fn keep(last: usize, daily: usize, weekly: usize) -> Keep {
    Keep { last, daily, weekly }
}

/// A row as the rules see it.
fn plain(id: &str, completed: &str) -> Row {
    Row {
        id: id.to_owned(),
        completed: Some(at(completed)),
        chain: vec![id.to_owned()],
        files: 1,
        bytes: 1,
        objects: None,
        standing: Standing::Whole,
        latest: false,
        leased: Vec::new(),
        held_back: None,
        unprotected: BTreeMap::new(),
        wrong: Vec::new(),
    }
}

#[test]
fn every_reason_has_its_facts() {
    let mut rows = vec![
        Row { latest: true, ..plain("latest", "2026-03-31T06:00:00Z") },
        plain("last", "2026-03-31T05:00:00Z"),
        Row { held_back: Some("it leaves out A".to_owned()), ..plain("held", "2026-03-31T05:30:00Z") },
        plain("surplus", "2026-03-31T04:00:00Z"),
        plain("daily", "2026-03-30T05:00:00Z"),
        plain("same-day", "2026-03-30T04:00:00Z"),
        // A Sunday: the ISO week before that of Monday, the 30th.
        plain("weekly", "2026-03-29T23:59:59Z"),
        Row { standing: Standing::Damaged, ..plain("damaged", "2026-03-29T01:00:00Z") },
        Row { leased: vec!["i-1".to_owned()], ..plain("leased", "2026-01-05T00:00:00Z") },
        Row { chain: vec!["base".to_owned(), "on".to_owned()], ..plain("on", "2026-03-22T12:00:00Z") },
        plain("base", "2026-03-20T00:00:00Z"),
        Row { standing: Standing::Unreadable, ..plain("strange", "2026-01-01T00:00:00Z") },
        Row { completed: None, ..plain("timeless", "2026-01-01T00:00:00Z") },
    ];
    rows.sort_by_key(|row| std::cmp::Reverse(row.completed));
    let expected = BTreeMap::from([
        ("latest", Reason::Latest),
        ("last", Reason::Last),
        ("held", Reason::Recent),
        ("surplus", Reason::Surplus),
        ("daily", Reason::Daily),
        ("same-day", Reason::Surplus),
        ("weekly", Reason::Weekly),
        ("damaged", Reason::Useless),
        ("leased", Reason::Leased("i-1".to_owned())),
        ("on", Reason::Weekly),
        ("base", Reason::BaseOf("on".to_owned())),
        ("strange", Reason::NotOurs),
        ("timeless", Reason::NotOurs),
    ]);
    let verdicts = decide(&rows, &keep(2, 2, 3));
    let seen: BTreeMap<&str, Reason> =
        verdicts.iter().map(|verdict| (verdict.id.as_str(), verdict.reason.clone())).collect();
    assert_eq!(seen, expected);
}

proptest! {
    /// Whatever lies there and whatever is to be kept: what is named, leased or needed by one that stays, stays; so do
    /// the newest good ones; and whoever asks again is answered the same.
    #[test]
    fn what_is_needed_never_goes(
        seeds in prop::collection::vec((0_u32..200, 0_usize..4, 0_u8..5, any::<bool>(), any::<bool>()), 1..24),
        last in 2_usize..5, daily in 0_usize..4, weekly in 0_usize..4,
    ) {
        let begin = at("2026-01-01T00:00:00Z");
        let mut rows: Vec<Row> = Vec::new();
        for (n, (hours, base, standing, leased, held)) in seeds.into_iter().enumerate() {
            let id = format!("b{n:02}");
            let standing = match standing {
                0 => Standing::Damaged,
                1 => Standing::Unfinished,
                _ => Standing::Whole,
            };
            let chain = match n.checked_sub(base + 1) {
                Some(base) => vec![format!("b{base:02}"), id.clone()],
                None => vec![id.clone()],
            };
            rows.push(Row {
                chain,
                standing,
                completed: begin.checked_add(Duration::from_hours(u64::from(hours) * 7)).ok(),
                leased: leased.then(|| "i-1".to_owned()).into_iter().collect(),
                held_back: held.then(|| "why".to_owned()),
                ..plain(&id, "2026-01-01T00:00:00Z")
            });
        }
        rows[0].latest = true;
        rows.sort_by(|a, b| b.completed.cmp(&a.completed).then_with(|| b.id.cmp(&a.id)));
        let keep = keep(last, daily, weekly);
        let verdicts = decide(&rows, &keep);
        prop_assert_eq!(verdicts.len(), rows.len());
        let stays: BTreeSet<&str> =
            verdicts.iter().filter(|v| !v.reason.goes()).map(|v| v.id.as_str()).collect();
        for row in &rows {
            if row.latest || !row.leased.is_empty() || row.standing == Standing::Unfinished {
                prop_assert!(stays.contains(row.id.as_str()), "{}", row.id);
            }
            if stays.contains(row.id.as_str()) {
                for link in &row.chain {
                    prop_assert!(stays.contains(link.as_str()), "{} needs {link}", row.id);
                }
            }
        }
        let good = rows.iter().filter(|row| row.standing == Standing::Whole && row.held_back.is_none());
        for row in good.take(last) {
            prop_assert!(stays.contains(row.id.as_str()), "{} is one of the newest", row.id);
        }
        // What has gone changes nothing for what is left.
        let left: Vec<Row> = rows.iter().filter(|row| stays.contains(row.id.as_str())).cloned().collect();
        prop_assert!(decide(&left, &keep).iter().all(|verdict| !verdict.reason.goes()));
    }
}
