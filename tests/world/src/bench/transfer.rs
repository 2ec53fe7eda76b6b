//! `world bench transfer`: the bytes of a restore and of a backup, beside the AWS CLI on the same line, and beside the
//! server's own way (`direct`).
//!
//! ```text
//!            ┌─ ours: run, backup --full ────┐
//! backup ────┼─ aws s3 cp --recursive ───────┼─▶ one line for all connections ─▶ first to last byte of its objects
//!            └─ the server itself (direct) ──┘
//! ```
//!
//! What is printed was seen at the store's end of the line. Only ours hashes what it moves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;
use world::case::{Scene, calls, count_everything};
use world::fixtures;
use world::kill::shim;
use world::ledger::Client;
use world::s3::{Carried, Line};
use world::stage::{Agent, BUCKET, Programs, Stage};

use super::{megabytes, resident, unit};

/// What all connections share.
const LINE: u64 = 150_000_000;
/// What one connection carries, and on a bad day; and how long its first byte takes: as they were measured for the design.
const CONNECTION: u64 = 20_000_000;
const SLOW: u64 = 5_000_000;
const FIRST_BYTE_MS: u64 = 15;
/// The agent's memory must not grow with the backup.
const SIZES_MIB: [u64; 3] = [48, 400, 3815];
/// As many as a manifest of a large database may name.
const MANY: usize = 100_000;
/// As many connections as ours begins with: its own default is ten.
const CLI: &str = "[default]\ns3 =\n  max_concurrent_requests = 16\n";
/// What the figures are held to.
const OF_THE_LINE: f64 = 0.9;
const DIRECT: f64 = 5.0;
/// Both fill the line: two runs of one program differ by as much.
const RATIO: f64 = 1.03;
const ROUNDS: usize = 3;
/// Whatever the size: a piece of each connection, and not the parts.
const MEMORY_MB: f64 = 40.0;
/// Longer than anything that is not stuck.
const PATIENCE: Duration = Duration::from_mins(5);

