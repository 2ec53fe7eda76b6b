//! The side of the other commands.

use std::io::ErrorKind;
use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::SOCKET;
use super::error::ControlError;
use super::messages::{Answer, Request};

/// Asks the `run` that lives, and waits for the end; `says` hears how far it is. No deadline of its own: how long a
/// backup may take is decided by who makes it, and a `run` that dies hangs up.
pub async fn ask(run: &Path, request: &Request, mut says: impl FnMut(&str)) -> Result<Answer, ControlError> {
    talk(run, request, |line| {
        says(line);
        true
    })
    .await
}

/// The same, but no longer than until it is under way: then [`Answer::Says`] what is done first.
pub async fn order(run: &Path, request: &Request) -> Result<Answer, ControlError> {
    talk(run, request, |_| false).await
}

/// Until the end, or until `goes_on` says no.
async fn talk(
    run: &Path,
    request: &Request,
    mut goes_on: impl FnMut(&str) -> bool,
) -> Result<Answer, ControlError> {
    let path = run.join(SOCKET);
    let mut stream = UnixStream::connect(&path).await.map_err(|source| unheard(&path, source))?;
    let mut text =
        serde_json::to_vec(request).map_err(|error| ControlError::Malformed { what: error.to_string() })?;
    text.push(b'\n');
    stream.write_all(&text).await.map_err(|_| ControlError::HungUp)?;
    let mut lines = BufReader::new(stream).lines();
    loop {
        let line = lines.next_line().await.ok().flatten().ok_or(ControlError::HungUp)?;
        match serde_json::from_str(&line) {
            Ok(Answer::Says(line)) if goes_on(&line) => {}
            Ok(end) => return Ok(end),
            Err(error) => return Err(ControlError::Malformed { what: error.to_string() }),
        }
    }
}

/// Why nobody hears: a pure function of the system's answer.
fn unheard(path: &Path, source: std::io::Error) -> ControlError {
    let path = path.display().to_string();
    match source.kind() {
        ErrorKind::PermissionDenied => ControlError::Denied { path, source },
        _ => ControlError::Absent { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_root_is_told_so() {
        let of = |kind: ErrorKind| unheard(Path::new("/run/x"), kind.into());
        assert!(matches!(of(ErrorKind::PermissionDenied), ControlError::Denied { .. }));
        for kind in [ErrorKind::NotFound, ErrorKind::ConnectionRefused] {
            assert!(matches!(of(kind), ControlError::Absent { .. }), "{kind}");
        }
    }
}
