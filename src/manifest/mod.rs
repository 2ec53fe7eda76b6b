//! The manifest: the authoritative pointer to the latest backup, and the fence.
