//! Objects in S3: read in ranges and written in parts, in parallel, and checked on the way.
//!
//! ```text
//! Store::{get, put, list} ──────────────────────────────────────▶ small objects, whole
//! fetch(store, wanted) ─▶ ranges of 8 MiB, N at a time ─▶ x.part ─▶ hashed in order ─▶ rename to x
//!                            │ N: what the rate says, climb(16 … `restore.connections`)
//!                            │ body ends early: goes on at that byte
//!                            └ no byte for 10 s: asks again
//! read(store, object) ─▶ from the first byte to the last ─▶ hashed ─▶ whoever wants the bytes
//! send(store, parcel) ◀─ hashed on the way ◀─ parts of 8 MiB, N at a time ◀─ x
//! send_stream(store, key) ◀─ parts in memory, N at a time ◀─ pieces, and their end
//! ```
//!
//! A key that is absent, one that may not be read and one that cannot be reached are three errors: "denied"
//! must never look like "there is no backup".

mod body;
mod climb;
mod error;
mod fetch;
mod files;
mod flight;
mod multipart;
mod objects;
mod pace;
mod range;
mod read;
mod send;
mod sending;
mod settings;
mod span;
mod stream;

pub use error::StoreError;
pub use fetch::{Fetched, Limits, Wanted, fetch};
pub use files::{Owner, Tree};
pub use objects::{Condition, Listed, Object, Store};
pub use range::Moved;
pub use read::{Content, read, read_ahead};
pub use send::{Parcel, Sent, send};
pub use sending::Sending;
pub use settings::{Settings, StaticCredentials};
pub use stream::{Piece, send_stream};

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod send_tests;
#[cfg(test)]
mod tests;
