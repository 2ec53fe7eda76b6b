//! Compares what came of a case with what it expects. Pure: each complaint is one sentence.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::run::calls;
use super::{Case, Expect, Outcome, sights};
use crate::judge::START;
use crate::ledger::{Event, Seen};
use crate::stage::Ended;

/// Everything that is not as expected.
pub fn check(
    case: &Case,
    outcome: &Outcome,
    published: &BTreeMap<String, Value>,
    last_run: &[Seen],
) -> Vec<String> {
    let Expect {
        outcome: expected,
        reason,
        details,
        warnings,
        not_warned,
        asked,
        lifecycle_action,
        backup_id,
        mode,
        steps,
        calls: counted,
        seen: sights,
        systemd,
        // `run` looks at these, which need more than the last run's events: the machine, the store, the whole ledger.
        ms_after_exit: _,
        bucket_report: _,
        order: _,
        ends: _,
        credentials,
        runs: _,
        generation: _,
        written,
    } = &case.expect;
    let mut complaints = Vec::new();
    let mut complain = |wrong: bool, what: String| {
        if wrong {
            complaints.push(what);
        }
    };
    complain(outcome.outcome != *expected, format!("ended {}, not {expected}", outcome.outcome));
    let said = outcome.reason.clone().unwrap_or_default();
    for text in reason {
        complain(!said.contains(text.as_str()), format!("the reason does not name {text:?}: {said:?}"));
    }
    complain(
        expected == "serving" && outcome.reason.is_some(),
        format!("serves, and gives a reason: {said:?}"),
    );
    for text in details {
        complain(
            !outcome.details.iter().any(|line| line.contains(text.as_str())),
            format!("no detail holds {text:?}: {:?}", outcome.details),
        );
    }
    for text in warnings {
        complain(
            !outcome.warnings.iter().any(|line| line.contains(text.as_str())),
            format!("no warning holds {text:?}: {:?}", outcome.warnings),
        );
    }
    for text in not_warned {
        let said = outcome.warnings.iter().find(|line| line.contains(text.as_str()));
        complain(said.is_some(), format!("a warning holds {text:?}: {said:?}"));
    }
    for wanted in asked {
        complain(
            !asked_early(last_run, wanted),
            format!("the server was not asked {wanted:?} before the first client got in"),
        );
    }
    complain(
        outcome.world.lifecycle_action != *lifecycle_action,
        format!("the hook got {:?}, not {lifecycle_action:?}", outcome.world.lifecycle_action),
    );
    for act in &outcome.world.forbidden {
        complain(true, format!("forbidden: {act}"));
    }
    complaints.extend(check_data(
        outcome,
        expected,
        backup_id.as_deref(),
        mode.as_deref(),
        published,
        *written,
    ));
    complaints.extend(check_steps(outcome, steps));
    complaints.extend(sights::complaints(sights, last_run));
    complaints.extend(systemd.iter().flat_map(|heard| sights::unheard(heard, outcome, last_run)));
    let seen = calls(last_run);
    for (call, times) in counted {
        let seen = seen.get(call).copied().unwrap_or_default();
        if seen != *times {
            complaints.push(format!("{call} was called {seen} times in the last run, not {times}"));
        }
    }
    let keys = access_keys(last_run);
    if let Some(wanted) = credentials.filter(|wanted| keys.len() < *wanted) {
        complaints.push(format!("S3 was called with {} credentials, not with {wanted}", keys.len()));
    }
    complaints
}

/// The access keys of an instance's role that S3 took.
fn access_keys(events: &[Seen]) -> BTreeSet<String> {
    let key = |seen: &Seen| match &seen.event {
        Event::Call { service, caller: Some(_), parameters, status: 200..300, .. } if service == "s3" => {
            parameters.get("AccessKeyId").cloned()
        }
        _ => None,
    };
    events.iter().filter_map(key).collect()
}

