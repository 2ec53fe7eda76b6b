//! The clients of AWS. Nothing else builds a client, so that all have timeouts, one TLS stack and the
//! instance role's credentials.
//!
//! ```text
//! Host::aws(region) ──▶ Clients ──send()──▶ SdkError ──failed(operation, error)──▶ CallError { kind, code, … }
//! ```
//!
//! To add a service: add its crate with `rt-tokio` only, a field to [`Clients`], and each action that the
//! agent calls to `packaging/iam-instance.json`.

mod clients;
mod error;

pub use clients::{Clients, OPERATION};
pub use error::{CallError, HttpStatus, Kind, failed};
