//! Where the log goes: to journald with its fields where systemd started us, else to standard error.
//!
//! Each line is a sentence for who reads it; the fields are for who looks for it: `journalctl STEP=restore`,
//! `BACKUP_ID=`, `ERROR_CLASS=final`. A step's name is a field of every line in it.

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::prelude::*;

/// Must be called once, before anything is logged.
pub fn start() {
    // RUST_LOG is the habit of the field; the SDK's own debug lines may hold signed headers, so they stay at
    // `warn` unless somebody names them.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,weaviate_provisioner=info"));
    let registry = tracing_subscriber::registry().with(filter);
    let journald = std::env::var_os("JOURNAL_STREAM").and_then(|_| {
        // Under their own names: nobody looks for F_STEP.
        tracing_journald::layer().ok().map(|layer| layer.with_field_prefix(None))
    });
    let ok = match journald {
        Some(journald) => registry.with(journald).try_init(),
        None => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_ansi(false)
                    .with_target(false)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    };
    if ok.is_err() {
        eprintln!("The log was started twice: this is a bug.");
    }
}
