//! `world bench boot`: ours beside the script that a user would write, in the same world with the same delays.
//!
//! The world measures from outside: from the start of the program to the first client afar that counts all
//! objects. Nothing is taken from the program's own clock.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;
use world::case::{Scene, count_everything};
use world::cloud::spec::OLD;
use world::faults::{Effect, Fault};
use world::kill::shim;
use world::ledger::{Client, Event, Seen};
use world::stage::{Programs, Stage};

use super::{megabytes, resident, unit};

/// What the scene injects.
const API: Duration = Duration::from_millis(40);
const S3_FIRST_BYTE: Duration = Duration::from_millis(15);
const S3_RATE: u64 = 20_000_000;
const RELEASE: Duration = Duration::from_secs(8);
/// The agent's memory must not grow with the backup: one that fits any buffer, and one that fits none.
const MEMORY_MIB: [u64; 2] = [48, 1908];
/// What the figures are held to: a third of the script's time is aimed at, a half is the limit.
const RATIO: f64 = 0.5;
/// Above the critical path: the larger of the two.
const ABOVE: (f64, f64) = (0.15, 0.05);
const MEMORY_MB: f64 = 40.0;
/// Longer than anything that is not stuck.
const PATIENCE: Duration = Duration::from_mins(4);

/// One program's figures.
struct Figures {
    serving: Duration,
    /// Largest resident memory of the program itself, in KiB; none for a script.
    peak: Option<u64>,
    bytes: u64,
    critical: Duration,
    /// What the world saw from the address's release to the first client, with seconds since the release.
    last_stretch: Vec<String>,
}

fn scene(mib: u64, unmanaged: bool) -> Result<Scene> {
    let mut scene: Scene = toml::from_str(&format!(
        "old_owner = \"running\"\n[cloud.delays]\nshutting_down = {}\n[bucket]\ngenerated = {{ seed = 1, mib = {mib}, compression = \"zstd\", bases = 0, classes = [\"Bulk\"] }}\nfirst_byte_ms = {}\nbytes_per_second = {S3_RATE}\n",
        RELEASE.as_secs_f64(),
        S3_FIRST_BYTE.as_millis(),
    ))?;
    for service in ["ec2", "autoscaling", "secretsmanager", "ssm", "sts"] {
        let late = Effect::Latency { ms: u64::try_from(API.as_millis())? };
        scene.faults.push(Fault::on(format!("{service}:*"), late));
    }
    scene.unmanaged = unmanaged;
    Ok(scene)
}

/// Runs both and prints the ratio; then ours with a small and a large backup, for its memory. An error names the
/// goals that were missed.
pub async fn boot(programs: &Programs, venv: &std::path::Path, mib: u64) -> Result<()> {
    let mut missed = Vec::new();
    let ours = measure(programs, mib, None).await.context("ours")?;
    let theirs = measure(programs, mib, Some(venv)).await.context("userdata.sh")?;
    let seconds = |figures: &Figures| figures.serving.as_secs_f64();
    println!(
        "boot of {} MB in the embedded cloud (stand-in), from start to the first far client that counts everything",
        ours.bytes / 1_000_000
    );
    println!("  ours            {:>7.2} s   peak memory {:.1} MB", seconds(&ours), megabytes(ours.peak));
    println!("  userdata.sh     {:>7.2} s", seconds(&theirs));
    let ratio = seconds(&ours) / seconds(&theirs);
    println!("  ratio           {ratio:>7.2}   (a third is aimed at, {RATIO} the limit)");
    if ratio > RATIO {
        missed.push(format!("the ratio is {ratio:.2}"));
    }
    println!(
        "  critical path   {:>7.2} s   from the injected delays; ours is {:.2} s above it",
        ours.critical.as_secs_f64(),
        seconds(&ours) - ours.critical.as_secs_f64()
    );
    println!("  ours, after the address is free:");
    ours.last_stretch.iter().for_each(|line| println!("    {line}"));
    let (above, critical) = (seconds(&ours) - ours.critical.as_secs_f64(), ours.critical.as_secs_f64());
    if above > ABOVE.0.max(ABOVE.1 * critical) {
        missed.push(format!("ours is {above:.2} s above the critical path"));
    }
    for mib in MEMORY_MIB {
        let ours = measure(programs, mib, None).await.with_context(|| format!("ours, {mib} MiB"))?;
        println!(
            "  ours, {:>4} MB   {:>7.2} s   peak memory {:.1} MB",
            ours.bytes / 1_000_000,
            seconds(&ours),
            megabytes(ours.peak)
        );
        if megabytes(ours.peak) > MEMORY_MB {
            missed.push(format!("{:.1} MB of memory for {mib} MiB", megabytes(ours.peak)));
        }
    }
    ensure!(missed.is_empty(), "missed: {}", missed.join("; "));
    Ok(())
}

