//! The one way in which this program runs another, and what it gives up of its own.

use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// No core dump of this program or of those that it runs: keys stand in its memory, and a dump would lie on the
/// root volume, in systemd-coredump's store or where a crash reporter sends it. The limit ends the file, and a
/// process that is not dumpable is not handed to a pipe either (core(5)).
pub fn without_core_dumps() -> std::io::Result<()> {
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0)?;
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}

/// Why a subprocess did not do its work.
#[derive(Debug, Error)]
pub enum ProcessError {
    #[error("{program} could not be started")]
    Start { program: String, source: std::io::Error },
    #[error("{program} did not take its input or give its output")]
    Pipe { program: String, source: std::io::Error },
    #[error("{program} did not end within {} s", deadline.as_secs())]
    Deadline { program: String, deadline: Duration },
    #[error("`{command}` failed with {status}: {stderr}")]
    Failed { command: String, status: std::process::ExitStatus, stdout: String, stderr: String },
}

/// What a subprocess printed.
#[derive(Clone, Debug)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
}

/// Runs `program` with `arguments` and an optional standard input; success is exit status 0.
///
/// The child is killed when the deadline passes or when the future is dropped.
pub async fn run(
    program: &str,
    arguments: &[&str],
    input: Option<&[u8]>,
    deadline: Duration,
) -> Result<Output, ProcessError> {
    let (status, output) = run_any(program, arguments, input, deadline).await?;
    if status.success() {
        return Ok(output);
    }
    Err(ProcessError::Failed {
        command: std::iter::once(&program).chain(arguments).copied().collect::<Vec<_>>().join(" "),
        status,
        stdout: output.stdout.trim().to_owned(),
        stderr: output.stderr.trim().to_owned(),
    })
}

/// Like [`run`], for programs whose exit status is an answer (`blkid`: 2 means "nothing found").
pub async fn run_any(
    program: &str,
    arguments: &[&str],
    input: Option<&[u8]>,
    deadline: Duration,
) -> Result<(std::process::ExitStatus, Output), ProcessError> {
    let started = Command::new(program)
        .args(arguments)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env("LC_ALL", "C")
        .kill_on_drop(true)
        .spawn();
    let mut child = started.map_err(|source| ProcessError::Start { program: program.to_owned(), source })?;
    let pipe = |source| ProcessError::Pipe { program: program.to_owned(), source };
    let work = async {
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin.write_all(input).await.map_err(pipe)?;
        }
        child.wait_with_output().await.map_err(pipe)
    };
    let Ok(done) = tokio::time::timeout(deadline, work).await else {
        return Err(ProcessError::Deadline { program: program.to_owned(), deadline });
    };
    let done = done?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((done.status, Output { stdout: text(&done.stdout), stderr: text(&done.stderr) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[test]
    #[ignore = "gives up what other tests of this process may need: is run alone by the next test"]
    fn alone() {
        use nix::sys::resource::{Resource, getrlimit};
        assert_ne!(nix::sys::prctl::get_dumpable(), Ok(false), "before it the process is as any other");
        without_core_dumps().expect("may be given up");
        assert_eq!(getrlimit(Resource::RLIMIT_CORE), Ok((0, 0)));
        assert_eq!(nix::sys::prctl::get_dumpable(), Ok(false));
    }

    #[test]
    fn neither_this_program_nor_a_child_leaves_a_core_dump() {
        let program = std::env::current_exe().expect("this binary");
        let output = std::process::Command::new(program)
            .args(["--exact", "process::tests::alone", "--ignored"])
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }

    #[tokio::test]
    async fn output_and_input_go_through() {
        let output = run("cat", &[], Some(b"salt"), SOON).await.expect("cat works");
        assert_eq!(output.stdout, "salt");
    }

    #[tokio::test]
    async fn a_failure_names_the_command_and_its_words() {
        let error = run("sh", &["-c", "echo no >&2; exit 3"], None, SOON).await.expect_err("exit 3");
        assert!(matches!(&error, ProcessError::Failed { stderr, .. } if stderr == "no"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended() {
        let error = run("cat", &["/dev/zero"], None, Duration::from_millis(50)).await.expect_err("no end");
        assert!(matches!(error, ProcessError::Deadline { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let error = run("no-such-program", &[], None, SOON).await.expect_err("absent");
        assert_eq!(error.to_string(), "no-such-program could not be started");
    }
}
