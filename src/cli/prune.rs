//! `prune`: asks the `run` that serves the node which backups may go, and shows why; with `--apply` they go.

use super::asked::Wait;
use super::{Exit, Globals, asked};
use crate::catalog::{Pruned, Verdict};
use crate::control::{Answer, Request};

pub async fn prune(globals: &Globals, apply: bool) -> Exit {
    match asked::ask(globals, Request::Prune { apply }, Wait::Ended).await {
        Ok(Answer::Pruned(pruned)) => {
            if globals.json {
                println!("{}", serde_json::json!(pruned));
            } else {
                print!("{}", text(&pruned));
            }
            Exit::Done
        }
        Ok(_) => Exit::Bug,
        Err(exit) => exit,
    }
}

fn text(pruned: &Pruned) -> String {
    let Pruned { applied, verdicts } = pruned;
    let widest = verdicts.iter().map(|verdict| verdict.id.len()).max().unwrap_or_default();
    let line = |verdict: &Verdict| {
        let Verdict { id, bytes, reason } = verdict;
        let (what, mib) = (what(reason.goes(), *applied), bytes >> 20);
        format!("{what:<6}  {id:<widest$}  {mib:>8} MiB  {reason}\n")
    };
    let (count, bytes) = verdicts
        .iter()
        .filter(|verdict| verdict.reason.goes())
        .fold((0, 0), |(count, bytes), verdict| (count + 1, bytes + verdict.bytes));
    let sum = match (count, applied) {
        (0, _) => "Nothing may go.\n".to_owned(),
        (_, true) => format!("Removed: {count}, {} MiB.\n", bytes >> 20),
        (_, false) => format!("May go: {count}, {} MiB; `--apply` removes them.\n", bytes >> 20),
    };
    verdicts.iter().map(line).collect::<String>() + &sum
}

const fn what(goes: bool, applied: bool) -> &'static str {
    match (goes, applied) {
        (false, _) => "stays",
        (true, false) => "may go",
        (true, true) => "gone",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Reason;

    #[test]
    fn each_backup_has_its_line_and_the_sum_stands_below() {
        let verdict = |id: &str, reason| Verdict { id: id.to_owned(), bytes: 3 << 20, reason };
        let verdicts = vec![verdict("newest", Reason::Latest), verdict("old", Reason::Surplus)];
        let said = text(&Pruned { applied: false, verdicts: verdicts.clone() });
        insta::assert_snapshot!(said, @r"
        stays   newest         3 MiB  the manifest names it
        may go  old            3 MiB  newer ones of its day and week stay
        May go: 1, 3 MiB; `--apply` removes them.
        ");
        let said = text(&Pruned { applied: true, verdicts: verdicts.clone() });
        assert!(said.contains("gone    old") && said.ends_with("Removed: 1, 3 MiB.\n"), "{said}");
        let said = text(&Pruned { applied: true, verdicts: verdicts[..1].to_vec() });
        assert!(said.ends_with("Nothing may go.\n"), "{said}");
    }
}
