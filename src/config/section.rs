//! One table of the configuration while it is read: what is asked for is known, what is left is unknown.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use toml::{Table, Value as Toml};

use super::values::Value;

/// One thing that is wrong, with the key that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub key: String,
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.key, self.what)
    }
}

/// Where all sections put their problems.
#[derive(Debug, Default)]
pub struct Problems {
    found: RefCell<Vec<Problem>>,
    /// Every key that was asked for, with its path: what the reference file must hold.
    asked: RefCell<BTreeSet<String>>,
}

impl Problems {
    pub fn into_vec(self) -> Vec<Problem> {
        self.found.into_inner()
    }

    #[cfg(test)]
    pub fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }
}

/// A table and its path. When it is dropped, every key that nobody asked for is a problem.
#[derive(Debug)]
pub struct Section<'a> {
    path: String,
    table: Table,
    known: Vec<&'static str>,
    problems: &'a Problems,
}

impl<'a> Section<'a> {
    pub const fn new(path: String, table: Table, problems: &'a Problems) -> Self {
        Self { path, table, known: Vec::new(), problems }
    }

    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn know(&mut self, key: &'static str) {
        self.known.push(key);
        self.problems.asked.borrow_mut().insert(self.key(key));
    }

    /// Reports a problem with `key` of this section.
    pub fn problem(&self, key: &str, what: impl Into<String>) {
        self.problems.found.borrow_mut().push(Problem { key: self.key(key), what: what.into() });
    }

    /// The value of `key`, if it is there and right.
    pub fn optional<T: Value>(&mut self, key: &'static str) -> Option<T> {
        self.know(key);
        let value = self.table.remove(key)?;
        match T::read(&value) {
            Ok(value) => Some(value),
            Err(what) => {
                self.problem(key, what);
                None
            }
        }
    }

    /// The value of `key`, or `default` where it is absent.
    pub fn or<T: Value>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// The value of `key`, which must be there.
    pub fn required<T: Value>(&mut self, key: &'static str) -> Option<T> {
        if self.table.contains_key(key) {
            return self.optional(key);
        }
        self.know(key);
        self.problem(key, format!("is missing: {}", T::EXPECTED));
        None
    }

    pub fn contains(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The table `key`, empty where it is absent.
    #[must_use]
    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        self.known.push(key);
        let table = match self.table.remove(key) {
            Some(Toml::Table(table)) => table,
            Some(other) => {
                self.problem(key, format!("is {}, not a table", other.type_str()));
                Table::new()
            }
            None => Table::new(),
        };
        Section::new(self.key(key), table, self.problems)
    }

    /// The table `key` if it is there.
    pub fn optional_section(&mut self, key: &'static str) -> Option<Section<'a>> {
        let there = self.contains(key);
        let section = self.section(key);
        there.then_some(section)
    }

    /// All keys of this section with their values: for tables whose keys the user chooses.
    pub fn entries<T: Value>(&mut self) -> Vec<(String, T)> {
        let mut entries = Vec::new();
        for (key, value) in std::mem::take(&mut self.table) {
            match T::read(&value) {
                Ok(value) => entries.push((key, value)),
                Err(what) => self.problem(&key, what),
            }
        }
        entries
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        for key in self.table.keys() {
            let nearest = self.known.iter().min_by_key(|known| distance(key, known));
            let hint = match nearest {
                Some(known) if distance(key, known) <= 3.max(key.len() / 2) => {
                    format!("is not known; did you mean `{}`?", self.key(known))
                }
                _ => "is not known".to_owned(),
            };
            self.problem(key, hint);
        }
    }
}

/// How many letters must be changed, added or taken away: Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
