//! Directories and files on the tmpfs, which the server's user may read and nobody else.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, fchown};
use std::path::{Path, PathBuf};

use nix::sys::statfs;

use super::SecretsError;
use crate::host::Host;

fn failed(path: &Path, operation: &'static str) -> impl Fn(std::io::Error) -> SecretsError {
    move |source| SecretsError::File { path: path.to_owned(), operation, source }
}

/// Makes both directories; refuses where the bytes would reach a disk.
pub fn prepare(host: &Host) -> Result<(PathBuf, PathBuf), SecretsError> {
    let run = &host.roots.run;
    std::fs::create_dir_all(run).map_err(failed(run, "made"))?;
    check_tmpfs(run)?;
    let owner = (host.settings.storage.uid, host.settings.storage.gid);
    let (config, overrides) = (run.join("weaviate"), run.join("overrides"));
    for directory in [&config, &overrides] {
        make(directory, owner)?;
        // Something may be mounted on the directory itself.
        check_tmpfs(directory)?;
    }
    Ok((config, overrides))
}

pub fn check_tmpfs(path: &Path) -> Result<(), SecretsError> {
    let kind = statfs::statfs(path).map_err(|errno| failed(path, "looked at")(errno.into()))?;
    if kind.filesystem_type() == statfs::TMPFS_MAGIC {
        Ok(())
    } else {
        Err(SecretsError::NotTmpfs { path: path.to_owned() })
    }
}

/// Makes a directory that only the server's user may enter; on a tmpfs, where `check_tmpfs` says so.
pub fn make(directory: &Path, (uid, gid): (u32, u32)) -> Result<(), SecretsError> {
    std::fs::create_dir_all(directory).map_err(failed(directory, "made"))?;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o500))
        .map_err(failed(directory, "given its mode"))?;
    chown(directory, Some(uid), Some(gid)).map_err(failed(directory, "given to the server's user"))
}

/// Replaces `directory/name` at once; left alone where it holds the same bytes already, and is the server's alone.
pub fn write(directory: &Path, name: &str, bytes: &[u8], (uid, gid): (u32, u32)) -> Result<(), SecretsError> {
    let path = directory.join(name);
    let theirs = std::fs::symlink_metadata(&path).is_ok_and(|there| {
        there.is_file() && (there.uid(), there.gid(), there.mode() & 0o7777) == (uid, gid, 0o400)
    });
    if theirs && std::fs::read(&path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let temporary = directory.join(format!("{name}.tmp"));
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed(&temporary, "removed")(error));
        }
        _ => {}
    }
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            fchown(&file, Some(uid), Some(gid))?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&temporary, &path))
        .map_err(failed(&path, "written"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_refused_and_a_tmpfs_is_not() {
        assert!(check_tmpfs(Path::new("/dev/shm")).is_ok(), "/dev/shm is a tmpfs");
        let error = check_tmpfs(Path::new("/proc")).expect_err("/proc is none");
        assert!(matches!(error, SecretsError::NotTmpfs { .. }), "{error}");
    }

    #[test]
    fn what_cannot_be_made_or_written_is_named() {
        let root = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let directory = root.path().join("weaviate");
        std::fs::write(&directory, "").expect("writes");
        let error = make(&directory, (1000, 1000)).expect_err("a file is in its place");
        assert!(matches!(&error, SecretsError::File { operation: "made", .. }), "{error}");
        std::fs::remove_file(&directory).expect("removes");
        make(&directory, (1000, 1000)).expect("the control");
        std::fs::create_dir(directory.join("config.json.tmp")).expect("makes");
        let error = write(&directory, "config.json", b"x", (1000, 1000)).expect_err("a directory");
        assert!(matches!(&error, SecretsError::File { .. }), "{error}");
    }

    #[test]
    fn the_file_is_the_servers_and_nobody_elses() {
        let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let config = directory.path().join("weaviate");
        make(&config, (1000, 1000)).expect("root may");
        for text in ["one", "two", "two"] {
            write(&config, "config.json", text.as_bytes(), (1000, 1000)).expect("root may");
            let path = config.join("config.json");
            assert_eq!(std::fs::read_to_string(&path).expect("is there"), text);
            let metadata = std::fs::metadata(&path).expect("is there");
            assert_eq!((metadata.uid(), metadata.mode() & 0o777), (1000, 0o400));
        }
        // The same bytes, but not the server's alone any more: an older configuration, or a careless hand.
        let path = config.join("config.json");
        let spoilt: [fn(&Path); 3] = [
            |path| chown(path, Some(1001), None).expect("root may"),
            |path| chown(path, None, Some(0)).expect("root may"),
            |path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o444)).expect("root may"),
        ];
        for spoil in spoilt {
            spoil(&path);
            write(&config, "config.json", b"two", (1000, 1000)).expect("root may");
            let metadata = std::fs::metadata(&path).expect("is there");
            assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o777), (1000, 1000, 0o400));
        }
        let metadata = std::fs::metadata(&config).expect("is there");
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (1000, 0o500));
        assert_eq!(std::fs::read_dir(&config).expect("opens").count(), 1, "no temporary file is left");
    }
}
