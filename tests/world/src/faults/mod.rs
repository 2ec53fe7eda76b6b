//! Faults, scripted per case and call.
//!
//! ```toml
//! [[fault]]
//! call = "ec2:AttachNetworkInterface"     # service:Operation; a `*` stands for all of either
//! with = { InstanceId = "i-new" }         # optional: only calls whose parameters contain these texts
//! from = 2                                # the first matching call that is hit, counted from 1 (default 1)
//! times = 3                               # how many calls are hit (default: all from there)
//! effect = { kind = "error", status = 503, code = "RequestLimitExceeded", message = "Request limit exceeded." }
//! ```
//!
//! A double asks [`Faults::hits`] once per call, before it acts, and obeys what it is told; what happens on
//! the wire (lateness, silence, resets, broken bodies) is the same for all of them and stands in [`transport`].

pub mod transport;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use serde::Deserialize;

use crate::kill::{Gate, When};

/// What happens to a call that a fault hits.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Effect {
    /// The answer comes this much later.
    Latency { ms: u64 },
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
    #[serde(default = "first")]
    pub from: u64,
    pub times: Option<u64>,
    pub effect: Effect,
}

const fn first() -> u64 {
    1
}

impl Fault {
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

/// The script of a case, with how often each line has matched so far.
#[derive(Debug, Default)]
pub struct Faults {
    lines: Mutex<Vec<(Fault, u64)>>,
    gate: OnceLock<Arc<Gate>>,
}

impl Faults {
    pub fn new(faults: Vec<Fault>) -> Self {
        Self { lines: Mutex::new(faults.into_iter().map(|f| (f, 0)).collect()), gate: OnceLock::new() }
    }

    /// From here on the gate may kill the agent before a call acts.
    pub fn guard(&self, gate: &Arc<Gate>) {
        let _ = self.gate.set(Arc::clone(gate));
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
        for (fault, seen) in self.lines.lock().expect("faults are counted without panics").iter_mut() {
            if !fault.matches(service, operation, parameters) {
                continue;
            }
            *seen += 1;
            let last = fault.times.map_or(u64::MAX, |times| fault.from.saturating_add(times) - 1);
            if (fault.from..=last).contains(seen) {
                effects.push(fault.effect.clone());
            }
        }
        effects
    }

    /// The lines that never hit anything: a case whose fault did not happen proves nothing.
    ///
    /// # Panics
    /// When another thread panicked while it counted.
    pub fn unused(&self) -> Vec<String> {
        let lines = self.lines.lock().expect("faults are counted without panics");
        lines.iter().filter(|(fault, seen)| *seen < fault.from).map(|(fault, _)| fault.call.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(from: u64, times: Option<u64>) -> Fault {
        Fault {
            call: "ec2:Attach*".replace('*', ""),
            with: BTreeMap::new(),
            from,
            times,
            effect: Effect::Throttled,
        }
    }

    #[test]
    fn a_fault_hits_the_calls_it_names_and_no_others() {
        let rows = [
            (1, Some(2), vec![true, true, false]),
            (2, Some(1), vec![false, true, false]),
            (2, None, vec![false, true, true]),
        ];
        for (from, times, expected) in rows {
            let faults = Faults::new(vec![fault(from, times)]);
            let hit: Vec<bool> =
                expected.iter().map(|_| !faults.hits("ec2", "Attach", &BTreeMap::new()).is_empty()).collect();
            assert_eq!(hit, expected, "from {from}, times {times:?}");
            assert!(faults.hits("ec2", "Detach", &BTreeMap::new()).is_empty());
        }
    }

    #[test]
    fn an_unused_fault_is_reported() {
        let faults = Faults::new(vec![fault(2, None)]);
        faults.hits("ec2", "Attach", &BTreeMap::new());
        assert_eq!(faults.unused(), ["ec2:Attach"]);
        faults.hits("ec2", "Attach", &BTreeMap::new());
        assert!(faults.unused().is_empty());
    }
}
