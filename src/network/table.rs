//! An nft table as this program writes it and as nft lists it: one form for both, so that what the kernel holds
//! can be compared with what would be written.
//!
//! ```text
//! Chain ──render──▶ text for `nft -f -`
//!   ▲                      │ the kernel
//!   └──────read◀── JSON of `nft -j list table` (libnftables-json(5))
//! ```
//!
//! Every rule of ours counts and drops; what it matches is all that differs. Anything else that is found in a
//! chain becomes a condition that no rule of ours has.

use std::fmt::Write as _;

use serde_json::Value;

/// A base chain of type filter that accepts what no rule drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) name: String,
    pub(super) hook: String,
    pub(super) priority: i64,
    pub(super) rules: Vec<Rule>,
}

/// All conditions under which a packet is counted and dropped.
pub(super) type Rule = Vec<Match>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// In nft's words: `ip daddr`, `iifname`, `fib daddr type`.
    key: String,
    equal: bool,
    values: Vec<String>,
}

pub(super) fn is(key: &str, values: &[impl ToString]) -> Match {
    Match { key: key.to_owned(), equal: true, values: values.iter().map(ToString::to_string).collect() }
}

pub(super) fn is_not(key: &str, values: &[impl ToString]) -> Match {
    Match { equal: false, ..is(key, values) }
}

impl Match {
    fn render(&self) -> String {
        let quoted = matches!(self.key.as_str(), "iif" | "iifname");
        let word = |value: &String| if quoted { format!("\"{value}\"") } else { value.clone() };
        let values: Vec<String> = self.values.iter().map(word).collect();
        let values = match values.as_slice() {
            [one] => one.clone(),
            several => format!("{{ {} }}", several.join(", ")),
        };
        format!("{} {}{values}", self.key, if self.equal { "" } else { "!= " })
    }

    /// What this program does not write; equal to nothing that it does.
    fn unknown(item: &Value) -> Self {
        Self { key: item.to_string(), equal: true, values: Vec::new() }
    }
}

/// The lines of the chain, as they stand inside its table.
pub(super) fn render(text: &mut String, chain: &Chain) {
    let Chain { name, hook, priority, rules } = chain;
    // Writing to a String does not fail.
    let _ = writeln!(text, "  chain {name} {{");
    let _ = writeln!(text, "    type filter hook {hook} priority {priority}; policy accept;");
    for rule in rules {
        let conditions: Vec<String> = rule.iter().map(Match::render).collect();
        let _ = writeln!(text, "    {} counter drop", conditions.join(" "));
    }
    let _ = writeln!(text, "  }}");
}

/// The chains that nft lists, in the order of their names.
pub(super) fn read(text: &str) -> Result<Vec<Chain>, serde_json::Error> {
    let listed: Value = serde_json::from_str(text)?;
    let items = listed["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut chains: Vec<Chain> = items.iter().filter_map(|item| item.get("chain")).map(chain).collect();
    for rule in items.iter().filter_map(|item| item.get("rule")) {
        if let Some(chain) = chains.iter_mut().find(|chain| rule["chain"] == chain.name.as_str()) {
            chain.rules.push(conditions(&rule["expr"]));
        }
    }
    Ok(normal(chains))
}

/// In an order of their own: neither that of the chains nor that inside a set means anything.
pub(super) fn normal(mut chains: Vec<Chain>) -> Vec<Chain> {
    for found in chains.iter_mut().flat_map(|chain| &mut chain.rules).flatten() {
        found.values.sort();
    }
    chains.sort_by(|a, b| a.name.cmp(&b.name));
    chains
}

fn chain(item: &Value) -> Chain {
    let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
    let plain = item["type"] == "filter" && item["policy"] == "accept";
    Chain {
        name: text("name"),
        hook: if plain { text("hook") } else { item.to_string() },
        priority: item["prio"].as_i64().unwrap_or_default(),
        rules: Vec::new(),
    }
}

fn conditions(expression: &Value) -> Rule {
    let items = expression.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut rule: Rule = items
        .iter()
        .filter(|item| item.get("counter").is_none() && item.get("drop").is_none())
        .map(condition)
        .collect();
    if !items.iter().any(|item| item.get("drop").is_some()) {
        rule.push(Match::unknown(expression));
    }
    // What nft itself puts before `ip daddr` and `tcp dport`; some versions list it, some do not.
    let has = |rule: &Rule, family: &str| rule.iter().any(|found| found.key.starts_with(family));
    let (four, six, port) = (has(&rule, "ip "), has(&rule, "ip6 "), has(&rule, "tcp ") || has(&rule, "udp "));
    rule.retain(|found| match (found.key.as_str(), found.values.first().map(String::as_str)) {
        ("meta nfproto", Some("ipv4")) => !four,
        ("meta nfproto", Some("ipv6")) => !six,
        ("meta l4proto", Some("tcp" | "udp")) => !port,
        _ => true,
    });
    rule
}

fn condition(item: &Value) -> Match {
    let found = &item["match"];
    let equal = match found["op"].as_str() {
        Some("==") => true,
        Some("!=") => false,
        _ => return Match::unknown(item),
    };
    match (key(&found["left"]), values(&found["right"])) {
        (Some(key), Some(values)) => Match { key, equal, values },
        _ => Match::unknown(item),
    }
}

fn key(left: &Value) -> Option<String> {
    if let Some(payload) = left.get("payload") {
        return Some(format!("{} {}", payload["protocol"].as_str()?, payload["field"].as_str()?));
    }
    if let Some(fib) = left.get("fib") {
        let flags = fib["flags"].as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?;
        return Some(format!("fib {} {}", flags.join(" . "), fib["result"].as_str()?));
    }
    let name = left.get("meta")?["key"].as_str()?;
    // The only two that nft's own text has without `meta` among those that we use.
    Some(if matches!(name, "iif" | "iifname") { name.to_owned() } else { format!("meta {name}") })
}

fn values(right: &Value) -> Option<Vec<String>> {
    match right.get("set").unwrap_or(right) {
        Value::Array(several) => several.iter().map(one).collect(),
        single => one(single).map(|value| vec![value]),
    }
}

fn one(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        other => {
            let prefix = other.get("prefix")?;
            Some(format!("{}/{}", prefix["addr"].as_str()?, prefix["len"].as_u64()?))
        }
    }
}
