//! The commands: one file each. Text on a terminal, `--json` everywhere.
//!
//! To add a command: a variant of [`Command`], a file with `pub fn`/`pub async fn` of its name that returns
//! [`Exit`], a row in `docs/features.md`.

mod adopt;
mod asked;
mod attend;
mod backup;
mod cancel;
mod close;
mod context;
mod drill;
mod exit;
mod export;
mod failed;
mod import;
mod keep;
mod list;
mod logging;
mod metrics;
mod plan;
mod prune;
mod restore;
mod run;
mod status;
mod timeline;
mod validate;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use exit::Exit;

use asked::Wait;

#[derive(Debug, Parser)]
#[command(name = "weaviate-provisioner", version, about, max_term_width = 100)]
struct Line {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Globals {
    /// The configuration file; `conf.d/*.toml` beside it are laid over it.
    #[arg(long, global = true, default_value = "/etc/weaviate-provisioner/config.toml", value_name = "FILE")]
    config: PathBuf,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// Another tree than /sys: for tests on machines without NVMe.
    #[arg(long, global = true, hide = true, default_value = "/sys", value_name = "DIR")]
    sysfs: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Boot: make this machine into the node, then stay.
    Run {
        /// Stop after the lifecycle hook was answered.
        #[arg(long)]
        once: bool,
    },
    /// Back up what the node serves: the running agent makes it, and the manifest names it when it is whole.
    Backup {
        /// A full one: not built on the last full one.
        #[arg(long)]
        full: bool,
        /// Only these collections; `*` and `?` stand for any letters and one letter.
        #[arg(long, value_name = "COLLECTION", conflicts_with = "exclude")]
        include: Vec<String>,
        /// All collections but these.
        #[arg(long, value_name = "COLLECTION")]
        exclude: Vec<String>,
        /// Do not wait for its end.
        #[arg(long)]
        no_wait: bool,
    },
    /// End the backup, the restore, the drill or the prune that is under way, and remove what it left.
    Cancel {
        /// Only where it is about this backup.
        id: Option<String>,
    },
    /// The backups in the bucket: what each is built on, whether it is whole, and what is wrong with it.
    List,
    /// Prove a backup: that the bucket holds every object of it as it was sent.
    Verify {
        /// Without it: what the manifest names.
        id: Option<String>,
        /// Read every byte and compare its checksums, instead of sizes and ETags.
        #[arg(long)]
        deep: bool,
    },
    /// Give a manifest to a backup that the server made alone: every byte of it is read.
    Adopt { id: String },
    /// Bring a backup into one file, a tar.zst with its manifest in front.
    Export {
        id: String,
        /// A file or `s3://bucket/key` that is not there yet; `-` is standard output.
        file: PathBuf,
    },
    /// Bring a backup out of such a file into the bucket.
    Import {
        /// Or `s3://bucket/key`; `-` is standard input.
        file: PathBuf,
        /// Where one of its files at a time lies; by default beside the archive.
        #[arg(long, value_name = "DIR")]
        spool: Option<PathBuf>,
    },
    /// Say which backups `[backup.keep]` leaves and which may go: the running agent decides.
    Prune {
        /// Remove those that may go.
        #[arg(long)]
        apply: bool,
    },
    /// Bring collections of a backup back into the server that serves: those that it lacks.
    Restore {
        /// Without it: what the manifest names.
        id: Option<String>,
        /// Only these collections; `*` and `?` stand for any letters and one letter.
        #[arg(long, value_name = "COLLECTION")]
        include: Vec<String>,
        /// All collections but these.
        #[arg(long, value_name = "COLLECTION")]
        exclude: Vec<String>,
        /// An alias that is there already names what comes back from then on.
        #[arg(long)]
        overwrite_alias: bool,
        /// The backup's users of the server's own database, too.
        #[arg(long)]
        users: bool,
        /// The backup's roles, too.
        #[arg(long)]
        roles: bool,
        /// Do not wait for its end.
        #[arg(long)]
        no_wait: bool,
    },
    /// Prove a backup by restoring it beside the server that serves, and throw it away again.
    Drill {
        /// Without it: what the manifest names.
        id: Option<String>,
        /// Make a backup first.
        #[arg(long, conflicts_with = "id")]
        create: bool,
        /// On a host of its own, where no agent serves: this command does it, and prepares the disk for it.
        #[arg(long, conflicts_with_all = ["create", "no_wait"])]
        alone: bool,
        /// Do not wait for its end.
        #[arg(long)]
        no_wait: bool,
    },
    /// Close the door: no client reaches the server until `run` has verified the data.
    Close,
    /// What `run` would do and why: everything is looked up, nothing is changed.
    Plan,
    /// Check the configuration; nothing else is looked at.
    Validate,
    /// How this node stands.
    Status {
        /// Only what this machine knows of this backup.
        id: Option<String>,
    },
    /// The same for Prometheus: this node, its last backup, drill and restore.
    Metrics,
    /// Where the time of the last boot went.
    Timeline {
        /// Write a picture as well.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
}

/// The command line as clap knows it: what manual and completions are made of, and the documentation is compared
/// with.
pub fn command() -> clap::Command {
    <Line as clap::CommandFactory>::command()
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    context::end_at_bugs();
    if let Err(error) = crate::process::without_core_dumps() {
        eprintln!("Core dumps cannot be switched off, and keys would stand in one: {error}.");
        return Exit::Retry.into();
    }
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => {
            let usage = error.use_stderr();
            // A closed pipe is no reason to fail.
            let _ = error.print();
            return if usage { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let Line { globals, command } = line;
    match command {
        Command::Run { once } => context::block_on(run::run(&globals, once)),
        Command::Backup { full, include, exclude, no_wait } => {
            let order = crate::backup::Order { full, include, exclude, marker: None };
            context::block_on(backup::backup(&globals, order, Wait::of(no_wait)))
        }
        Command::Cancel { id } => context::block_on(cancel::cancel(&globals, id)),
        Command::List => context::block_on(list::list(&globals)),
        Command::Verify { id, deep } => context::block_on(verify::verify(&globals, id.as_deref(), deep)),
        Command::Adopt { id } => context::block_on(adopt::adopt(&globals, &id)),
        Command::Export { id, file } => context::block_on(export::export(&globals, &id, &file)),
        Command::Import { file, spool } => {
            context::block_on(import::import(&globals, &file, spool.as_deref()))
        }
        Command::Prune { apply } => context::block_on(prune::prune(&globals, apply)),
        Command::Drill { id, alone: true, create: _, no_wait: _ } => {
            context::block_on(drill::alone(&globals, id))
        }
        Command::Drill { id, create, no_wait, alone: false } => {
            context::block_on(drill::drill(&globals, id, create, Wait::of(no_wait)))
        }
        Command::Restore { id, include, exclude, overwrite_alias, users, roles, no_wait } => {
            let order = crate::regain::Order { id, include, exclude, overwrite_alias, users, roles };
            context::block_on(restore::restore(&globals, order, Wait::of(no_wait)))
        }
        Command::Close => context::block_on(close::close(&globals)),
        Command::Plan => context::block_on(plan::plan(&globals)),
        Command::Validate => validate::validate(&globals),
        Command::Status { id } => status::status(&globals, id.as_deref()),
        Command::Metrics => metrics::metrics(&globals),
        Command::Timeline { svg } => timeline::timeline(&globals, svg.as_deref()),
    }
    .into()
}
