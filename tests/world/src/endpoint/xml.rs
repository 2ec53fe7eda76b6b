//! A tree of elements, as much XML as AWS answers need.

use std::fmt::Write;

/// One element with children, or with text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xml {
    name: String,
    text: String,
    children: Vec<Self>,
}

impl Xml {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), text: String::new(), children: Vec::new() }
    }

    /// An element that holds text only.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers, texts and references read alike at the callers"
    )]
    pub fn leaf(name: impl Into<String>, text: impl ToString) -> Self {
        Self { text: text.to_string(), ..Self::new(name) }
    }

    #[must_use]
    pub fn text(self, name: &str, text: impl ToString) -> Self {
        self.child(Self::leaf(name, text))
    }

    /// Nothing at all where there is no value.
    #[must_use]
    pub fn maybe(self, name: &str, text: Option<impl ToString>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    #[must_use]
    pub fn extend(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// `<name><item>..</item><item>..</item></name>`: each child of `items` is renamed to `item`.
    pub fn list(name: &str, item: &str, items: impl IntoIterator<Item = Self>) -> Self {
        let items = items.into_iter().map(|mut child| {
            item.clone_into(&mut child.name);
            child
        });
        Self::new(name).extend(items)
    }

    /// The whole document; without a namespace where that is empty.
    pub fn document(&self, namespace: &str) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let attribute = if namespace.is_empty() { String::new() } else { format!(" xmlns=\"{namespace}\"") };
        self.write(&mut out, &attribute);
        out
    }

    fn write(&self, out: &mut String, attribute: &str) {
        let Self { name, text, children } = self;
        let _ = write!(out, "<{name}{attribute}>");
        for letter in text.chars() {
            match letter {
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '&' => out.push_str("&amp;"),
                other => out.push(other),
            }
        }
        for child in children {
            child.write(out, "");
        }
        let _ = write!(out, "</{name}>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_lists_are_named() {
        let list = Xml::list("set", "item", [Xml::new("x").text("a", "1 < 2 & 3"), Xml::leaf("y", 7)]);
        let document = Xml::new("Response").child(list).maybe("none", None::<&str>).document("ns");
        let expected =
            "<Response xmlns=\"ns\"><set><item><a>1 &lt; 2 &amp; 3</a></item><item>7</item></set></Response>";
        assert!(document.ends_with(expected), "{document}");
    }
}
