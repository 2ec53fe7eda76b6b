//! Which collections an order is about: `include` and `exclude`, as the server reads them.

use std::collections::BTreeMap;

/// Everything where both lists are empty.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    pub include: &'a [String],
    pub exclude: &'a [String],
}

impl Selection<'_> {
    pub fn takes(&self, class: &str) -> bool {
        let listed = |list: &[String]| list.iter().any(|pattern| matches(pattern, class));
        (self.include.is_empty() || listed(self.include)) && !listed(self.exclude)
    }
}

/// Whether a collection can be called so: a capital letter, then letters, digits and `_`; with a namespace, which may have
/// small ones, and a colon before it (Weaviate 1.39.0, entities/schema, `ClassNameRegexCore` and `IndexNameRegexCore`).
pub fn is_pattern(pattern: &str) -> bool {
    let wild = |letter: char| matches!(letter, '*' | '?');
    let legal =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | ':') || wild(letter);
    let begins =
        pattern.contains(':') || pattern.starts_with(|first: char| first.is_ascii_uppercase() || wild(first));
    begins && pattern.chars().all(legal)
}

/// The first of these patterns that no name fits.
pub fn idle<'a, T>(patterns: &'a [String], named: &BTreeMap<String, T>) -> Option<&'a str> {
    let fits = |pattern: &&String| named.keys().any(|name| matches(pattern, name));
    patterns.iter().find(|pattern| !fits(pattern)).map(String::as_str)
}

/// `*` stands for any letters, `?` for one (Weaviate 1.36.0, usecases/backup).
fn matches(pattern: &str, class: &str) -> bool {
    bytes_match(pattern.as_bytes(), class.as_bytes())
}

fn bytes_match(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            bytes_match(rest, name) || name.split_first().is_some_and(|(_, name)| bytes_match(pattern, name))
        }
        ([b'?', rest @ ..], [_, name @ ..]) => bytes_match(rest, name),
        ([letter, rest @ ..], [same, name @ ..]) if letter == same => bytes_match(rest, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_the_server_reads_it() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let rows = [
            (&[][..], &[][..], "Article", true),
            (&["Art*"][..], &[][..], "Article", true),
            (&["Art*"][..], &[][..], "Chunk", false),
            (&["Artic?e"][..], &[][..], "Article", true),
            (&["Article"][..], &[][..], "Articles", false),
            (&[][..], &["*k"][..], "Chunk", false),
            (&[][..], &["*k"][..], "Article", true),
        ];
        for (include, exclude, class, expected) in rows {
            let (include, exclude) = (list(include), list(exclude));
            let selection = Selection { include: &include, exclude: &exclude };
            assert_eq!(selection.takes(class), expected, "{include:?} {exclude:?} {class}");
        }
    }

    #[test]
    fn what_no_collection_is_called_is_told_from_what_none_is_called_here() {
        let rows = [
            ("Article", true),
            ("Art_1*", true),
            ("*", true),
            ("?rticle", true),
            ("customer-1:Article", true),
            ("article", false),
            ("", false),
            ("Art icle", false),
            ("Article,Chunk", false),
            ("prod/Article", false),
        ];
        for (pattern, expected) in rows {
            assert_eq!(is_pattern(pattern), expected, "{pattern:?}");
        }
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let named = ["Article", "Chunk"].map(|name| (name.to_owned(), ())).into();
        for (patterns, expected) in
            [(&["A*", "Chunk"][..], None), (&[][..], None), (&["A*", "Chunks", "X"][..], Some("Chunks"))]
        {
            assert_eq!(idle(&list(patterns), &named), expected, "{patterns:?}");
        }
    }
}
