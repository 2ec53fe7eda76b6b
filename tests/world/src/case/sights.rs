//! What the world must have seen and heard of the last run: calls, and what systemd was told.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::Outcome;
use crate::ledger::{Event, Seen};
use crate::stage::WATCHDOG;

/// Calls to the doubles, counted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sight {
    /// `service:Operation`, or `service:*`.
    pub call: String,
    /// Parameters that must contain these texts.
    #[serde(default)]
    pub with: BTreeMap<String, String>,
    /// Exactly so often.
    pub times: Option<u64>,
    /// At least so often.
    pub at_least: Option<u64>,
    /// Only what came after systemd was told a line that holds this text.
    pub after: Option<String>,
}

/// What systemd heard, beside the rules that always hold: READY once and before the hook's answer, a STATUS for
/// each step, and never a silence as long as the watchdog.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Heard {
    /// At least so many extensions of the start's timeout before READY.
    pub extensions: u64,
    /// At least so many signs of life after the hook was answered.
    pub signs: u64,
}

/// Whether this is the call, with parameters that contain these texts.
pub fn is_call(event: &Event, call: &str, with: &BTreeMap<String, String>) -> bool {
    let Event::Call { service, operation, parameters, .. } = event else { return false };
    let named = call == format!("{service}:{operation}") || call == format!("{service}:*");
    let has = |(name, text): (&String, &String)| {
        parameters.get(name).is_some_and(|value| value.contains(text.as_str()))
    };
    named && with.iter().all(has)
}

impl Sight {
    fn fits(&self, event: &Event) -> bool {
        is_call(event, &self.call, &self.with)
    }

    /// What is not as it must be.
    fn complaint(&self, events: &[Seen]) -> Option<String> {
        let from = match &self.after {
            None => Some(0),
            Some(text) => events.iter().position(
                |seen| matches!(&seen.event, Event::Notified { line } if line.contains(text.as_str())),
            ),
        };
        let Some(from) = from else {
            return Some(format!("systemd was never told {:?}", self.after.as_deref().unwrap_or_default()));
        };
        let count = events[from..].iter().filter(|seen| self.fits(&seen.event)).count();
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let Self { call, with, times, at_least, after } = self;
        let right = match (times, at_least) {
            (Some(times), None) => count == *times,
            (None, Some(least)) => count >= *least,
            _ => return Some(format!("the sight of {call} needs either `times` or `at_least`")),
        };
        let wanted = times.map_or_else(|| format!("at least {}", at_least.unwrap_or(0)), |n| n.to_string());
        let after = after.as_ref().map(|text| format!(" after {text:?}")).unwrap_or_default();
        (!right).then(|| format!("{call} with {with:?} was seen {count} times{after}, not {wanted}"))
    }
}

pub fn complaints(sights: &[Sight], events: &[Seen]) -> Vec<String> {
    sights.iter().filter_map(|sight| sight.complaint(events)).collect()
}

/// What systemd was told, and when.
fn told(events: &[Seen]) -> Vec<(Timestamp, &str)> {
    events
        .iter()
        .filter_map(|seen| match &seen.event {
            Event::Notified { line } => Some((seen.at, line.as_str())),
            _ => None,
        })
        .collect()
}

/// How often systemd was told a line that holds this text.
pub fn times_told(events: &[Seen], text: &str) -> usize {
    told(events).into_iter().filter(|(_, line)| line.contains(text)).count()
}