/// Runs all and prints the figures. An error names the goals that were missed.
pub async fn transfer(programs: &Programs, venv: &Path, mib: u64) -> Result<()> {
    let mut missed = Vec::new();
    println!(
        "one line of {} MB/s, {} MB/s for each connection, {FIRST_BYTE_MS} ms to the first byte",
        LINE / 1_000_000,
        CONNECTION / 1_000_000
    );
    for size in SIZES_MIB {
        let Moved { down, up, peak, unpacked } =
            agent(programs, size, CONNECTION).await.with_context(|| format!("ours, {size} MiB"))?;
        println!("  ours        down {}   up {}   peak memory {peak:.1} MB", said(down), said(up));
        println!("              and the server unpacked them within {:.2} s", unpacked.as_secs_f64());
        // What takes a fraction of a second says nothing about a rate.
        if size != SIZES_MIB[0] && share(down) < OF_THE_LINE {
            missed.push(format!("{:.0} % of the line for {size} MiB down", share(down) * 100.0));
        }
        if peak > MEMORY_MB {
            missed.push(format!("{peak:.1} MB of memory for {size} MiB"));
        }
    }
    let (mut ours, mut theirs) = (Both::default(), Both::default());
    for _ in 0..ROUNDS {
        let Moved { down, up, .. } = agent(programs, mib, CONNECTION).await.context("ours")?;
        ours.add(down, up);
        let (down, up) = cli(programs, venv, mib, CONNECTION).await.context("the AWS CLI")?;
        theirs.add(down, up);
    }
    let (ours, theirs) = (ours.medians(), theirs.medians());
    println!("  ours        down {}   up {}   median of {ROUNDS}", said(ours.0), said(ours.1));
    println!("  AWS CLI     down {}   up {}   median of {ROUNDS}", said(theirs.0), said(theirs.1));
    for (name, ours, theirs) in [("down", ours.0, theirs.0), ("up", ours.1, theirs.1)] {
        let ratio = ours.took.as_secs_f64() / theirs.took.as_secs_f64();
        println!("  ratio       {name} {ratio:.2}   ({RATIO} the limit)");
        if ratio > RATIO {
            missed.push(format!("{ratio:.2} times the AWS CLI's time {name}"));
        }
    }
    let direct = direct(programs, mib).await.context("direct")?;
    let factor = direct.took.as_secs_f64() / ours.0.took.as_secs_f64();
    println!(
        "  direct      down {}   ours is {factor:.1} times as fast ({DIRECT} is aimed at)",
        said(direct)
    );
    if factor < DIRECT {
        missed.push(format!("only {factor:.1} times direct"));
    }
    println!("{} MB/s for each connection", SLOW / 1_000_000);
    let Moved { down, .. } = agent(programs, mib, SLOW).await.context("ours, slow connections")?;
    println!("  ours        down {}", said(down));
    let (down, _) = cli(programs, venv, mib, SLOW).await.context("the AWS CLI, slow connections")?;
    println!("  AWS CLI     down {}", said(down));
    many(programs).await.context("many objects")?;
    ensure!(missed.is_empty(), "missed: {}", missed.join("; "));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a backup of the bench")]
fn rate(carried: Carried) -> f64 {
    carried.bytes as f64 / carried.took.as_secs_f64().max(1e-3)
}

#[expect(clippy::cast_precision_loss, reason = "a rate of the bench")]
fn share(carried: Carried) -> f64 {
    rate(carried) / LINE as f64
}

fn said(carried: Carried) -> String {
    format!(
        "{:>5} MB in {:>6.2} s = {:>5.1} MB/s ({:>3.0} % of the line)",
        carried.bytes / 1_000_000,
        carried.took.as_secs_f64(),
        rate(carried) / 1e6,
        share(carried) * 100.0
    )
}

/// Several runs, in both directions.
#[derive(Default)]
struct Both {
    down: Vec<Carried>,
    up: Vec<Carried>,
}

impl Both {
    fn add(&mut self, down: Carried, up: Carried) {
        self.down.push(down);
        self.up.push(up);
    }

    /// By the time that they took.
    fn medians(mut self) -> (Carried, Carried) {
        let median = |runs: &mut Vec<Carried>| {
            runs.sort_by_key(|carried| carried.took);
            runs[runs.len() / 2]
        };
        (median(&mut self.down), median(&mut self.up))
    }
}

struct Moved {
    down: Carried,
    up: Carried,
    /// In MB.
    peak: f64,
    /// What the server's own restore took, after the last byte had come.
    unpacked: Duration,
}

fn scene(mib: u64, connection: u64, more: &str) -> Result<Scene> {
    Ok(toml::from_str(&format!(
        "config.backup.role_arn = \"arn:aws:iam::123456789012:role/weaviate-backup\"\n\
         group.absent = true\nmachine.disk_mib = 24576\n\
         bucket.generated = {{ seed = 1, mib = {mib}, compression = \"zstd\", bases = 0, classes = [\"Bulk\"] }}\n\
         bucket.first_byte_ms = {FIRST_BYTE_MS}\nbucket.bytes_per_second = {connection}\n\
         bucket.line_bytes_per_second = {LINE}\n{more}"
    ))?)
}

fn line(stage: &Stage) -> Result<Arc<Line>> {
    stage.store.line().cloned().context("the store has no line")
}

/// The agent, from its start until the first far client counts everything.
async fn serving(stage: &Stage, programs: &Programs) -> Result<Agent> {
    let path = ("PATH".to_owned(), shim::PATH.to_owned());
    let environment: Vec<_> = unit(&programs.repository)?.into_iter().chain([path]).collect();
    let environment: Vec<_> = environment.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
    let agent = stage.start_agent_with(&[], &environment)?;
    let began = Instant::now();
    while !count_everything(stage, Client::Far).await {
        ensure!(began.elapsed() < PATIENCE, "it does not serve:\n{}", stage.agent_log());
        if let Some(status) = agent.process.ended() {
            anyhow::bail!("it ended with {status}:\n{}", stage.agent_log());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(agent)
}

async fn agent(programs: &Programs, mib: u64, connection: u64) -> Result<Moved> {
    let mut stage = Stage::set(programs, &scene(mib, connection, "")?).await?;
    stage.quiet().await;
    let line = line(&stage)?;
    line.watch("prod/generated/");
    let agent = serving(&stage, programs).await?;
    let down = line.carried().context("nothing was fetched")?;
    let unpacked = step(&stage.report()?, "restore")?;
    line.watch("prod/weaviate_backup_");
    let arguments = ["backup", "--full"].map(str::to_owned);
    let complaints = stage.command(&arguments, 0, &[], &std::collections::BTreeMap::new()).await?;
    ensure!(complaints.is_empty(), "{}\n{}", complaints.join("\n"), stage.agent_log());
    let up = line.carried().context("nothing was sent")?;
    let peak = megabytes(resident(agent.process.id()));
    stage.strike().await?;
    Ok(Moved { down, up, peak, unpacked })
}

/// How long a step of the run took, by its own clock.
fn step(report: &serde_json::Value, name: &str) -> Result<Duration> {
    let mut steps = report["steps"].as_array().into_iter().flatten();
    let found = steps.find(|step| step["name"] == name).with_context(|| format!("no step {name}"))?;
    let at = |key: &str| found[key].as_u64().with_context(|| format!("the step {name} has no {key}"));
    Ok(Duration::from_millis(at("end_ms")?.saturating_sub(at("start_ms")?)))
}

/// Into a file system as ours has, and the same files back.
async fn cli(programs: &Programs, venv: &Path, mib: u64, connection: u64) -> Result<(Carried, Carried)> {
    let mut scene = scene(mib, connection, "")?;
    // Its credentials are the instance's own, and may write.
    scene.unmanaged = true;
    let mut stage = Stage::set(programs, &scene).await?;
    stage.quiet().await;
    let line = line(&stage)?;
    let disk =
        "mkfs.xfs -q -K /dev/nvme1n1 && mkdir -p /tmp/bench && mount -o noatime /dev/nvme1n1 /tmp/bench";
    stage.machine.command("/bin/bash")?.args(["-euc", disk]).succeed(Duration::from_secs(30)).await?;
    std::fs::write(stage.machine.path("/tmp/aws.conf"), CLI)?;
    let copy = async |from: &str, to: &str| {
        let command = stage
            .machine
            .command(venv.join("bin/aws"))?
            .args(["s3", "cp", "--recursive", "--only-show-errors", from, to])
            .env("AWS_CONFIG_FILE", "/tmp/aws.conf")
            .env("AWS_DEFAULT_REGION", "eu-central-1")
            .env("AWS_ENDPOINT_URL_S3", "http://10.0.8.9");
        command.succeed(PATIENCE).await?;
        line.carried().context("nothing was moved")
    };
    line.watch("prod/generated/");
    let down = copy(&format!("s3://{BUCKET}/prod/generated/"), "/tmp/bench/generated").await?;
    line.watch("prod/by-cli/");
    let up = copy("/tmp/bench/generated", &format!("s3://{BUCKET}/prod/by-cli/")).await?;
    stage.strike().await?;
    Ok((down, up))
}

async fn direct(programs: &Programs, mib: u64) -> Result<Carried> {
    let more = "config.restore.mode = \"direct\"\n\
                config.weaviate.s3_role_arn = \"arn:aws:iam::123456789012:role/weaviate-direct\"\n\
                config.backup.endpoint = \"10.0.8.9\"\nconfig.backup.use_ssl = false\n\
                config.backup.path_style = true\n";
    let mut stage = Stage::set(programs, &scene(mib, CONNECTION, more)?).await?;
    stage.quiet().await;
    let line = line(&stage)?;
    line.watch("prod/generated/");
    let _agent = serving(&stage, programs).await?;
    let down = line.carried().context("nothing was fetched")?;
    stage.strike().await?;
    Ok(down)
}

/// How many requests a manifest costs that names very many objects: they lie in the backup's folder, and are nothing to
/// the server.
async fn many(programs: &Programs) -> Result<()> {
    let mut stage = Stage::set(programs, &scene(1, CONNECTION, "")?).await?;
    stage.quiet().await;
    tokio::task::block_in_place(|| fixtures::swell(&stage.store, BUCKET, MANY))?;
    let began = Instant::now();
    let agent = serving(&stage, programs).await?;
    let took = began.elapsed();
    let peak = megabytes(resident(agent.process.id()));
    println!(
        "  {MANY} objects of some bytes: {:.1} s until it serves, peak memory {peak:.1} MB",
        took.as_secs_f64()
    );
    println!("    run       {}", requests(&stage, jiff::Timestamp::MIN));
    for command in [["verify", "generated"].as_slice(), ["list"].as_slice()] {
        let since = jiff::Timestamp::now();
        let arguments: Vec<_> = command.iter().map(ToString::to_string).collect();
        let complaints = stage.command(&arguments, 0, &[], &std::collections::BTreeMap::new()).await?;
        ensure!(complaints.is_empty(), "{}\n{}", complaints.join("\n"), stage.agent_log());
        println!("    {:<9} {}", command[0], requests(&stage, since));
    }
    stage.strike().await?;
    Ok(())
}

/// The calls of the store since then.
fn requests(stage: &Stage, since: jiff::Timestamp) -> String {
    let made = calls(&stage.ledger.since(since)).into_iter();
    let made = made.filter_map(|(call, times)| Some(format!("{} {times}", call.strip_prefix("s3:")?)));
    made.collect::<Vec<_>>().join(", ")
}
