//! Every place that outlives a run, searched for the planted secrets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Stage;

/// Nothing larger is read: images and data, no notes.
const LARGEST: u64 = 16 << 20;

impl Stage {
    /// State, logs, temporary files, containers, the volume's identity, what lies in the bucket.
    pub async fn search_everywhere(&self) {
        self.planted.know_vended(&self.cloud);
        self.agent_log();
        // Whatever anybody wrote to the root volume: state, configuration, logs, /tmp.
        let root = self.machine.written_root();
        for file in files(&root) {
            let place = Path::new("/").join(file.strip_prefix(&root).unwrap_or(&file));
            self.search_file(&place.display().to_string(), &file);
        }
        // These are file systems of their own, and of each only the folder itself: the server's own files, which is
        // where secrets belong, lie below the one, its data below the other.
        for folder in ["/run", "/run/weaviate-provisioner", &self.mount()] {
            for entry in std::fs::read_dir(self.machine.path(folder)).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                    let place = format!("{folder}/{}", entry.file_name().to_string_lossy());
                    self.search_file(&place, &entry.path());
                }
            }
        }
        self.watch.search_logs_again();
        let docker = |arguments: &[&str]| {
            let command = self.machine.command("docker").map(|command| command.args(arguments));
            async move { command?.output(Duration::from_secs(10)).await }
        };
        if let Ok(listed) = docker(&["ps", "--all", "--quiet"]).await {
            for id in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
                if let Ok(inspected) = docker(&["inspect", id]).await {
                    self.planted.search("docker inspect", &inspected.stdout);
                }
            }
        }
        // What was overwritten since was searched when it was written.
        for object in self.store.keys(super::BUCKET, "").iter().filter(|object| object.size <= LARGEST) {
            if let Some(bytes) =
                self.store.read(super::BUCKET, &object.key).filter(|_| is_a_note(&object.key))
            {
                self.planted.search(&object.key, &bytes);
            }
        }
    }

    /// Where the agent mounts the volume.
    fn mount(&self) -> String {
        let config = std::fs::read_to_string(self.machine.path("/etc/weaviate-provisioner/config.toml"));
        let config: Option<toml::Table> = config.ok().and_then(|text| text.parse().ok());
        let mount = config.as_ref().and_then(|config| config.get("storage")?.get("mount")?.as_str());
        mount.unwrap_or("/workspace/weaviate").to_owned()
    }

    fn search_file(&self, place: &str, file: &Path) {
        // One that goes while it is read held nothing that stays.
        if let Ok(bytes) = std::fs::read(file) {
            self.planted.search(place, &bytes);
        }
    }
}

/// What a node writes itself; the rest are backups, which no agent has made here.
fn is_a_note(key: &str) -> bool {
    Path::new(key).extension().is_some_and(|extension| extension == "json" || extension == "tmp")
}

/// All files below, of a size that can be read; links and devices are none.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() {
                folders.push(entry.path());
            } else if about.is_file() && about.len() <= LARGEST {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_all_folders_and_links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a directory");
        let inner = folder.path().join("a/b");
        std::fs::create_dir_all(&inner).expect("directories");
        std::fs::write(inner.join("note"), "x").expect("a file");
        std::os::unix::fs::symlink("/etc/passwd", inner.join("link")).expect("a link");
        std::os::unix::fs::symlink("/etc", folder.path().join("folder")).expect("a link");
        assert_eq!(files(folder.path()), [inner.join("note")]);
    }
}
