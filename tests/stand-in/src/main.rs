//! `weaviate-stand-in`: the server with the arguments of the real one, and two helpers for tests.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stand_in::server::Server;
use stand_in::settings::{Arguments, Environment, Settings, StartError};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Parser)]
#[command(version = stand_in::VERSION, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    server: Arguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints what is recorded and what is assumed.
    Assumptions,
    /// Makes a random backup in the layout of a real one and prints its counts as JSON.
    Generate(stand_in::generate::Request),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Assumptions) => {
            for behaviour in stand_in::behaviours::BEHAVIOURS {
                println!("{behaviour}");
            }
            ExitCode::SUCCESS
        }
        Some(Command::Generate(request)) => generate(&request),
        None => serve(&cli.server),
    }
}

fn serve(arguments: &Arguments) -> ExitCode {
    stand_in::log::line(
        "info",
        "startup",
        "the default vectorizer modules is set to \"none\", as a result all new schema classes without an explicit \
         vectorizer setting, will use this vectorizer",
    );
    stand_in::log::line("info", "startup", "auto schema enabled setting is set to \"true\"");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(arguments)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let action = error.downcast_ref::<StartError>().map_or("startup", StartError::action);
            stand_in::log::line("fatal", action, &format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn generate(request: &stand_in::generate::Request) -> ExitCode {
    match stand_in::generate::generate(request) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("generate: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // First of all: as process 1 of a container only handled signals arrive.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let settings = Settings::read(arguments, Environment::of_process())?;
    let server = tokio::select! {
        started = Server::start(settings) => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server.stop().await;
    Ok(())
}
