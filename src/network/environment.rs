//! `/run/weaviate-provisioner/env`: what programs on this instance need to reach the node, while it serves.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use super::NetworkError;
use super::door::PORTS;
use crate::state::replace;

const FILE: &str = "env";

fn render(address: Ipv4Addr, grpc: bool) -> String {
    let [rest, grpc_port] = PORTS;
    let mut text = format!("WEAVIATE_PRIVATE_IP={address}\nWEAVIATE_HTTP_PORT={rest}\n");
    if grpc {
        let _ = writeln!(text, "WEAVIATE_GRPC_PORT={grpc_port}");
    }
    text
}

/// For everybody on this instance: `EnvironmentFile=` of their units reads it.
pub(super) fn write(run: &Path, address: Ipv4Addr, grpc: bool) -> Result<(), NetworkError> {
    let path = run.join(FILE);
    let unwritable = |source| NetworkError::Unwritable { path: path.clone(), source };
    std::fs::create_dir_all(run).map_err(unwritable)?;
    replace(&path, render(address, grpc).as_bytes(), 0o644).map_err(unwritable)
}

/// The address of the node that an earlier run has proved to serve; `None` where none does.
pub(super) fn address(run: &Path) -> Option<Ipv4Addr> {
    let text = std::fs::read_to_string(run.join(FILE)).ok()?;
    text.lines().find_map(|line| line.strip_prefix("WEAVIATE_PRIVATE_IP=")?.parse().ok())
}

/// Nobody is sent to a node that does not serve.
pub(super) fn remove(run: &Path) -> Result<(), NetworkError> {
    let path = run.join(FILE);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(NetworkError::Unwritable { path, source: error })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_there_only_between_write_and_remove() {
        let run = tempfile::tempdir().expect("a directory");
        remove(run.path()).expect("nothing to remove");
        assert_eq!(address(run.path()), None);
        write(run.path(), Ipv4Addr::new(10, 0, 2, 15), true).expect("writes");
        let text = std::fs::read_to_string(run.path().join(FILE)).expect("is there");
        assert_eq!(
            text,
            "WEAVIATE_PRIVATE_IP=10.0.2.15\nWEAVIATE_HTTP_PORT=8080\nWEAVIATE_GRPC_PORT=50051\n"
        );
        write(run.path(), Ipv4Addr::new(10, 0, 2, 15), false).expect("writes");
        assert!(!std::fs::read_to_string(run.path().join(FILE)).expect("is there").contains("GRPC"));
        assert_eq!(address(run.path()), Some(Ipv4Addr::new(10, 0, 2, 15)));
        remove(run.path()).expect("removes");
        assert!(!run.path().join(FILE).exists());
        std::fs::create_dir_all(run.path().join(FILE).join("x")).expect("makes");
        for error in [remove(run.path()), write(run.path(), Ipv4Addr::LOCALHOST, true)] {
            assert!(
                matches!(error, Err(NetworkError::Unwritable { .. })),
                "a directory is in its place: {error:?}"
            );
        }
    }
}
