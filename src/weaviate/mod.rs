//! The server over REST: client and types, no decisions.
