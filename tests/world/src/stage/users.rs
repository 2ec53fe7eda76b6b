//! Programs of users, each in a client's namespace, for as long as the stage stands.
//!
//! ```text
//! WORLD_PYTHON program ─ standard output: `ok` for what went well, `wrong: …` for what must never be ─▶ counted
//!        │                    standard error: told where nothing goes well any more
//!        ▲ SIGTERM: it looks once more, and ends with 0
//! ```

use std::collections::VecDeque;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::watch;

use super::Stage;
use crate::ledger::Client;

/// Names the interpreter of the programs: one that has the client's package.
const PYTHON: &str = "WORLD_PYTHON";

/// What a program has said so far.
#[derive(Clone, Debug, Default)]
struct Said {
    well: u64,
    wrong: Vec<String>,
    /// The last lines of its standard error.
    muttered: VecDeque<String>,
}

/// As many of those are kept.
const MUTTERED: usize = 10;

impl Said {
    fn hear(&mut self, line: &str) {
        if line == "ok" {
            self.well += 1;
        } else if let Some(what) = line.strip_prefix("wrong: ") {
            self.wrong.push(what.to_owned());
        }
    }

    fn mutter(&mut self, line: String) {
        self.muttered.push_back(line);
        if self.muttered.len() > MUTTERED {
            self.muttered.pop_front();
        }
    }
}

/// A program that runs. It is killed with the stage.
#[derive(Debug)]
pub struct User {
    program: Child,
    said: watch::Receiver<Said>,
}

impl Stage {
    /// Starts it; what it needs to know of the node stands in its environment.
    pub async fn start_user(
        &mut self,
        name: &str,
        client: Client,
        program: &Path,
        arguments: &[String],
    ) -> Result<()> {
        let python = std::env::var_os(PYTHON).with_context(|| format!("{PYTHON} names no interpreter"))?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(python)
            .arg(self.programs.repository.join(program))
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("NODE_URL", format!("http://{}:8080", self.address))
            .env("WRITER_KEY", &self.writer_key)
            .env("READER_KEY", &self.reader_key)
            // The client asks a package index for newer versions of itself: nobody is there.
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .env("NO_PROXY", self.address.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut program =
            self.vpc.inside(client, async move { command.spawn() }).await?.context("start a user")?;
        let (says, said) = watch::channel(Said::default());
        let output = program.stdout.take().context("a user has a standard output")?;
        let errors = program.stderr.take().context("a user has a standard error")?;
        self.others.spawn(listen(output, errors, says));
        let before = self.users.insert(name.to_owned(), User { program, said });
        ensure!(before.is_none(), "there is a user {name} already");
        Ok(())
    }

    /// Waits until something has gone well that began after this moment: the first may have begun before.
    pub async fn until_user_goes_on(&mut self, name: &str, patience: Duration) -> Result<()> {
        let mut said = self.user(name)?.said.clone();
        let before = said.borrow().well;
        let gone_on = tokio::time::timeout(patience, said.wait_for(|said| said.well >= before + 2)).await;
        match gone_on.map(|gone_on| gone_on.is_ok()) {
            Ok(true) => Ok(()),
            Ok(false) => bail!("the user {name} has ended"),
            Err(_) => {
                let muttered = Vec::from(said.borrow().muttered.clone()).join("\n");
                bail!("nothing went well for the user {name} within {} s:\n{muttered}", patience.as_secs())
            }
        }
    }

    /// Ends it; a sentence for each thing that it found wrong.
    pub async fn end_user(&mut self, name: &str, patience: Duration) -> Result<Vec<String>> {
        let mut user = self.users.remove(name).with_context(|| format!("there is no user {name}"))?;
        let id = user.program.id().with_context(|| format!("the user {name} has ended by itself"))?;
        kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGTERM).context("tell a user to end")?;
        let ended = tokio::time::timeout(patience, user.program.wait()).await;
        let status = ended.with_context(|| format!("the user {name} did not end"))??;
        // What it said last is heard when its end is.
        while user.said.changed().await.is_ok() {}
        let mut wrong: Vec<String> =
            user.said.borrow().wrong.iter().map(|what| format!("{name}: {what}")).collect();
        if !status.success() {
            let muttered = Vec::from(user.said.borrow().muttered.clone()).join("\n");
            wrong.push(format!("{name} ended with {status}:\n{muttered}"));
        }
        Ok(wrong)
    }

    fn user(&mut self, name: &str) -> Result<&mut User> {
        self.users.get_mut(name).with_context(|| format!("there is no user {name}"))
    }
}

/// To the end of what it says.
async fn listen(output: ChildStdout, errors: ChildStderr, says: watch::Sender<Said>) {
    let (mut lines, mut muttered) = (BufReader::new(output).lines(), BufReader::new(errors).lines());
    let hears = async {
        while let Ok(Some(line)) = lines.next_line().await {
            says.send_modify(|said| said.hear(&line));
        }
    };
    let mutters = async {
        while let Ok(Some(line)) = muttered.next_line().await {
            says.send_modify(|said| said.mutter(line));
        }
    };
    tokio::join!(hears, mutters);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_says_is_told_apart() {
        let mut said = Said::default();
        for line in ["ok", "a warning of some library", "wrong: 3 objects, not 4", "ok", "okay"] {
            said.hear(line);
        }
        (0..=MUTTERED).for_each(|number| said.mutter(number.to_string()));
        assert_eq!((said.muttered.len(), said.muttered.front().map(String::as_str)), (MUTTERED, Some("1")));
        assert_eq!((said.well, said.wrong), (2, vec!["3 objects, not 4".to_owned()]));
    }
}
