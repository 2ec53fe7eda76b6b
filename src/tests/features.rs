//! `docs/features.md` against the code: each feature has a row, each row a case or a test that exists.
//!
//! ```text
//! configuration, commands, messages, classes, errors, plans (code) ──┐
//! docs/features.md ──rows──────────────────────────────────────────┴──▶ equal sets
//!                     └──▶ `case-name` is a folder of tests/cases; `file.rs::test` is a test in that file
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{errors, refusals};

const TABLE: &str = include_str!("../../docs/features.md");
const README: &str = include_str!("../../README.md");

/// What shows an error's sentence, and not that it comes about.
const SENTENCES: &str = "src/tests/sentences.rs::all_sentences_in_one_snapshot";
/// The errors that have no more than that, each with what keeps a test from bringing it about.
const ONLY_SENTENCES: [(&str, &str); 3] = [
    (
        "instance::InstanceError::Client",
        "a client without TLS, proxy and cookies is built of nothing that fails",
    ),
    (
        "network::NetworkError::Client",
        "a client without TLS, proxy and cookies is built of nothing that fails",
    ),
    (
        "network::NetworkError::Socket",
        "the kernel refuses it to a process without descriptors, which cannot test",
    ),
];

struct Row {
    feature: String,
    evidence: Vec<String>,
}

fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rows() -> Vec<Row> {
    let lines = TABLE.lines().filter(|line| line.starts_with("| `"));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
            let [feature, evidence] = cells.as_slice() else { panic!("two cells: {line}") };
            let [feature] = quoted(feature).try_into().unwrap_or_else(|_| panic!("one feature: {line}"));
            Row { feature, evidence: quoted(evidence) }
        })
        .collect()
}

fn commands() -> Vec<String> {
    let line = crate::cli::command();
    let options = |of: &clap::Command, prefix: &str| -> Vec<String> {
        let long = of.get_arguments().filter_map(clap::Arg::get_long);
        long.map(|long| format!("{prefix}--{long}")).collect()
    };
    let mut found = options(&line, "");
    for command in line.get_subcommands() {
        found.push(command.get_name().to_owned());
        found.extend(options(command, &format!("{} ", command.get_name())));
    }
    found
}

/// Each kind of message to the service manager.
fn told() -> BTreeSet<String> {
    let source = include_str!("../signal/systemd.rs");
    let kinds = source
        .split("NotifyState::")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next());
    kinds.map(|kind| format!("systemd {kind}")).collect()
}

fn of_the_code() -> BTreeSet<String> {
    let mut found: BTreeSet<String> = crate::config::tests::keys();
    found.extend(commands());
    found.extend(told());
    found.extend(refusals::classes());
    found.extend(refusals::of_plans());
    found.extend(errors::all().into_iter().map(|row| row.name));
    found.extend(crate::report::Step::ALL.map(|step| format!("step {}", step.name())));
    found
}

#[test]
fn every_feature_has_one_row_and_every_row_a_feature() {
    let listed: Vec<String> = rows().into_iter().map(|row| row.feature).collect();
    let unique: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), unique.len(), "a feature has two rows");
    let code = of_the_code();
    let missing: Vec<_> = code.difference(&unique).collect();
    let stale: Vec<_> = unique.difference(&code).collect();
    assert!(missing.is_empty() && stale.is_empty(), "without a row: {missing:#?}\nno feature: {stale:#?}");
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

/// What the evidence says, or that it does not exist.
fn text_of(evidence: &str) -> Result<String, String> {
    if let Some((file, test)) = evidence.split_once(".rs::") {
        let text = read(&format!("{file}.rs")).ok_or_else(|| format!("there is no {file}.rs"))?;
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let named = |line: &&str| line.contains(&format!("fn {test}("));
        let place = lines.iter().position(named).ok_or(format!("{file}.rs has no {test}"))?;
        let attributes = lines[..place].iter().rev().take_while(|line| line.starts_with(['#', '/']));
        if !attributes.into_iter().any(|line| line.contains("test]") || line.contains("test(")) {
            return Err(format!("{test} in {file}.rs is no test"));
        }
        return Ok(body_of(&text, place));
    }
    let case = evidence.strip_suffix("~control").unwrap_or(evidence);
    read(&format!("tests/cases/{case}/case.toml")).ok_or_else(|| format!("there is no case {case}"))
}

/// The function that begins in this line: to the bracket that stands as far in as its own first word.
fn body_of(text: &str, place: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let indent = lines[place].len() - lines[place].trim_start().len();
    let end = format!("{}}}", " ".repeat(indent));
    let length = lines[place..].iter().position(|line| *line == end).unwrap_or(lines.len() - place - 1);
    lines[place..=place + length].join("\n")
}

/// Whether three words of the sentence stand in the text as they do in it.
fn quotes(text: &str, sentence: &str) -> bool {
    let words: Vec<&str> = sentence.split_whitespace().collect();
    words.windows(3).any(|three| text.contains(&three.join(" ")))
}

#[test]
fn every_row_names_what_exists() {
    let sentences: BTreeMap<_, _> =
        errors::all().into_iter().map(|row| (row.name, row.error.to_string())).collect();
    let mut problems = Vec::new();
    for Row { feature, evidence } in rows() {
        if evidence.is_empty() {
            problems.push(format!("{feature}: nothing shows it"));
        }
        for evidence in evidence {
            let text = match text_of(&evidence) {
                Ok(text) => text,
                Err(what) => {
                    problems.push(format!("{feature}: {what}"));
                    continue;
                }
            };
            // A test of an error or a plan must speak of its variant; the sentences' own is about all of them.
            let variant = feature.rsplit("::").next().unwrap_or(&feature);
            let speaks =
                text.contains(variant) || sentences.get(&feature).is_some_and(|said| quotes(&text, said));
            let is_test = evidence.contains("::") && evidence != SENTENCES;
            if feature.contains("::") && is_test && !speaks {
                problems.push(format!("{feature}: {evidence} says nothing about {variant}"));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn an_error_is_brought_about_and_not_only_printed() {
    let printed = rows().into_iter().filter(|row| row.evidence == [SENTENCES]).map(|row| row.feature);
    let allowed = ONLY_SENTENCES.map(|(name, _)| name.to_owned());
    assert_eq!(printed.collect::<BTreeSet<_>>(), allowed.into());
}

#[test]
fn every_case_shows_something() {
    let named: BTreeSet<String> = rows().into_iter().flat_map(|row| row.evidence).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    for entry in std::fs::read_dir(folder).expect("the cases are there") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        if entry.path().is_dir() {
            assert!(named.contains(&name), "no row names the case {name}");
        }
    }
}

#[test]
fn the_readme_lists_the_commands_that_there_are() {
    let section = README.split("## ").find(|part| part.starts_with("Commands")).expect("a section");
    let listed: Vec<String> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| quoted(line).into_iter().next().expect("a command"))
        .collect();
    let line = crate::cli::command();
    let there: Vec<&str> = line.get_subcommands().map(clap::Command::get_name).collect();
    assert_eq!(listed, there, "as in the code, and in its order");
    for option in quoted(section).iter().filter(|word| word.starts_with("--")) {
        let option = option.split(' ').next().unwrap_or_default();
        assert!(commands().iter().any(|known| known.ends_with(option)), "no command has {option}");
    }
}
