//! Objects in S3: read in ranges, in parallel, and checked on the way.

mod settings;

pub use settings::{Settings, StaticCredentials};
