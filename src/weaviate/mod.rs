//! The server over REST: client and types, no decisions.
//!
//! ```text
//! Client::call ──▶ (status, body) ──▶ a typed answer, or WeaviateError with the server's own words
//! ```
//!
//! To add a call: add a method to `calls.rs` that ends in [`Client::expect`], its types to `types.rs`, and a
//! recorded answer of it to the tests.

mod calls;
mod client;
pub mod descriptor;
mod error;
pub mod options;
mod selection;
mod types;

pub use client::{Answer, Client};
pub use error::WeaviateError;
pub use selection::{Selection, idle, is_pattern};
pub use types::{
    Alias, Backend, BackupConfig, BackupOrder, BackupStatus, Class, Count, Meta, RestoreConfig, RestoreOrder,
    RestoreStatus, State, Tenant, is_active, is_offloaded,
};

#[cfg(test)]
mod tests;
