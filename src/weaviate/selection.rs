//! Which collections an order is about: `include` and `exclude`, as the server reads them.

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

/// `*` stands for any letters, `?` for one (Weaviate 1.36.0, usecases/backup).
pub fn matches(pattern: &str, class: &str) -> bool {
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
}