/// What of this was not seen after what stands before it.
pub fn in_order(wanted: &[String], events: &[Seen]) -> Option<String> {
    let mut left = wanted.iter();
    let mut next = left.next()?;
    let mut last = None;
    for Seen { event, .. } in events {
        let seen = match event {
            Event::Call { service, operation, .. } => format!("call {service}:{operation}"),
            Event::Reached { .. } => "reached".to_owned(),
            Event::State { of, to, .. } => format!("{of} {to}"),
            // Whichever machine it was.
            Event::Mark { what } if what.starts_with(START) => START.to_owned(),
            Event::Mark { what } => what.clone(),
            Event::Notified { line } => line.clone(),
            Event::Server { method, path, .. } => format!("asked {method} {path}"),
            Event::ServerStart { .. }
            | Event::Published { .. }
            | Event::DiskTouched { .. }
            | Event::Forbidden { .. } => continue,
        };
        if seen == *next {
            last = Some(seen);
            next = left.next()?;
        }
    }
    let after = last.map(|last| format!(" after {last:?}")).unwrap_or_default();
    Some(format!("the world did not see {next:?}{after}"))
}

/// Whether the service ended as its outcome says, and as often as the case expects.
pub fn check_end(expected: &Expect, outcome: &str, ended: Ended) -> Vec<String> {
    let Ended { code, runs } = ended;
    let fitting = match outcome {
        "serving" | "prepared" => 0,
        "refused" | "held" => 78,
        _ => 75,
    };
    let mut complaints = Vec::new();
    match code {
        None => complaints.push(format!("the agent did not end in time, in run {runs}")),
        Some(code) if code != fitting => {
            complaints.push(format!("the agent ended with {code}, and {outcome} is {fitting}"));
        }
        Some(_) => {}
    }
    if let Some(wanted) = expected.runs.filter(|wanted| *wanted != runs) {
        complaints.push(format!("the agent was started {runs} times, not {wanted}"));
    }
    complaints
}

/// The backup that a case means: by its id, or, where the agent makes it, the latest of those that `*` may stand for.
pub fn named(published: &BTreeMap<String, Value>, id: &str) -> Option<String> {
    if !id.contains('*') {
        return Some(id.to_owned());
    }
    published.keys().rfind(|known| crate::iam::condition::like(known, id)).cloned()
}

fn check_data(
    outcome: &Outcome,
    expected: &str,
    backup_id: Option<&str>,
    mode: Option<&str>,
    published: &BTreeMap<String, Value>,
    written: bool,
) -> Vec<String> {
    let mut complaints = Vec::new();
    let world = &outcome.world;
    let statuses = (world.near_status, world.client_status, world.stranger_status);
    if expected != "serving" {
        if statuses != (0, 0, 0) {
            complaints
                .push(format!("does not serve, and yet clients got {statuses:?} (near, far, stranger)"));
        }
        return complaints;
    }
    if statuses != (200, 200, 0) {
        complaints.push(format!("clients got {statuses:?} (near, far, stranger), not (200, 200, 0)"));
    }
    let Some(restored) = &outcome.restored else {
        complaints.push("serves, and does not say what".to_owned());
        return complaints;
    };
    let named = backup_id.and_then(|id| named(published, id));
    if restored.backup_id != named {
        complaints.push(format!("serves {:?}, not {named:?}", restored.backup_id));
    }
    if mode.is_some_and(|mode| restored.mode != mode) {
        complaints.push(format!("restored {}, not {mode:?}", restored.mode));
    }
    let lies = named.and_then(|id| published.get(&id)).map(counts).unwrap_or_default();
    if !holds(&restored.collections, &lies, written) {
        complaints.push(format!("counted {:?}, while the backup holds {lies:?}", restored.collections));
    }
    complaints
}

/// Whether the server's log tells of a request with all of these details before anybody got in.
fn asked_early(events: &[Seen], wanted: &BTreeMap<String, Value>) -> bool {
    let opened =
        events.iter().filter(|seen| matches!(seen.event, Event::Reached { .. })).map(|seen| seen.at).min();
    events.iter().any(|seen| match &seen.event {
        Event::Server { details, .. } => {
            opened.is_none_or(|opened| seen.at < opened)
                && wanted.iter().all(|(name, value)| details[name] == *value)
        }
        _ => false,
    })
}

