//! Dispatch; everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    weaviate_provisioner::cli::main()
}
