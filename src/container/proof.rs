//! The proof that the server sees the data volume and not the bare root disk.
//!
//! With the disk mounted after the container's start, `docker cp` returns the file of the new mount while the
//! server reads the directory below it (measured). `/proc/<pid>/root` shows what the process sees.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use nix::fcntl::OFlag;

use super::{ContainerError, spec};
use crate::disk::{DataVolume, PROOF};

/// A nonce is half as long; whatever is longer is none.
const MOST: u64 = 64;

/// Compares the device of the server's data directory, and reads the volume's nonce back through it.
pub fn prove(proc: &Path, pid: i64, volume: &DataVolume) -> Result<(), ContainerError> {
    // Opened as a root that nothing leads out of: an absolute link in the image would otherwise be followed on
    // our side of the mount namespace.
    let root = proc.join(pid.to_string()).join("root");
    let unreadable = |source| ContainerError::Proc { path: root.clone(), source };
    let wrong = |what: String| Err(ContainerError::NoProof { what });
    let opened = Dir::open_ambient_dir(&root, cap_std::ambient_authority()).map_err(unreadable)?;
    let data = match opened.open_dir(spec::DATA.trim_start_matches('/')) {
        Ok(data) => data,
        Err(error) => return wrong(format!("{} cannot be opened in it ({error})", spec::DATA)),
    };
    let nonce = read(&data);
    let device = data.into_std_file().metadata().map_err(unreadable)?.dev();
    if device != volume.device() {
        return wrong(format!("{} lies on another device", spec::DATA));
    }
    match nonce {
        Ok(nonce) if nonce == volume.nonce() => Ok(()),
        Ok(_) => wrong(format!("{}/{PROOF} holds another nonce", spec::DATA)),
        Err(error) => wrong(format!("{}/{PROOF} cannot be read ({error})", spec::DATA)),
    }
}

/// The directory is the server's, and who owns it can plant anything under this name: `O_NOFOLLOW` for a link,
/// `O_NONBLOCK` for a pipe, and a bound for a file without an end.
fn read(data: &Dir) -> std::io::Result<String> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let file = data.open_with(PROOF, &options)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// What lies where the proof belongs.
    type Planted = fn(&Path);

    const NONCE: &str = "0123456789abcdef0123456789abcdef";

    fn planted(make: impl FnOnce(&Path)) -> Result<(), ContainerError> {
        let proc = tempfile::tempdir().expect("a directory");
        let data = proc.path().join("77/root").join(spec::DATA.trim_start_matches('/'));
        std::fs::create_dir_all(&data).expect("makes");
        make(&data.join(PROOF));
        let mut record = crate::disk::tests::record("u", "AWS1");
        NONCE.clone_into(&mut record.nonce);
        prove(proc.path(), 77, &DataVolume::for_tests(data, record, true, (1000, 1000)))
    }

    #[test]
    fn nothing_that_the_server_can_plant_holds_the_boot_or_is_a_proof() {
        planted(|path| std::fs::write(path, NONCE).expect("writes")).expect("the control");
        let rows: [(&str, Planted, &str); 6] = [
            ("nothing", |_| {}, "cannot be read"),
            ("another nonce", |path| std::fs::write(path, "0123").expect("writes"), "another nonce"),
            // Its begin is right.
            (
                "a longer one",
                |path| std::fs::write(path, NONCE.repeat(1 << 20)).expect("writes"),
                "another nonce",
            ),
            ("a directory", |path| std::fs::create_dir(path).expect("makes"), "cannot be read"),
            (
                "a pipe, to which nobody writes",
                |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("makes"),
                "cannot be read",
            ),
            (
                "a link to the right nonce",
                |path| {
                    let other: PathBuf = path.with_file_name("other");
                    std::fs::write(&other, NONCE).expect("writes");
                    std::os::unix::fs::symlink("other", path).expect("links");
                },
                "cannot be read",
            ),
        ];
        for (what, make, why) in rows {
            let error = planted(make).expect_err(what);
            assert!(matches!(&error, ContainerError::NoProof { .. }), "{what}: {error}");
            assert!(error.to_string().contains(why), "{what}: {error}");
        }
    }
}
