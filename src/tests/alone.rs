//! A test that needs a process of its own: a namespace entered by a thread, another `PATH` or a limit would reach
//! the other tests of this process.

use std::path::Path;
use std::process::{Command, Stdio};

/// Runs the ignored test `name` of this very binary, under `unshare` with these options, and with `path` as `PATH`.
pub fn alone(name: &str, namespaces: &[&str], path: Option<&Path>) {
    let program = std::env::current_exe().expect("this binary");
    let mut command = Command::new("unshare");
    command.args(namespaces).arg("--");
    if let Some(path) = path {
        command.arg("env").arg(format!("PATH={}", path.display()));
    }
    let output = command
        .arg(program)
        .args(["--exact", name, "--ignored", "--nocapture"])
        .stdin(Stdio::null())
        .output()
        .expect("unshare runs; these tests need root");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{name}: {said}");
}
