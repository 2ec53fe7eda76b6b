//! What the server knows and keeps: classes, tenants, aliases and their shards, all of it in files
//! under the data path, so that a restart serves the same and an emptied directory serves nothing.
//!
//! ```text
//! <data>/raft/raft.db            the catalog: schema, sharding state, aliases (JSON)
//! <data>/<class>/<shard>/...     one shard, in Weaviate's own layout
//! <data>/.backup.tmp/<Class>/    a restore on its way
//! ```

pub mod catalog;
pub mod class;
pub mod object;
pub mod segment;
pub mod shard;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use catalog::Catalog;
use class::Class;

#[derive(Debug)]
pub struct Store {
    pub root: PathBuf,
    pub node: String,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
pub struct State {
    pub classes: BTreeMap<String, Class>,
    pub aliases: BTreeMap<String, String>,
}

impl State {
    /// The class of that name or alias, and its own name.
    pub fn resolve<'a>(&'a self, name: &'a str) -> Option<&'a Class> {
        let name = self.aliases.get(name).map_or(name, String::as_str);
        self.classes.get(name)
    }

    pub fn resolve_mut(&mut self, name: &str) -> Option<&mut Class> {
        let name = self.aliases.get(name).cloned().unwrap_or_else(|| name.to_owned());
        self.classes.get_mut(&name)
    }
}

impl Store {
    pub fn open(root: &Path, node: &str) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        // Recording 18: what an empty server has in its directory.
        for file in [
            "classifications.db",
            "migration1.19.filter2search.skip.flag",
            "migration1.19.filter2search.state",
            "migration1.22.fs.hierarchy",
            "modules.db",
            "schema.db",
        ] {
            std::fs::OpenOptions::new().create(true).append(true).open(root.join(file))?;
        }
        std::fs::create_dir_all(root.join("raft/db_users"))?;
        std::fs::OpenOptions::new().create(true).append(true).open(root.join("raft/db_users/users.json"))?;
        let catalog = Catalog::read(root)?;
        let mut state = State { aliases: catalog.aliases, ..State::default() };
        for entry in catalog.classes {
            let class = Class::open(root, entry.schema, entry.sharding)?;
            state.classes.insert(class.name().to_owned(), class);
        }
        let store = Self { root: root.to_owned(), node: node.to_owned(), state: RwLock::new(state) };
        store.save(&store.read())?;
        Ok(store)
    }

    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn save(&self, state: &State) -> io::Result<()> {
        Catalog::of(state).write(&self.root)
    }

    pub fn flush(&self) -> io::Result<()> {
        let mut state = self.write();
        state.classes.values_mut().try_for_each(Class::flush)
    }
}
