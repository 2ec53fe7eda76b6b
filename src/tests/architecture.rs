//! The direction of imports and the few places that may do a thing: read from the sources.

use std::path::{Path, PathBuf};

const NONE: [String; 0] = [];

/// Every source file of the crate without its tests, by its path under `src`.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(&root).expect("below src").display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") && !is_test(&name) {
                let text = std::fs::read_to_string(&path).expect("a source file");
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
                found.push((name, text));
            }
        }
    }
    found
}

fn is_test(name: &str) -> bool {
    name.split('/').any(|part| part.trim_end_matches(".rs").ends_with("tests"))
        || name.starts_with("store/fake/")
}

/// Lines of code that hold one of `words`, outside of the files that may.
fn offenders(words: &[&str], may: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in sources().into_iter().filter(|(name, _)| !may(name)) {
        let code = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        let hits = code.filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        found.extend(hits.map(|(at, line)| format!("src/{name}:{}: {}", at + 1, line.trim())));
    }
    found
}

#[test]
fn domains_know_neither_boot_nor_watch_nor_cli() {
    let composes =
        |name: &str| ["boot/", "watch/", "cli/"].iter().any(|of| name.starts_with(of)) || name == "main.rs";
    let found = offenders(&["crate::boot", "crate::watch", "crate::cli"], composes);
    // The configuration holds every section, the boot's too.
    let found: Vec<_> = found.into_iter().filter(|line| !line.contains("crate::boot::Settings")).collect();
    assert_eq!(found, NONE);
}

/// What the layers below the domains may know of the crate. A domain may know other domains: their steps take
/// each other's evidence.
const LAYERS: [(&str, &[&str]); 9] = [
    ("explain", &[]),
    ("failpoint", &[]),
    ("hex", &[]),
    ("process", &[]),
    ("retry", &["explain"]),
    ("state", &["explain"]),
    ("weaviate", &["explain"]),
    ("report", &["explain", "state"]),
    // The clients for a bucket follow the bucket's settings.
    ("store", &["aws", "config", "explain", "hex", "host", "retry"]),
];

/// The modules of this crate that a text names, in paths and in lists of `use`.
fn modules_in(text: &str) -> std::collections::BTreeSet<String> {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut found = std::collections::BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => found
                .extend(list.split('}').next().unwrap_or_default().split(',').map(|part| name(part.trim()))),
            None => drop(found.insert(name(rest))),
        }
    }
    found
}

#[test]
fn lower_layers_know_no_domain() {
    for (layer, may) in LAYERS {
        let of_layer =
            |file: &str| file.split('/').next().unwrap_or_default().trim_end_matches(".rs") == layer;
        let files: Vec<_> = sources().into_iter().filter(|(file, _)| of_layer(file)).collect();
        assert!(!files.is_empty(), "there is no {layer}");
        for (file, text) in files {
            let strange: Vec<String> = modules_in(&text)
                .into_iter()
                .filter(|name| name != layer && !may.contains(&name.as_str()))
                .collect();
            assert_eq!(strange, NONE, "src/{file} is of a lower layer");
        }
    }
    assert!(modules_in("use crate::{aws, store::Store};").contains("store"));
}

#[test]
fn only_aws_builds_clients() {
    let sdk = |name: &str| {
        let (_, text) = sources().into_iter().find(|(other, _)| other == name).expect("a source file");
        text.contains("aws_sdk_")
    };
    // The store takes a client that `aws` built, and gives it another watch over stalled bodies.
    let may = |name: &str| name.starts_with("aws/") || name == "store/objects.rs" || !sdk(name);
    assert_eq!(offenders(&["Client::new(", "from_conf("], may), NONE);
    let found = offenders(&["aws_config::"], |name| name.starts_with("aws/"));
    assert_eq!(found, NONE);
}

#[test]
fn only_process_starts_subprocesses() {
    let found =
        offenders(&["Command::new(", "process::Command", "nix::unistd::fork"], |name| name == "process.rs");
    assert_eq!(found, NONE);
}

#[test]
fn nothing_unwraps() {
    let found = offenders(&[".unwrap()", ".expect(\"", "panic!(", "todo!(", "unimplemented!("], |_| false);
    assert_eq!(found, NONE);
}

/// The searches above find something where there is something.
#[test]
fn the_searches_find_what_is_there() {
    for (word, place) in [
        ("crate::boot", "src/config/mod.rs"),
        ("Command::new(", "src/process.rs"),
        ("from_conf(", "src/aws/clients.rs"),
    ] {
        let found = offenders(&[word], |_| false);
        assert!(found.iter().any(|line| line.starts_with(place)), "{word}: {found:?}");
    }
}
