//! The proof that the server sees the data volume and not the bare root disk.
//!
//! With the disk mounted after the container's start, `docker cp` returns the file of the new mount while the
//! server reads the directory below it (measured). `/proc/<pid>/root` shows what the process sees.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{ContainerError, spec};
use crate::disk::{DataVolume, PROOF};

/// Compares the device of the server's data directory, and reads the volume's nonce back through it.
pub fn prove(proc: &Path, pid: i64, volume: &DataVolume) -> Result<(), ContainerError> {
    // Opened as a root that nothing leads out of: an absolute link in the image would otherwise be followed on
    // our side of the mount namespace.
    let root = proc.join(pid.to_string()).join("root");
    let unreadable = |source| ContainerError::Proc { path: root.clone(), source };
    let wrong = |what: String| Err(ContainerError::NoProof { what });
    let opened =
        cap_std::fs::Dir::open_ambient_dir(&root, cap_std::ambient_authority()).map_err(unreadable)?;
    let data = match opened.open_dir(spec::DATA.trim_start_matches('/')) {
        Ok(data) => data,
        Err(error) => return wrong(format!("{} cannot be opened in it ({error})", spec::DATA)),
    };
    let nonce = data.read_to_string(PROOF);
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
