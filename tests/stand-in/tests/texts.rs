//! Every text that the stand-in says is in a recording, or is listed here under the behaviour that admits that it is not.
//!
//! ```text
//! string literals of src ──(longest part between placeholders)──▶ in a recording?  ─ no ─▶ in UNRECORDED?
//! ```
//! To add a text that no recording holds: its line below, under a behaviour that is not `Recorded`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use stand_in::behaviours::{BEHAVIOURS, Known};

/// Parts of texts, by the behaviour that covers them.
const UNRECORDED: &[(&str, &[&str])] = &[
    ("auth.oidc-token", &["unauthorized: oidc: failed to verify token"]),
    (
        "start.config-texts",
        &[
            "anonymous access and RBAC cannot both be enabled",
            "admin list and RBAC cannot both be enabled",
            "' is present on both admin and read-only list",
            "keys cannot have length 0",
            "need at least one user",
            "length of users and keys must match, alternatively provide single user for all keys",
            "error parsing config file ",
            " must be .json or .yaml",
            "could not load config: ",
            "invalid config: ",
            "could not open data path ",
            "could not listen on ",
            "empty backup path provided",
            "relative backup path provided",
            "invalid backup path provided: ",
        ],
    ),
    (
        "backup.texts",
        &[
            "an entry leaves its directory",
            "a file offset that is no number",
            "write file '",
            "put object: ",
            "get object open file ",
            "resolve base backup chain: could not fetch base backup: ",
            "resolve base backup chain: too long",
            "put final metadata: ",
            " is gone",
            "unknown compression type",
            "unzip chunk ",
            "class already exists: found similar class \"",
            "unmarshal class schema",
            "unmarshal sharding state",
            "restore class directory ",
            "vectorizer: no module with name \"",
            "corrupted backup file: ",
            "init uploader: ",
            "unmarshal descriptor: ",
            "fetch descriptor: ",
            "\" is applying schema changes and cannot be cancelled",
            "wrong backup file: restore request asked for ",
            "unable to restore backup as it was produced by a higher version: ",
            "\": cannot commit : ",
            "put initial metadata: putMeta: ",
            " in body should be one of [noRestore all]",
        ],
    ),
    (
        "backup.reindexing",
        &[
            "backup blocked: runtime-reindex in flight: collection ",
            " was migrated while this backup was being captured",
        ],
    ),
    (
        "rest.texts",
        &[
            "class not found",
            "\" on type \"WeaviateObj\".",
            "Syntax Error GraphQL request (",
            "unexpected EOF",
            "key must be",
            " was not found",
            "class not found: could not find class ",
            "no object with id '",
            "\" not found in schema",
            // Go's `{}` is taken for a place to fill in.
            "[]interface ",
            "map[string]interface ",
            "' is not a valid class name",
            "multi-tenancy is not enabled for class \"",
            "invalid activity status '",
            "create alias: class ",
            "create alias: alias name: ",
            "replace alias: class ",
        ],
    ),
    ("disk.read-only", &["put object: import into index: store is read-only"]),
];

fn texts_of(value: &Value, into: &mut String) {
    match value {
        Value::String(text) => into.extend([text.as_str(), "\n"]),
        Value::Array(items) => items.iter().for_each(|item| texts_of(item, into)),
        Value::Object(fields) => {
            for (name, value) in fields {
                into.extend([name.as_str(), "\n"]);
                texts_of(value, into);
            }
        }
        _ => {}
    }
}

fn recorded() -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../recordings/weaviate-1.39.0");
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        texts_of(&serde_json::from_slice(&std::fs::read(entry.path()).unwrap()).unwrap(), &mut all);
    }
    all
}

/// The string literals of a source, up to its tests; without comments, escapes resolved.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap();
    let mut found = Vec::new();
    let mut chars = source.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => while chars.next_if(|c| *c != '\n').is_some() {},
            // A character: '"' begins no string.
            '\'' if chars.peek() == Some(&'"') && !before.is_alphanumeric() => drop(chars.next()),
            '"' => {
                let mut text = String::new();
                while let Some(c) = chars.next_if(|c| *c != '"') {
                    if c != '\\' {
                        text.push(c);
                        continue;
                    }
                    match chars.next() {
                        Some('\n') => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                        Some('n') => text.push('\n'),
                        Some(other) => text.push(other),
                        None => {}
                    }
                }
                chars.next();
                found.push(text);
            }
            _ => {}
        }
        before = c;
    }
    found
}

/// The longest part that is not filled in: `class {name} is gone` has ` is gone`.
fn part(text: &str) -> String {
    let text = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        parts.push(before);
        rest = after.split_once('}').map_or("", |(_, tail)| tail);
    }
    parts.push(rest);
    let longest = parts.into_iter().rev().max_by_key(|part| part.len()).unwrap_or_default();
    longest.replace('\u{1}', "{").replace('\u{2}', "}")
}

/// Sentences: what has a blank in it, and is not only punctuation.
fn sentences() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<_> = ["auth.rs", "settings.rs", "config_file.rs"].map(|name| root.join(name)).into();
    let mut folders = vec![root.join("rest"), root.join("backup")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                files.push(path);
            }
        }
    }
    let all = files.iter().flat_map(|file| literals(&std::fs::read_to_string(file).unwrap()));
    let sentence =
        |text: &String| text.trim().contains(' ') && text.chars().filter(|c| c.is_alphabetic()).count() > 5;
    all.filter(sentence).map(|text| part(&text)).filter(|part| part.len() > 5).collect()
}

#[test]
fn every_text_is_recorded_or_admitted() {
    let (recorded, sentences) = (recorded(), sentences());
    assert!(sentences.len() > 60, "{} texts were found", sentences.len());
    let admitted: BTreeSet<&str> = UNRECORDED.iter().flat_map(|(_, parts)| parts.iter().copied()).collect();
    let unknown: Vec<_> = sentences
        .iter()
        .filter(|part| !recorded.contains(part.as_str()))
        .filter(|part| !admitted.contains(part.as_str()))
        .collect();
    assert!(unknown.is_empty(), "in no recording, and under no behaviour: {unknown:#?}");
    let stale: Vec<_> = admitted.iter().filter(|part| !sentences.contains(**part)).collect();
    assert!(stale.is_empty(), "the stand-in does not say these: {stale:#?}");
    let known: Vec<_> = admitted.iter().filter(|part| recorded.contains(**part)).collect();
    assert!(known.is_empty(), "these are recorded: {known:#?}");
}

#[test]
fn what_admits_a_text_is_no_recorded_behaviour() {
    for (name, _) in UNRECORDED {
        let behaviour = BEHAVIOURS.iter().find(|behaviour| behaviour.name == *name);
        let behaviour = behaviour.unwrap_or_else(|| panic!("there is no behaviour {name}"));
        assert!(!matches!(behaviour.known, Known::Recorded(_)), "{name} claims a recording");
    }
}
