//! `world rehearse`: plays one case, or all of them with their controls, and says what came of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::Semaphore;
use world::case::{Case, Outcome, Played, WorldOutcome, load_all, play};
use world::stage::Programs;
use world::{kill, rot};

use super::Rehearse;

pub async fn run(arguments: Rehearse) -> Result<bool> {
    let Rehearse { case, all, soak, list, json, jobs, keep, cases, agent, server, repository, image } =
        arguments;
    let cases = load_all(&repository.join(cases))?;
    if list {
        for case in cases.values() {
            println!("{:<32} {}", case.name, case.about);
        }
        return Ok(true);
    }
    let programs = Programs { repository, agent, server, archive: image };
    let wanted: Vec<Case> = if all {
        cases.values().flat_map(|case| std::iter::once(case.clone()).chain(case.control())).collect()
    } else if let Some(name) = case.strip_suffix("~control") {
        vec![cases.get(name).and_then(Case::control).with_context(|| format!("{name} has no control"))?]
    } else {
        vec![cases.get(&case).with_context(|| format!("no such case: {case}; --list shows them"))?.clone()]
    };
    ensure!(json.is_none() || wanted.len() == 1, "--json writes one case");
    let alone = wanted.len() == 1;
    // All of them at a time is what each is built to stand; one alone is for a person to look at.
    let jobs = jobs.unwrap_or(if all { 4 } else { 1 });
    let slots = Arc::new(Semaphore::new(jobs.max(1)));
    let mut playing = tokio::task::JoinSet::new();
    for case in wanted {
        let (programs, slots) = (programs.clone(), Arc::clone(&slots));
        playing.spawn(async move {
            if case.kill.is_some() || case.rot.is_some() {
                // Takes a slot for each of its plays.
                let began = Instant::now();
                let played = Box::pin(many(&case, &programs, soak, &slots)).await;
                return (case, played, began.elapsed());
            }
            let _slot = slots.acquire_owned().await;
            let began = Instant::now();
            let played = play(&case, &programs).await;
            (case, played, began.elapsed())
        });
    }
    let (mut passed, mut failed) = (0, 0);
    while let Some(done) = playing.join_next().await {
        let (case, played, took) = done.context("a case panicked")?;
        let good = match &played {
            Ok(played) => tell(&case, played, took.as_secs_f64(), alone, keep.as_deref())?,
            Err(error) => {
                println!(
                    "FAILED  {:<40} {:>6.1} s\n        the world failed: {error:#}",
                    case.name,
                    took.as_secs_f64()
                );
                false
            }
        };
        if let Some(file) = &json {
            let outcome = match played {
                Ok(played) => played.outcome,
                Err(error) => {
                    let reason = format!("the world failed: {error:#}");
                    Outcome::failed(&case.name, reason, WorldOutcome::default())
                }
            };
            std::fs::write(file, serde_json::to_string_pretty(&outcome)? + "\n")?;
        }
        if good { passed += 1 } else { failed += 1 }
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}

/// A case that is played again and again, and what it prints of that.
async fn many(case: &Case, programs: &Programs, soak: bool, slots: &Arc<Semaphore>) -> Result<Played> {
    let (played, figures) = match (&case.kill, &case.rot) {
        (Some(spec), _) => kill::play(case, spec, programs, soak, slots).await?,
        (None, Some(spec)) => rot::play(case, spec, programs, slots).await?,
        (None, None) => return play(case, programs).await,
    };
    println!("{figures}");
    Ok(played)
}

/// One line for a case that went as expected; everything that helps for one that did not.
fn tell(case: &Case, played: &Played, took: f64, alone: bool, keep: Option<&Path>) -> Result<bool> {
    let good = played.complaints.is_empty();
    let Played { outcome, complaints, log, ledger, picture } = played;
    println!(
        "{}  {:<40} {took:>6.1} s  {}",
        if good { "ok    " } else { "FAILED" },
        case.name,
        summary(outcome)
    );
    for complaint in complaints {
        println!("        {complaint}");
    }
    if let Some(folder) = keep {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join(format!("{}.log", case.name)), log)?;
        std::fs::write(folder.join(format!("{}.ledger", case.name)), ledger)?;
        std::fs::write(folder.join(format!("{}.svg", case.name)), picture)?;
    } else if !good {
        for line in log.lines().rev().take(25).collect::<Vec<_>>().into_iter().rev() {
            println!("        | {line}");
        }
    }
    if alone {
        print!("{}", transcript(case, outcome));
    }
    Ok(good)
}

fn summary(outcome: &Outcome) -> String {
    match &outcome.reason {
        Some(reason) => format!("{}: {reason}", outcome.outcome),
        None => outcome.outcome.clone(),
    }
}

/// What a person who tries the project wants to see of one case.
fn transcript(case: &Case, outcome: &Outcome) -> String {
    use std::fmt::Write as _;
    let mut out = format!("\n{}\n\n", case.about);
    for step in &outcome.steps {
        let _ = writeln!(
            out,
            "  {:<10} {:>7.2} s  +{:>6.2} s  {}",
            step.name,
            ms(step.start_ms),
            ms(step.end_ms - step.start_ms.min(step.end_ms)),
            step.status
        );
    }
    if let Some(restored) = &outcome.restored {
        let _ = writeln!(
            out,
            "\n  restored   {} ({}, {} bytes)",
            restored.backup_id.as_deref().unwrap_or("nothing"),
            restored.mode,
            restored.bytes
        );
        for (collection, tenants) in &restored.collections {
            for (tenant, objects) in tenants {
                let name =
                    if tenant.is_empty() { collection.clone() } else { format!("{collection}/{tenant}") };
                let _ = writeln!(out, "             {name:<24} {objects}");
            }
        }
    }
    let world = &outcome.world;
    let _ = writeln!(
        out,
        "\n  the world saw: hook {}, near client {}, far client {}, stranger {}, forbidden acts {}",
        world.lifecycle_action.as_deref().unwrap_or("unanswered"),
        world.near_status,
        world.client_status,
        world.stranger_status,
        world.forbidden.len()
    );
    out
}

#[expect(clippy::cast_precision_loss, reason = "a case does not last 2^52 ms")]
fn ms(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
