//! Query strings and percent-encoding.

use std::collections::BTreeMap;

/// "a=1&b=%2F" as a map; of a name that comes twice the first counts.
pub fn parse(query: &str) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        map.entry(percent_decoded(name)).or_insert_with(|| percent_decoded(&value.replace('+', " ")));
    }
    map
}

pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let escaped = hex.filter(|_| first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_query_is_taken_apart() {
        let map = super::parse("bucket=other&path=nightly%2Fprod&x");
        assert_eq!((map["path"].as_str(), map["x"].as_str()), ("nightly/prod", ""));
    }
}
