//! What is not compared: times, addresses, random names, and orders that Go's maps make up.

use serde_json::Value;

/// Words of a text in square brackets, in order: "[B A C]" is "[A B C]".
fn brackets_sorted(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((inside, tail)) = after.split_once(']') else { break };
        // Errors of classes come one after another: `"B": ... "A": ...`.
        let separator = if inside.contains("error when") { " \"" } else { " " };
        let mut parts: Vec<_> = inside.split(separator).map(|part| part.trim_start_matches('"')).collect();
        parts.sort_unstable();
        out.push_str(before);
        out = format!("{out}[{}]", parts.join(separator));
        rest = tail;
    }
    out + rest
}

/// Cuts what stands between two marks.
fn without(text: &str, from: &str, to: &str) -> String {
    match text.split_once(from) {
        Some((before, after)) => {
            let tail = after.find(to).map_or("", |at| &after[at..]);
            format!("{before}{from}…{tail}")
        }
        None => text.to_owned(),
    }
}

fn text(text: &str) -> String {
    // Go's print of a pointer, and of the time of the operation before (recording 06).
    let text = without(text, ":0x", "]");
    let text = without(&text, "store: {", "}");
    // Which object the cancellation hit is chance.
    let text = without(&text, "write object", "\u{0}");
    // The name of a shard is random.
    let text = without(&text, ": shard ", ": vector search");
    brackets_sorted(&text)
}

const TIMES: [&str; 4] = ["startedAt", "completedAt", "creationTimeUnix", "lastUpdateTimeUnix"];

/// `sizes`: whether the bytes of the backup are those of the recorded one.
pub fn normal(value: &Value, sizes: bool) -> Value {
    match value {
        Value::String(string) => text(string).into(),
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(|item| normal(item, sizes)).collect();
            let named = |item: &Value| item.is_string() || item.get("name").is_some() || is_class(item);
            // Classes, tenants, shards come in any order; objects and backups in theirs.
            if items.iter().all(named) && !items.iter().any(|item| item.get("dataType").is_some()) {
                items.sort_by_key(sort_key);
            }
            items.into()
        }
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| sizes || !matches!(key.as_str(), "size" | "preCompressionSizeBytes"))
            .map(|(key, value)| {
                let zero = value.as_str().is_some_and(|time| time.starts_with("0001-"));
                let value = match key.as_str() {
                    key if TIMES.contains(&key) && !zero => "a time".into(),
                    "ratePerSecond" => 0.into(),
                    "hostname" => "a host".into(),
                    // Objects of one tenant are named by the tenant, others at random.
                    "name" if map.contains_key("loaded") && is_random_name(value) => "a shard".into(),
                    "errors" | "error" | "message" if value.is_string() => normal(value, sizes),
                    _ => normal(value, sizes),
                };
                (key.clone(), value)
            })
            .collect(),
        other => other.clone(),
    }
}

fn is_class(item: &Value) -> bool {
    item.get("invertedIndexConfig").is_some()
}

fn sort_key(item: &Value) -> String {
    let of = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
    format!("{}/{}/{}", item.as_str().unwrap_or_default(), of("class"), of("name"))
}

fn is_random_name(value: &Value) -> bool {
    value.as_str().is_some_and(|name| name.len() == 12 && name.chars().all(|c| c.is_ascii_alphanumeric()))
}
