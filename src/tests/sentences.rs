//! All sentences that a person can read at three in the morning, in one file, and the rules they keep.

use std::fmt::Write as _;

use super::errors;
use crate::explain::Failure;

#[test]
fn all_sentences_in_one_snapshot() {
    let mut text = String::new();
    for errors::Row { name, error } in errors::all() {
        let _ = writeln!(text, "{name} ({:?})\n  {error}\n  {}\n", error.class(), error.remedy());
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_source_is_never_in_the_sentence() {
    for errors::Row { name, error } in errors::all() {
        let said = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            assert!(!said.contains(&cause.to_string()), "{name} repeats its source: {said}");
            source = cause.source();
        }
    }
}

#[test]
fn a_sentence_is_a_clause_and_a_remedy_is_a_sentence() {
    for errors::Row { name, error } in errors::all() {
        let (said, remedy) = (error.to_string(), error.remedy());
        assert!(!said.is_empty() && !said.ends_with('.') && !said.contains('\n'), "{name}: {said:?}");
        assert!(remedy.ends_with('.') && !remedy.ends_with(".."), "{name}: {remedy:?}");
        assert!(
            remedy.starts_with(|c: char| c.is_uppercase()) && !remedy.contains("  "),
            "{name}: {remedy:?}"
        );
        let whole = Failure::new("step", &*error).to_string();
        assert!(!whole.contains(".."), "{name}: {whole}");
    }
}

#[test]
fn no_two_variants_of_a_domain_say_the_same() {
    let mut seen = std::collections::BTreeMap::new();
    for errors::Row { name, error } in errors::all() {
        // A transparent variant says what its source's domain says.
        let domain = name.split("::").next().unwrap_or_default().to_owned();
        if let Some(other) = seen.insert((domain, error.to_string()), name.clone()) {
            assert_eq!(name, other, "both say: {error}");
        }
    }
}

/// A remedy that sends its reader to a command which does not exist is worse than none.
#[test]
fn a_remedy_names_only_commands_that_there_are() {
    let line = crate::cli::command();
    let there: Vec<&str> = line.get_subcommands().map(clap::Command::get_name).collect();
    let mut named = 0;
    for errors::Row { name, error } in errors::all() {
        for words in error.remedy().split("`weaviate-provisioner ").skip(1) {
            let command: String = words.chars().take_while(char::is_ascii_lowercase).collect();
            assert!(there.contains(&command.as_str()), "{name}: there is no command {command:?}");
            named += 1;
        }
    }
    assert!(named > 0, "no remedy names a command: the search finds nothing");
}
