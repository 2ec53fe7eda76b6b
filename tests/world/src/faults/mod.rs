//! Faults, scripted per case and call.
//!
//! ```toml
//! [[fault]]
//! call = "ec2:AttachNetworkInterface"     # service:Operation; a `*` stands for all of either
//! with = { InstanceId = "i-new" }         # optional: only calls whose parameters contain these texts
//! after = "ec2:DescribeInstances"         # optional: counts only once this call was seen
//! from = 2                                # the first matching call that is hit, counted from 1 (default 1)
//! times = 3                               # how many calls are hit (default: all from there)
//! each = true                             # every operation is counted by itself, for a `*`
//! hits = ["ec2:CreateTags"]               # operations that must be among those hit
//! effect = { kind = "error", status = 503, code = "RequestLimitExceeded", message = "Request limit exceeded." }
//! ```
//!
//! A double asks [`Faults::hits`] once per call, before it acts, and obeys what it is told; what happens on
//! the wire (lateness, silence, resets, broken bodies) is the same for all of them and stands in [`transport`].

pub mod held;
pub mod transport;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use serde::Deserialize;

use self::held::{Conditions, Until};
use crate::kill::{Gate, When};

/// What happens to a call that a fault hits.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Effect {
    /// The answer comes this much later.
    Latency { ms: u64 },
    /// The answer comes when something has happened; until then nothing is changed.
    Held { until: Until },
    /// The service refuses in its own error format; nothing is changed.
    Error { status: u16, code: String, message: String },
    /// The service's own throttling answer (`RequestLimitExceeded`, `Throttling`, `SlowDown`); nothing is changed.
    Throttled,
    /// The service's own answer to a caller whose policy does not allow the call; nothing is changed.
    Denied,
    /// No answer ever comes, and nothing is changed.
    Silent,
    /// The connection is reset before the answer; `acted` says whether the call took effect all the same.
    Reset {
        #[serde(default)]
        acted: bool,
    },
    /// The body ends after this many bytes although the headers promised more.
    Truncated { bytes: usize },
    /// A read answers with the state before the last change.
    Stale,
    /// A read does not see the thing at all yet.
    Absent,
    /// One bit of the body is flipped, at this byte.
    Flipped { byte: usize },
}

/// One scripted fault.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub call: String,
    #[serde(default)]
    pub with: BTreeMap<String, String>,
    pub after: Option<String>,
    #[serde(default = "first")]
    pub from: u64,
    pub times: Option<u64>,
    /// Without it a line with a `*` counts all operations together, and the first ones take all the hits.
    #[serde(default)]
    pub each: bool,
    #[serde(default)]
    pub hits: Vec<String>,
    pub effect: Effect,
}

const fn first() -> u64 {
    1
}

impl Fault {
    /// Hits every such call.
    pub fn on(call: impl Into<String>, effect: Effect) -> Self {
        let (call, with, hits) = (call.into(), BTreeMap::new(), Vec::new());
        Self { call, with, after: None, from: 1, times: None, each: false, hits, effect }
    }

    fn matches(&self, service: &str, operation: &str, parameters: &BTreeMap<String, String>) -> bool {
        let Some((wanted_service, wanted_operation)) = self.call.split_once(':') else { return false };
        (wanted_service == "*" || wanted_service == service)
            && (wanted_operation == "*" || wanted_operation == operation)
            && self
                .with
                .iter()
                .all(|(name, text)| parameters.get(name).is_some_and(|v| v.contains(text.as_str())))
    }
}

/// One line of the script, with how often it has matched so far.
#[derive(Debug)]
struct Line {
    fault: Fault,
    /// Whether the call that it comes after was seen.
    open: bool,
    /// By operation where `each`, all together under "" where not.
    seen: BTreeMap<String, u64>,
}

impl Line {
    const fn new(fault: Fault) -> Self {
        let open = fault.after.is_none();
        Self { fault, open, seen: BTreeMap::new() }
    }

    /// Counts the call; the effect, if it is hit.
    fn pass(&mut self, call: &str) -> Option<Effect> {
        let fault = &self.fault;
        let seen = self.seen.entry(if fault.each { call.to_owned() } else { String::new() }).or_default();
        *seen += 1;
        let last = fault.times.map_or(u64::MAX, |times| fault.from.saturating_add(times) - 1);
        (fault.from..=last).contains(seen).then(|| fault.effect.clone())
    }

    /// What of the line did not happen.
    fn unused(&self) -> Vec<String> {
        let Fault { call, from, times, hits, .. } = &self.fault;
        let wanted = from + times.unwrap_or(1) - 1;
        let mut sentences = Vec::new();
        if self.seen.values().all(|seen| seen < from) {
            sentences.push(format!("the fault on {call} hit nothing"));
        } else {
            let few = self.seen.iter().filter(|(_, seen)| **seen < wanted);
            sentences.extend(few.map(|(operation, seen)| {
                let operation = if operation.is_empty() { call } else { operation };
                format!("the fault on {call} wanted {wanted} calls of {operation}, and saw {seen}")
            }));
        }
        let missing = hits.iter().filter(|operation| !self.seen.contains_key(*operation));
        sentences.extend(missing.map(|operation| format!("the fault on {call} never hit {operation}")));
        sentences
    }
}

