//! Reading and merging the files.

use std::path::Path;

use toml::{Table, Value};

use super::{ConfigError, Settings};

/// For a configuration that is refused: settings that hold nothing of it but where the lifecycle hook's answer goes.
/// `None` where it does not say so much.
pub fn salvage(file: &Path) -> Option<Settings> {
    let table = merged(file).ok()?;
    let signal = table.get("signal")?.as_table()?;
    let hook = signal.get("asg")?.get("launch_hook")?.as_str()?;
    let on_final = signal.get("on_final").and_then(Value::as_str).unwrap_or("abandon");
    let text = format!(
        "[node]\ndeployment = \"unknown\"\nname = \"unknown\"\n[network]\neni = {{ id = \"unknown\" }}\n\
         [weaviate]\nimage = \"unknown\"\nkeys = {{ admin = \"sm:unknown\" }}\n[backup]\nbucket = \"unknown\"\n\
         [signal]\non_final = {}\n[signal.asg]\nlaunch_hook = {}\n",
        Value::from(on_final),
        Value::from(hook),
    );
    Settings::check(text.parse().ok()?).ok()
}

/// Reads `file` and every `*.toml` in the directory `conf.d` beside it, in the order of their names; later
/// files win, key by key.
pub fn load(file: &Path) -> Result<Settings, ConfigError> {
    Settings::check(merged(file)?)
}

fn merged(file: &Path) -> Result<Table, ConfigError> {
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
    Ok(table)
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
