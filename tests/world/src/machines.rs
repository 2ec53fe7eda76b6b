//! `world vm`: plays cases on whole machines, and says what came of it.

use std::cmp::Reverse;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::sync::Semaphore;
use world::stage::Programs;
use world::vm::{Case, Parts, Played, load_all, play};

use super::Vm;

pub async fn run(arguments: Vm) -> Result<bool> {
    let Vm { case, always, jobs, keep, figures, os, package, upgrade, server, repository } = arguments;
    let mut cases = load_all(&repository.join("tests/vm/cases"))?;
    for name in &case {
        cases.get(name).with_context(|| format!("no such case: {name}"))?;
    }
    cases.retain(|name, found| if case.is_empty() { !always || found.always } else { case.contains(name) });
    let parts = Parts { os, package, upgrade };
    // The agent is in the package.
    let programs = Programs { repository, agent: parts.package.clone(), server, archive: None };
    let slots = Arc::new(Semaphore::new(jobs.max(1)));
    let mut playing = tokio::task::JoinSet::new();
    // The longest first: at the end no slot is left waiting for one of them.
    let mut cases: Vec<Case> = cases.into_values().collect();
    cases.sort_by_key(|case| Reverse(case.acts.len()));
    for case in cases {
        let (programs, parts, slots) = (programs.clone(), parts.clone(), Arc::clone(&slots));
        playing.spawn(async move {
            let _slot = slots.acquire_owned().await;
            let began = Instant::now();
            let played = play(&case, &programs, &parts).await;
            (case, played, began.elapsed())
        });
    }
    let (mut passed, mut failed, mut measured) = (0, 0, serde_json::Map::new());
    while let Some(done) = playing.join_next().await {
        let (case, played, took) = done.context("a case panicked")?;
        let good = match &played {
            Ok(played) => {
                let answered = played.answered.map(|after| after.as_secs_f64());
                measured.insert(case.name.clone(), json!({ "answered_s": answered, "lives": played.lives }));
                tell(&case, played, took.as_secs_f64(), keep.as_deref())?
            }
            Err(error) => {
                println!(
                    "FAILED  {:<28} {:>6.1} s\n        the world failed: {error:#}",
                    case.name,
                    took.as_secs_f64()
                );
                false
            }
        };
        if good {
            passed += 1;
        } else {
            failed += 1;
        }
        // After each: an hour's run that is ended has measured something.
        if let Some(file) = &figures {
            std::fs::write(file, serde_json::to_string_pretty(&measured)? + "\n")?;
        }
    }
    println!("{passed} machines passed, {failed} failed");
    Ok(failed == 0 && passed > 0)
}

fn tell(case: &Case, played: &Played, took: f64, keep: Option<&Path>) -> Result<bool> {
    let Played { complaints, journal, console, ledger, lives: _, answered } = played;
    let good = complaints.is_empty();
    let answered = answered
        .map_or_else(String::new, |after| format!("hook answered after {:.1} s", after.as_secs_f64()));
    println!("{}  {:<28} {took:>6.1} s  {answered}", if good { "ok    " } else { "FAILED" }, case.name);
    for complaint in complaints {
        println!("        {complaint}");
    }
    if let Some(folder) = keep {
        std::fs::create_dir_all(folder)?;
        for (kind, text) in [("journal", journal), ("console", console), ("ledger", ledger)] {
            std::fs::write(folder.join(format!("{}.{kind}", case.name)), text)?;
        }
    } else if !good {
        for line in journal.lines().rev().take(25).collect::<Vec<_>>().into_iter().rev() {
            println!("        | {line}");
        }
    }
    Ok(good)
}
