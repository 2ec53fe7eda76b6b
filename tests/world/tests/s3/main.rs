//! The S3 double over real connections, by a client that signs its requests itself.

mod client;
mod conditional;
mod faulty;
mod objects;
mod parts;
mod policy;
mod scale;
