//! Reading and merging the files.

use std::path::Path;

use toml::{Table, Value};

use super::{ConfigError, Settings};

/// Reads `file` and every `*.toml` in the directory `conf.d` beside it, in the order of their names; later
/// files win, key by key.
pub fn load(file: &Path) -> Result<Settings, ConfigError> {
    let mut table = read(file)?;
    let fragments = file.with_file_name("conf.d");
    let mut names = Vec::new();
    match std::fs::read_dir(&fragments) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(|source| unreadable(&fragments, source))?;
                if entry.path().extension().is_some_and(|ending| ending == "toml") {
                    names.push(entry.path());
                }
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(unreadable(&fragments, source)),
    }
    names.sort();
    for name in names {
        merge(&mut table, read(&name)?);
    }
    Settings::check(table)
}

fn unreadable(path: &Path, source: std::io::Error) -> ConfigError {
    ConfigError::Unreadable { path: path.display().to_string(), source }
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| unreadable(path, source))?;
    text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
        path: path.display().to_string(),
        message: error.to_string().trim().replace('\n', " "),
    })
}

/// Lays `over` on `under`: tables are merged, everything else is replaced.
pub fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}
