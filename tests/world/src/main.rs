//! `world`: plays cases, and is the demonstration: `scripts/rehearse` starts it.

mod rehearse;

use std::path::PathBuf;
use std::process::ExitCode;

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
}

#[derive(Debug, clap::Args)]
struct Rehearse {
    /// The case to play.
    #[arg(long, default_value = "first-boot")]
    case: String,
    /// All cases and their controls.
    #[arg(long)]
    all: bool,
    /// Every kill point of `killed-anywhere`, not only one of each kind.
    #[arg(long)]
    soak: bool,
    /// Print the names of the cases.
    #[arg(long)]
    list: bool,
    /// Write what came of it.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many cases are played at a time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Keep logs and ledger of every case here.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
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
        Some(Command::Rehearse(arguments)) => rehearse::rehearse(arguments),
        None => {
            eprintln!(
                "Nothing to do: `world rehearse` plays cases, `world --assumptions` lists what is claimed."
            );
            ExitCode::from(64)
        }
    }
}
