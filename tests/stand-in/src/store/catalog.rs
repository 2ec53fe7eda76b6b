//! The one file that says which classes and aliases there are.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::State;

const FILE: &str = "raft/raft.db";

#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Catalog {
    pub classes: Vec<Entry>,
    pub aliases: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Entry {
    pub schema: Value,
    pub sharding: Value,
}

impl Catalog {
    pub fn of(state: &State) -> Self {
        let entry =
            |class: &super::Class| Entry { schema: class.schema.clone(), sharding: class.sharding.clone() };
        Self { classes: state.classes.values().map(entry).collect(), aliases: state.aliases.clone() }
    }

    /// An absent file is an empty server; a corrupt one stops the start.
    pub fn read(root: &Path) -> io::Result<Self> {
        match std::fs::read(root.join(FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    pub fn write(&self, root: &Path) -> io::Result<()> {
        std::fs::create_dir_all(root.join("raft"))?;
        write_atomically(&root.join(FILE), &serde_json::to_vec(self).map_err(io::Error::other)?)
    }
}

/// Temp, fsync, rename.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let mut file = std::fs::File::create(&name)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&name, path)
}
