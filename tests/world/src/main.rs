//! `world`: plays cases, and is the demonstration: `scripts/rehearse` starts it.

mod bench;
mod machines;
mod rehearse;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "world", about = "An embedded cloud on one machine")]
struct Line {
    /// List what the world claims about the real services, and how we know it.
    #[arg(long)]
    assumptions: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play cases against the agent.
    Rehearse(Rehearse),
    /// Play cases on whole machines in QEMU.
    Vm(Vm),
    /// Measure, beside another program that does the same.
    Bench(Bench),
}

#[derive(Debug, clap::Args)]
struct Rehearse {
    /// The case to play.
    #[arg(long, default_value = "first-boot")]
    case: String,
    /// All cases and their controls.
    #[arg(long)]
    all: bool,
    /// Every kill point of the cases that kill, not only one of each kind.
    #[arg(long)]
    soak: bool,
    /// Print the names of the cases.
    #[arg(long)]
    list: bool,
    /// Write what came of it.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many cases are played at a time: by default four of all.
    #[arg(long)]
    jobs: Option<usize>,
    /// Keep logs and ledger of every case here.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Where the cases lie, in the checkout.
    #[arg(long, value_name = "DIR", default_value = "tests/cases")]
    cases: PathBuf,
    /// The agent's binary.
    #[arg(long)]
    agent: PathBuf,
    /// The static stand-in's binary.
    #[arg(long)]
    server: PathBuf,
    /// The checkout: its cases, recordings and policies.
    #[arg(long)]
    repository: PathBuf,
    /// An archive made by `docker save`, instead of the stand-in.
    #[arg(long, env = "WEAVIATE_IMAGE")]
    image: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Vm {
    /// The cases to play; all where none is named.
    case: Vec<String>,
    /// Only those that are always played.
    #[arg(long)]
    always: bool,
    /// How many machines run at a time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Keep journals, consoles and ledgers here.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Write figures of every case that serves.
    #[arg(long, value_name = "FILE")]
    figures: Option<PathBuf>,
    /// The folder of the operating system's image: tests/vm/image prints it.
    #[arg(long)]
    os: PathBuf,
    /// The package, and one that upgrades it.
    #[arg(long)]
    package: PathBuf,
    #[arg(long)]
    upgrade: PathBuf,
    /// The static stand-in's binary.
    #[arg(long)]
    server: PathBuf,
    /// The checkout.
    #[arg(long)]
    repository: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Bench {
    /// What is measured.
    what: Measured,
    /// How much data the backup holds that another program moves, too.
    #[arg(long, default_value_t = 400)]
    mib: u64,
    /// Where the AWS CLI is.
    #[arg(long)]
    venv: PathBuf,
    #[arg(long)]
    agent: PathBuf,
    #[arg(long)]
    server: PathBuf,
    #[arg(long)]
    repository: PathBuf,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Measured {
    /// A boot, and that of the script which a user would write.
    Boot,
    /// Restores and backups, the AWS CLI, and the server's own way.
    Transfer,
}

async fn compare(arguments: Bench) -> Result<bool> {
    let Bench { what, mib, venv, agent, server, repository } = arguments;
    let programs = world::stage::Programs { repository, agent, server, archive: None };
    match what {
        Measured::Boot => bench::boot::boot(&programs, &venv, mib).await?,
        Measured::Transfer => bench::transfer::transfer(&programs, &venv, mib).await?,
    }
    Ok(true)
}

/// Does a command's work to its end; `false` where it has said itself what is wrong.
fn finish(work: impl Future<Output = Result<bool>>) -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            // A refusal by a double is a part of a case, and s3s calls it an error.
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| "warn,s3s::ops=off".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.context("starting the runtime").and_then(|runtime| runtime.block_on(work)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    if let Some(program) = world::kill::shim::called_as() {
        return world::kill::shim::run(&program);
    }
    let line = Line::parse();
    if line.assumptions {
        for behaviour in world::assumptions::all() {
            println!("{behaviour}");
        }
        return ExitCode::SUCCESS;
    }
    match line.command {
        Some(Command::Rehearse(arguments)) => finish(rehearse::run(arguments)),
        Some(Command::Vm(arguments)) => finish(machines::run(arguments)),
        Some(Command::Bench(arguments)) => finish(compare(arguments)),
        None => {
            eprintln!(
                "Nothing to do: `world rehearse` plays cases, `world --assumptions` lists what is claimed."
            );
            ExitCode::from(64)
        }
    }
}
