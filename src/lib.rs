//! Makes an EC2 instance into *the* Weaviate node of a deployment, and keeps it one.
//!
//! The order of a boot is the order of its evidence: a step is a function from evidence to evidence, and
//! cannot be called without what it needs. [`boot`] composes them; everything else is a domain that does
//! not know [`boot`].
//!
//! ```text
//! cli ─┬▶ boot ──▶ instance, network, disk, secrets, container, manifest, restore, signal
//!      ├▶ watch ─▶ container, network
//!      ├▶ control ─▶ backup, drill, regain ─▶ catalog, container, manifest, restore
//!      └▶ archive, catalog ─▶ manifest, restore
//!                      └──▶ aws, store, weaviate, report, state, host
//! ```

pub mod archive;
pub mod aws;
pub mod backup;
pub mod boot;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod container;
pub mod control;
pub mod disk;
pub mod drill;
pub mod explain;
mod failpoint;
pub mod hex;
pub mod host;
pub mod instance;
pub mod manifest;
pub mod network;
pub mod process;
pub mod regain;
pub mod report;
pub mod restore;
pub mod retry;
pub mod secrets;
pub mod signal;
pub mod state;
pub mod store;
pub mod watch;
pub mod weaviate;

#[cfg(test)]
mod tests;