async fn measure(programs: &Programs, mib: u64, venv: Option<&std::path::Path>) -> Result<Figures> {
    let mut stage = Stage::set(programs, &scene(mib, venv.is_some())?).await?;
    // Its end begins with the boot: whatever the stage took before is nobody's lead.
    stage.cloud.terminate(OLD);
    let began = Instant::now();
    let mut running = match venv {
        // Without the shims, which are the world's and cost time.
        None => {
            let path = ("PATH".to_owned(), shim::PATH.to_owned());
            let environment: Vec<_> = unit(&programs.repository)?.into_iter().chain([path]).collect();
            let environment: Vec<_> = environment.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
            stage.start_agent_with(&["--once"], &environment)?
        }
        Some(venv) => stage.start_script(&programs.repository.join("tests/peers/userdata.sh"), venv)?,
    };
    let mut peak = None;
    let serving = loop {
        ensure!(began.elapsed() < PATIENCE, "it does not serve:\n{}", stage.agent_log());
        if let Some(status) = running.process.ended() {
            ensure!(status.success(), "it ended with {status}:\n{}", stage.agent_log());
        }
        peak = resident(running.process.id()).max(peak);
        if count_everything(&stage, Client::Far).await {
            break began.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    tokio::time::timeout(PATIENCE, running.process.wait()).await.context("it does not end")??;
    let bytes = stage.bytes();
    stage.quiet().await;
    let critical = critical(bytes);
    let last_stretch = last_stretch(&stage.ledger.events());
    stage.strike().await?;
    Ok(Figures { serving, peak: peak.filter(|_| venv.is_none()), bytes, critical, last_stretch })
}

/// Where the time above the critical path goes.
fn last_stretch(events: &[Seen]) -> Vec<String> {
    let free = |seen: &Seen| matches!(&seen.event, Event::State { to, .. } if to == "available");
    let Some(begin) = events.iter().rposition(free) else { return Vec::new() };
    let since = |seen: &Seen| seen.at.duration_since(events[begin].at).as_secs_f64();
    let mut lines = Vec::new();
    for seen in &events[begin..] {
        let what = match &seen.event {
            Event::Call { service, operation, parameters, .. } => {
                let key = parameters.get("Key").map(|key| format!(" {key}")).unwrap_or_default();
                format!("{service}:{operation}{key}")
            }
            Event::Server { method, path, .. } => format!("the server: {method} {path}"),
            Event::Reached { .. } => "a client gets in".to_owned(),
            _ => continue,
        };
        lines.push(format!("{:>5.2} s  {what}", since(seen)));
        if matches!(seen.event, Event::Reached { .. }) {
            break;
        }
    }
    lines
}

/// The longer of the two ways, from the delays alone: the address (release, the attach call, the hot-plug), and
/// the data (the 16 connections that ours begins with, of the injected rate, then the server's own first poll of 2 s), plus what follows both
/// (read and write the manifest).
fn critical(bytes: u64) -> Duration {
    let hotplug = world::cloud::spec::CloudSpec::default().delays.hotplug;
    let address = RELEASE + API + hotplug;
    #[expect(clippy::cast_precision_loss, reason = "bytes of a backup of the bench")]
    let download = Duration::from_secs_f64(bytes as f64 / (16.0 * S3_RATE as f64)) + S3_FIRST_BYTE;
    let data = download + Duration::from_secs(2);
    address.max(data) + 3 * S3_FIRST_BYTE
}
