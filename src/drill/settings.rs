//! `[drill]`: how backups are proven.

use toml::Value as Toml;

use crate::config::{ByteSize, Section, Value};

#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What the second server may have; absent: half of what is free.
    pub memory: Option<ByteSize>,
    pub queries: Vec<Query>,
}

impl Settings {
    pub fn read(section: &mut Section<'_>) -> Self {
        Self { memory: section.optional("memory"), queries: section.or("queries", Vec::new()) }
    }
}

/// A question, and texts that its answer must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub graphql: String,
    pub holds: Vec<String>,
}

impl Value for Query {
    const EXPECTED: &'static str =
        "a table such as { graphql = \"{ Aggregate { Article { meta { count } } } }\", holds = [\"3000\"] }";
    fn read(value: &Toml) -> Result<Self, String> {
        let wrong = || format!("is not {}", Self::EXPECTED);
        let table = value.as_table().ok_or_else(wrong)?;
        if let Some(other) = table.keys().find(|key| !["graphql", "holds"].contains(&key.as_str())) {
            return Err(format!("`{other}` is not known; {}", wrong()));
        }
        let graphql = table.get("graphql").ok_or_else(wrong)?;
        let holds = table.get("holds").ok_or_else(wrong)?;
        Ok(Self { graphql: Value::read(graphql)?, holds: Value::read(holds)? })
    }
}