/// The script of a case.
#[derive(Debug, Default)]
pub struct Faults {
    lines: Mutex<Vec<Line>>,
    gate: OnceLock<Arc<Gate>>,
    conditions: OnceLock<Conditions>,
}

impl Faults {
    pub fn new(faults: Vec<Fault>) -> Self {
        let lines = Mutex::new(faults.into_iter().map(Line::new).collect());
        Self { lines, ..Self::default() }
    }

    /// From here on the gate may kill the agent before a call acts.
    pub fn guard(&self, gate: &Arc<Gate>) {
        let _ = self.gate.set(Arc::clone(gate));
    }

    /// From here on it is seen whether what held calls wait for has come.
    pub fn watch(&self, conditions: Conditions) {
        let _ = self.conditions.set(conditions);
    }

    /// Holds a call that these effects hit until what they wait for has come. Asked before anything else is done.
    ///
    /// # Panics
    /// When a call is to be held where nothing is watched.
    pub async fn hold(&self, effects: &[Effect]) {
        if effects.iter().any(|effect| matches!(effect, Effect::Held { .. })) {
            self.conditions.get().expect("a stage is set before its calls are held").come(effects).await;
        }
    }

    /// The effects that hit this call, in the order of the script. Counts the call.
    ///
    /// # Panics
    /// When another thread panicked while it counted.
    pub fn hits(&self, service: &str, operation: &str, parameters: &BTreeMap<String, String>) -> Vec<Effect> {
        let mut effects = Vec::new();
        let call = format!("{service}:{operation}");
        if service != "registry" && self.gate.get().is_some_and(|gate| gate.pass(&call, When::Before)) {
            // Who asked is dead, and nothing of it takes effect.
            effects.push(Effect::Reset { acted: false });
        }
        for line in self.lines.lock().expect("faults are counted without panics").iter_mut() {
            if line.open && line.fault.matches(service, operation, parameters) {
                effects.extend(line.pass(&call));
            }
            line.open |= line.fault.after.as_ref() == Some(&call);
        }
        effects
    }

    /// What of the script did not happen, a sentence each: a case whose fault did not happen proves nothing.
    ///
    /// # Panics
    /// When another thread panicked while it counted.
    pub fn unused(&self) -> Vec<String> {
        let lines = self.lines.lock().expect("faults are counted without panics");
        lines.iter().flat_map(Line::unused).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(from: u64, times: Option<u64>) -> Fault {
        Fault { from, times, ..Fault::on("ec2:Attach", Effect::Throttled) }
    }

    /// Whether each of the calls is hit.
    fn hit(faults: &Faults, operations: &[&str]) -> Vec<bool> {
        operations.iter().map(|one| !faults.hits("ec2", one, &BTreeMap::new()).is_empty()).collect()
    }

    #[test]
    fn a_fault_hits_the_calls_it_names_and_no_others() {
        let rows = [
            (1, Some(2), [true, true, false]),
            (2, Some(1), [false, true, false]),
            (2, None, [false, true, true]),
        ];
        for (from, times, expected) in rows {
            let faults = Faults::new(vec![fault(from, times)]);
            assert_eq!(hit(&faults, &["Attach"; 3]), expected, "from {from}, times {times:?}");
            assert_eq!(hit(&faults, &["Detach"]), [false]);
        }
    }

    #[test]
    fn each_operation_is_counted_by_itself_where_that_is_asked_for() {
        let calls = ["Describe", "Describe", "Attach", "Attach"];
        for (each, expected) in [(false, [true, false, false, false]), (true, [true, false, true, false])] {
            let all = Fault { call: "*:*".to_owned(), each, ..fault(1, Some(1)) };
            assert_eq!(hit(&Faults::new(vec![all]), &calls), expected, "each = {each}");
        }
    }

    #[test]
    fn a_fault_may_wait_for_another_call() {
        let later =
            Fault { after: Some("ec2:Attach".to_owned()), call: "ec2:*".to_owned(), ..fault(1, Some(1)) };
        let calls = ["Describe", "Attach", "Describe", "Describe"];
        assert_eq!(hit(&Faults::new(vec![later]), &calls), [false, false, true, false]);
    }

    #[test]
    fn what_did_not_happen_is_told() {
        let each = Fault { call: "ec2:*".to_owned(), each: true, ..fault(1, Some(2)) };
        let named = Fault { hits: vec!["ec2:Attach".to_owned()], ..each.clone() };
        let rows = [
            (fault(2, None), vec!["Attach"], "the fault on ec2:Attach hit nothing"),
            (fault(2, None), vec!["Attach", "Attach"], ""),
            (
                fault(1, Some(2)),
                vec!["Attach"],
                "the fault on ec2:Attach wanted 2 calls of ec2:Attach, and saw 1",
            ),
            (each.clone(), vec!["A", "A", "B"], "the fault on ec2:* wanted 2 calls of ec2:B, and saw 1"),
            (each, vec!["A", "B", "A", "B"], ""),
            (named, vec!["A", "A"], "the fault on ec2:* never hit ec2:Attach"),
        ];
        for (fault, calls, expected) in rows {
            let faults = Faults::new(vec![fault]);
            hit(&faults, &calls);
            assert_eq!(faults.unused().join("; "), expected, "{calls:?}");
        }
    }
}
