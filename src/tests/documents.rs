//! The manual and the completions that packages ship (`examples/documents`) against the code.
//!
//! ```text
//! cli::command() ──commands, options──▶ pages of section 8, completions
//! src/cli/exit.rs ──codes──▶ EXIT STATUS
//! config::tests::keys() ──▶ page 5
//! ```

use std::collections::BTreeSet;

use clap_complete::Shell;

use crate::cli::{self, Exit};

#[path = "../../examples/documents/pages.rs"]
mod pages;
#[path = "../../examples/documents/prose.rs"]
mod prose;
#[path = "../../examples/documents/reference.rs"]
mod reference;
#[path = "../../examples/documents/shown.rs"]
mod shown;
#[path = "../../examples/documents/text.rs"]
mod text;

/// Every page by its file, as a reader sees it: without fonts and escapes.
fn pages() -> Vec<(String, String)> {
    let codes = Exit::ALL.map(|exit| (exit.code(), exit.meaning()));
    let pages = pages::all(&cli::command(), &codes, "2026-11-27").expect("renders");
    pages.into_iter().map(|page| (page.file, plain(&page.text))).collect()
}

fn plain(text: &str) -> String {
    ["\\fB", "\\fI", "\\fR", "\\&"].iter().fold(text.replace("\\-", "-"), |text, font| text.replace(font, ""))
}

fn page(file: &str) -> String {
    let found = pages().into_iter().find(|(name, _)| name == file);
    found.unwrap_or_else(|| panic!("there is no {file}")).1
}

/// The lines of one section.
fn section(page: &str, title: &str) -> Vec<String> {
    let lines = page.lines().skip_while(|line| line.trim_start_matches(".SH ").trim_matches('"') != title);
    lines.skip(1).take_while(|line| !line.starts_with(".SH ")).map(str::to_owned).collect()
}

/// The options that a reader may know of.
fn options(command: &clap::Command) -> BTreeSet<String> {
    let shown = command.get_arguments().filter(|one| !one.is_hide_set());
    shown.filter_map(clap::Arg::get_long).map(|long| format!("--{long}")).collect()
}

/// What a section of options describes: each term is the line behind a `.TP`.
fn described(page: &str) -> BTreeSet<String> {
    let lines = section(page, "OPTIONS");
    let terms = lines.windows(2).filter(|two| two[0] == ".TP").map(|two| two[1].clone());
    terms
        .flat_map(|term| term.split([' ', ',']).map(str::to_owned).collect::<Vec<_>>())
        .filter(|word| word.starts_with("--"))
        .collect()
}

#[test]
fn every_command_and_every_option_has_its_place_in_the_manual() {
    let mut command = cli::command().disable_help_subcommand(true);
    command.build();
    let whole = page("weaviate-provisioner.8");
    assert_eq!(described(&whole), options(&command));
    let commands: Vec<String> = command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    let listed: Vec<String> = section(&whole, "COMMANDS")
        .iter()
        .filter_map(|line| Some(line.strip_prefix("weaviate-provisioner-")?.strip_suffix("(8)")?.to_owned()))
        .collect();
    assert_eq!(listed, commands);
    for one in command.get_subcommands() {
        let page = page(&format!("weaviate-provisioner-{}.8", one.get_name()));
        assert_eq!(described(&page), options(one), "{}", one.get_name());
        assert!(!section(&page, "DESCRIPTION").is_empty(), "{}", one.get_name());
    }
    assert!(!whole.contains("--sysfs"), "a hidden option is nobody's business");
}

#[test]
fn the_exit_codes_of_the_manual_are_those_of_the_code() {
    let source = include_str!("../cli/exit.rs");
    let code = |line: &str| line.split_once(" => ")?.1.trim_end_matches(',').parse::<u8>().ok();
    let coded: BTreeSet<u8> = source.lines().filter_map(code).collect();
    assert_eq!(coded.len(), Exit::ALL.len(), "each variant has a code of its own");
    let files = pages().into_iter().filter(|(file, _)| file.ends_with(".8"));
    let mut seen = 0;
    for (file, page) in files {
        let lines = section(&page, "EXIT STATUS");
        let rows: Vec<(u8, &str)> =
            lines.chunks(3).map(|row| (row[1].parse().expect("a code"), row[2].as_str())).collect();
        assert_eq!(rows.iter().map(|row| row.0).collect::<BTreeSet<_>>(), coded, "{file}");
        for exit in Exit::ALL {
            assert!(rows.contains(&(exit.code(), exit.meaning())), "{file}: {exit:?}");
        }
        seen += 1;
    }
    assert_eq!(seen, 1 + cli::command().get_subcommands().count());
}

/// The terms of page 5 that share a meaning, and that meaning.
fn groups(page: &str) -> Vec<(Vec<String>, String)> {
    let mut groups: Vec<(Vec<String>, String)> = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        match (line, groups.last_mut()) {
            (".TP", _) => groups.push((lines.next().map(str::to_owned).into_iter().collect(), String::new())),
            (".TQ", Some((terms, _))) => terms.extend(lines.next().map(str::to_owned)),
            (text, Some((_, meaning))) if !text.starts_with('.') => meaning.push_str(text),
            _ => {}
        }
    }
    groups
}

#[test]
fn page_5_holds_every_key_with_a_word_about_it() {
    let groups = groups(&page("weaviate-provisioner.toml.5"));
    let meaning = |key: &str| {
        let named = |term: &String| term.split(' ').next() == Some(key);
        groups.iter().find(|(terms, _)| terms.iter().any(named)).map(|(_, meaning)| meaning.clone())
    };
    for key in crate::config::tests::keys() {
        // A key of an inline table is explained with the table.
        let (table, last) = key.rsplit_once('.').expect("a key has a section");
        let said = meaning(&key).or_else(|| meaning(table).filter(|said| said.contains(last)));
        assert!(said.is_some_and(|said| !said.is_empty()), "page 5 says nothing about {key}");
    }
}

#[test]
fn page_5_calls_required_what_is_required() {
    let nothing = tempfile::NamedTempFile::new().expect("a file");
    let error = crate::config::load(nothing.path()).expect_err("an empty configuration");
    let crate::config::ConfigError::Problems(problems) = error else { panic!("{error}") };
    let missing: BTreeSet<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(missing, reference::REQUIRED.into());
    let marked = page("weaviate-provisioner.toml.5").matches(" (required; ").count();
    assert_eq!(marked, reference::REQUIRED.len());
}

#[test]
fn the_completions_know_every_command_and_option() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut shown::shown(&cli::command()), pages::NAME, &mut script);
        let script = String::from_utf8(script).expect("a script is text");
        let mut command = cli::command();
        command.build();
        for one in command.get_subcommands() {
            assert!(script.contains(one.get_name()), "{shell}: {}", one.get_name());
            for option in options(one) {
                let word = if shell == Shell::Fish { &option[2..] } else { &option };
                assert!(script.contains(word), "{shell}: {option}");
            }
        }
        assert!(!script.contains("sysfs"), "{shell}: a hidden option is nobody's business");
    }
}

#[test]
fn a_page_has_the_date_that_it_is_given_or_none() {
    assert_eq!(text::date(Some("1795761477")).expect("a time"), "2026-11-27");
    assert_eq!(text::date(None).expect("no time"), "\"\"");
    for (date, title) in [("2026-11-27", " 2026-11-27 "), ("\"\"", " \"\" ")] {
        let pages = pages::all(&cli::command(), &[], date).expect("renders");
        assert!(pages.iter().all(|page| page.text.contains(title)), "{date}");
    }
    assert!(text::date(Some("yesterday")).is_err());
}