fn check_steps(outcome: &Outcome, steps: &BTreeMap<String, String>) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, status) in steps {
        match outcome.steps.iter().find(|step| step.name == *name) {
            Some(step) if step.status == *status => {}
            Some(step) => complaints.push(format!("{name} was {}, not {status}", step.status)),
            None => complaints.push(format!("{name} did not happen, not even {status}")),
        }
    }
    complaints
}

/// What a manifest says of the objects of each collection and active tenant.
/// What is there: exactly this; where users `written` meanwhile, no less.
pub fn holds(
    there: &BTreeMap<String, BTreeMap<String, u64>>,
    held: &BTreeMap<String, BTreeMap<String, u64>>,
    written: bool,
) -> bool {
    if !written {
        return there == held;
    }
    held.iter().all(|(name, tenants)| {
        let counted = |tenant| there.get(name).and_then(|there| there.get(tenant));
        tenants.iter().all(|(tenant, least)| counted(tenant).is_some_and(|there| there >= least))
    })
}

pub fn counts(manifest: &Value) -> BTreeMap<String, BTreeMap<String, u64>> {
    let collections = manifest["collections"].as_object().into_iter().flatten();
    collections
        .map(|(name, collection)| {
            let tenants = collection["tenants"].as_object().into_iter().flatten();
            // A tenant that is not active cannot be counted.
            let active = tenants.filter(|(_, tenant)| tenant["status"] != "COLD");
            let counted =
                active.filter_map(|(tenant, what)| Some((tenant.clone(), what["objects"].as_u64()?)));
            (name.clone(), counted.collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_have_written_may_be_more_and_never_less() {
        let of =
            |article: u64| BTreeMap::from([("A".to_owned(), BTreeMap::from([(String::new(), article)]))]);
        let rows = [(3, false, true), (4, false, false), (4, true, true), (3, true, true), (2, true, false)];
        for (there, written, expected) in rows {
            assert_eq!(holds(&of(there), &of(3), written), expected, "{there} {written}");
        }
        assert!(!holds(&BTreeMap::new(), &of(0), true), "a collection is missing");
    }

    #[test]
    fn an_order_is_a_part_of_what_was_seen() {
        let mark =
            |what: &str| Seen { at: jiff::Timestamp::now(), event: Event::Mark { what: what.to_owned() } };
        let state = Event::State { of: "i-1".into(), from: "running".into(), to: "terminated".into() };
        let events = [mark("a"), Seen { at: jiff::Timestamp::now(), event: state }, mark("b"), mark("a")];
        let rows = [
            (vec![], None),
            (vec!["a", "b"], None),
            (vec!["i-1 terminated", "a"], None),
            (vec!["b", "i-1 terminated"], Some("the world did not see \"i-1 terminated\" after \"b\"")),
            (vec!["c"], Some("the world did not see \"c\"")),
        ];
        for (wanted, expected) in rows {
            let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
            assert_eq!(in_order(&wanted, &events).as_deref(), expected, "{wanted:?}");
        }
    }

    #[test]
    fn an_end_fits_its_outcome() {
        let expect = |runs| Expect {
            runs,
            ..toml::from_str::<Expect>("outcome = 'serving'").expect("an expectation")
        };
        let rows = [
            ("serving", Some(0), 1, None, 0),
            ("serving", Some(75), 1, None, 1),
            ("serving", None, 1, None, 1),
            ("prepared", Some(0), 3, Some(3), 0),
            ("refused", Some(78), 1, None, 0),
            ("held", Some(0), 1, None, 1),
            ("failed", Some(75), 9, None, 0),
            ("failed", Some(1), 2, Some(1), 2),
        ];
        for (outcome, code, runs, wanted, complaints) in rows {
            let found = check_end(&expect(wanted), outcome, Ended { code, runs });
            assert_eq!(found.len(), complaints, "{outcome} {code:?} {runs} {wanted:?}: {found:?}");
        }
    }
}