/// Everything that systemd did not hear as it must. `events` are those of the last run.
pub fn unheard(heard: &Heard, outcome: &Outcome, events: &[Seen]) -> Vec<String> {
    let told = told(events);
    let mut complaints = Vec::new();
    let at =
        |text: &str| told.iter().filter(|(_, line)| *line == text).map(|(at, _)| *at).collect::<Vec<_>>();
    let (ready, signs) = (at("READY=1"), at("WATCHDOG=1"));
    if ready.len() != 1 {
        complaints.push(format!("systemd was told READY=1 {} times, not once", ready.len()));
    }
    let answered = events.iter().find(|seen| match &seen.event {
        Event::Call { operation, status: 200, .. } => operation == "CompleteLifecycleAction",
        _ => false,
    });
    let (ready, answered) = (ready.first(), answered.map(|seen| seen.at));
    if answered.is_some_and(|answered| ready.is_none_or(|ready| *ready > answered)) {
        complaints.push(format!("the hook was answered at {answered:?}, before READY=1 at {ready:?}"));
    }
    let extensions = told.iter().filter(|(at, line)| {
        line.starts_with("EXTEND_TIMEOUT_USEC=") && ready.is_some_and(|ready| at < ready)
    });
    let extensions = extensions.count() as u64;
    if extensions < heard.extensions {
        complaints.push(format!("the start was extended {extensions} times, not {}", heard.extensions));
    }
    let after = signs.iter().filter(|at| answered.is_some_and(|answered| **at > answered)).count() as u64;
    if after < heard.signs {
        complaints.push(format!("{after} signs of life after the answer, not {}", heard.signs));
    }
    for pair in signs.windows(2) {
        let silence = pair[1].duration_since(pair[0]);
        if silence.unsigned_abs() > WATCHDOG {
            complaints
                .push(format!("the watchdog heard nothing for {silence:#}: systemd would have ended it"));
        }
    }
    for step in &outcome.steps {
        let name = format!("{}: ", step.name);
        if !told.iter().any(|(_, line)| line.starts_with("STATUS=") && line.contains(&name)) {
            complaints.push(format!("no STATUS named the step {}", step.name));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::super::{StepOutcome, WorldOutcome};
    use super::*;

    fn timed(events: Vec<(i64, Event)>) -> Vec<Seen> {
        let start = Timestamp::now();
        let seen = |(ms, event)| Seen { at: start + SignedDuration::from_millis(ms), event };
        events.into_iter().map(seen).collect()
    }

    fn line(text: &str) -> Event {
        Event::Notified { line: text.to_owned() }
    }

    fn call(service: &str, operation: &str, with: &[(&str, &str)]) -> Event {
        Event::Call {
            service: service.to_owned(),
            operation: operation.to_owned(),
            caller: None,
            parameters: with.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            status: 200,
            code: None,
        }
    }

    fn outcome() -> Outcome {
        let report = serde_json::json!({ "outcome": "serving" });
        let step = |name: &str| StepOutcome {
            name: name.to_owned(),
            start_ms: 0,
            end_ms: 1,
            status: "done".to_owned(),
        };
        let mut outcome = Outcome::from_report("x", &report, WorldOutcome::default());
        outcome.steps = vec![step("claim"), step("stage")];
        outcome
    }

    fn right() -> Vec<(i64, Event)> {
        vec![
            (0, line("WATCHDOG=1")),
            (1, line("STATUS=claim: waits")),
            (2, line("STATUS=claim: waits; stage: 1 of 2")),
            (900, line("EXTEND_TIMEOUT_USEC=180000000")),
            (1000, line("WATCHDOG=1")),
            (1500, line("READY=1")),
            (1600, call("autoscaling", "CompleteLifecycleAction", &[])),
            (2000, line("WATCHDOG=1")),
        ]
    }

    #[test]
    fn each_thing_that_systemd_must_hear_is_missed() {
        let heard = Heard { extensions: 1, signs: 1 };
        assert_eq!(unheard(&heard, &outcome(), &timed(right())), Vec::<String>::new());
        let without = |at: usize| {
            let mut events = right();
            events.remove(at);
            events
        };
        let twice = || right().into_iter().chain([(2100, line("READY=1"))]).collect();
        let late = || {
            let mut events = without(5);
            events.push((1700, line("READY=1")));
            events
        };
        let silent = || {
            let mut events = right();
            events.push((9000, line("WATCHDOG=1")));
            events
        };
        let rows: [(&str, Vec<(i64, Event)>); 7] = [
            ("no STATUS named the step stage", without(2)),
            ("the start was extended 0 times", without(3)),
            ("told READY=1 0 times", without(5)),
            ("told READY=1 2 times", twice()),
            ("before READY=1", late()),
            ("0 signs of life after the answer", without(7)),
            ("the watchdog heard nothing", silent()),
        ];
        for (words, events) in rows {
            let complaints = unheard(&heard, &outcome(), &timed(events));
            assert!(complaints.iter().any(|said| said.contains(words)), "{words}: {complaints:?}");
        }
    }

    #[test]
    fn calls_are_counted_by_name_parameter_and_moment() {
        let events = timed(vec![
            (0, call("s3", "GetObject", &[("Host", "10.0.8.9")])),
            (1, line("STATUS=hold: looks")),
            (2, call("s3", "PutObject", &[("Host", "s3.world")])),
        ]);
        let sight = |text: &str| toml::from_str::<Sight>(text).expect("a sight");
        let right = [
            "call = 's3:*'\ntimes = 2",
            "call = 's3:*'\nat_least = 1",
            "call = 's3:*'\nwith = { Host = 's3.world' }\ntimes = 1",
            "call = 's3:*'\nafter = 'hold'\ntimes = 1",
            "call = 'ec2:*'\ntimes = 0",
        ];
        for text in right {
            assert_eq!(sight(text).complaint(&events), None, "{text}");
        }
        let wrong = [
            "call = 's3:*'\ntimes = 1",
            "call = 's3:*'\nat_least = 3",
            "call = 's3:GetObject'\nwith = { Host = 's3.world' }\nat_least = 1",
            "call = 's3:GetObject'\nafter = 'hold'\nat_least = 1",
            "call = 's3:*'\nafter = 'never said'\ntimes = 0",
            "call = 's3:*'",
        ];
        for text in wrong {
            assert!(sight(text).complaint(&events).is_some(), "{text}");
        }
    }
}
