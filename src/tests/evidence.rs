//! Every type of evidence shows, in a doctest, that nobody else can make one, and beside it what everybody may do.

use std::collections::BTreeSet;
use std::path::Path;

const EVIDENCE: &str = include_str!("../boot/evidence.rs");
/// How the last step came out is a plain value that anybody may make: it lets nobody in.
const PLAIN: [&str; 1] = ["SignalOutcome"];

/// Every source file, as one text.
fn sources(folder: &Path) -> String {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    let text = |path: &std::path::PathBuf| {
        if path.is_dir() { sources(path) } else { std::fs::read_to_string(path).unwrap_or_default() }
    };
    entries.iter().map(text).collect()
}

#[test]
fn every_evidence_type_has_a_doctest_and_its_twin() {
    let implemented: BTreeSet<&str> = EVIDENCE
        .lines()
        .filter_map(|line| line.strip_prefix("impl Evidence for ")?.split([' ', '{']).next())
        .filter(|name| !PLAIN.contains(name))
        .collect();
    assert!(implemented.len() > 15, "{implemented:?}");
    let all = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    for name in implemented {
        let forged = format!("fn forge(evidence: {name}) -> {name} {{ {name} {{ ..evidence }} }}");
        let twin = format!("fn hand_on(evidence: {name}) -> {name} {{ evidence }}");
        let at = all.find(&forged).unwrap_or_else(|| panic!("{name} has no doctest that fails"));
        assert!(
            all[..at].lines().rev().nth(2).is_some_and(|line| line.contains("compile_fail,E0451")),
            "{name}"
        );
        assert!(all.contains(&twin), "{name} has no twin that compiles");
    }
}
