//! Writes the manual and the completions of the shells from the definition of the command line: what packages ship.
//!
//! ```text
//! cli::command() ──┬─▶ weaviate-provisioner.8, weaviate-provisioner-COMMAND.8
//! cli::Exit ───────┘
//! packaging/config.toml ─▶ weaviate-provisioner.toml.5
//! cli::command() ──▶ weaviate-provisioner.bash, _weaviate-provisioner, weaviate-provisioner.fish
//! ```
//!
//! An example, so that it runs where the package is built, and not where it is installed. Dates come from
//! `SOURCE_DATE_EPOCH`; without it the pages have none.
//!
//! To add a page: a function that returns a [`pages::Page`], and its line in [`pages::all`].

mod pages;
mod prose;
mod reference;
mod shown;
mod text;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap_complete::Shell;
use weaviate_provisioner::cli;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: documents DIRECTORY");
        return ExitCode::from(cli::Exit::Usage.code());
    };
    match write(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("The documents were not written to {}: {error}.", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
    let date = text::date(epoch.as_deref())?;
    let codes = cli::Exit::ALL.map(|exit| (exit.code(), exit.meaning()));
    for page in pages::all(&cli::command(), &codes, &date)? {
        std::fs::write(folder.join(page.file), page.text)?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut shown::shown(&cli::command()), pages::NAME, folder)?;
    }
    Ok(())
}
