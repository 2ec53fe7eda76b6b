//! Page 5, from the reference configuration.
//!
//! ```text
//! # text            ─▶ the meaning of the keys that follow, up to the next text
//! [section]         ─▶ .SH
//! key = value       ─▶ a term with its default; "required" where it must be given
//! #: key = value    ─▶ a term without a default, with an example
//! ```

use std::error::Error;
use std::fmt::Write as _;

use clap::Command;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::pages::{self, NAME, Page};
use super::{prose, text};

const REFERENCE: &str = include_str!("../../packaging/config.toml");

/// Keys that a configuration must hold.
pub const REQUIRED: [&str; 6] =
    ["node.deployment", "node.name", "network.eni", "weaviate.image", "weaviate.keys.admin", "backup.bucket"];

/// The first lines of the reference are about the file and not about what is in it.
const ABOUT_THE_FILE: usize = 2;

pub fn page(program: &Command, date: &str) -> Result<Page, Box<dyn Error>> {
    let (about, body) = REFERENCE.split_once("\n\n").unwrap_or((REFERENCE, ""));
    let about: Vec<&str> = about.lines().skip(ABOUT_THE_FILE).map(words).collect();
    let about = about.join(" ");
    let mut roff = Roff::new();
    let title = format!("{NAME}.toml");
    roff.control("TH", [title.as_str(), "5", date, &pages::source(program), prose::MANUAL]);
    roff.control("SH", ["NAME"]).text([roman(format!("{title} - configuration of {NAME}"))]);
    let [first, second] = prose::REFERENCE;
    let mut parts = vec![roff, text::paragraphs("DESCRIPTION", &[first, second, &about])];
    parts.push(sections(body));
    let others = [format!("{NAME}(8)"), format!("{NAME}-validate(8)")];
    parts.push(text::see_also(&others));
    let roff: Roff = parts.into_iter().collect();
    Ok(Page { file: format!("{title}.5"), text: pages::whole(&[text::of(&roff)?]) })
}

fn words(comment: &str) -> &str {
    comment.trim_start_matches('#').trim()
}

/// The keys that follow one comment.
#[derive(Default)]
struct Group {
    keys: Vec<Vec<Inline>>,
    meaning: String,
}

impl Group {
    fn put(&mut self, roff: &mut Roff) {
        let Self { keys, meaning } = std::mem::take(self);
        for (index, key) in keys.into_iter().enumerate() {
            roff.control(if index == 0 { "TP" } else { "TQ" }, []).text(key);
        }
        if !meaning.is_empty() {
            roff.text([roman(meaning)]);
        }
    }
}

fn sections(body: &str) -> Roff {
    let (mut roff, mut section, mut group) = (Roff::new(), String::new(), Group::default());
    for line in body.lines() {
        let (marked, line) = line.strip_prefix("#: ").map_or((false, line), |rest| (true, rest));
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            group.put(&mut roff);
            name.clone_into(&mut section);
            roff.control("SH", [format!("[{name}]").as_str()]);
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            group.keys.push(term(&format!("{section}.{key}"), value, marked));
        } else if line.starts_with('#') {
            if !group.keys.is_empty() {
                group.put(&mut roff);
            }
            let space = if group.meaning.is_empty() { "" } else { " " };
            let _ = write!(group.meaning, "{space}{}", words(line));
        }
    }
    group.put(&mut roff);
    roff
}

fn term(key: &str, value: &str, marked: bool) -> Vec<Inline> {
    if REQUIRED.contains(&key) {
        vec![bold(key), roman(" (required; for example "), italic(value), roman(")")]
    } else if marked {
        vec![bold(key), roman(" (for example "), italic(value), roman(")")]
    } else {
        vec![bold(key), roman(" = "), italic(value)]
    }
}
