//! Secrets, from Secrets Manager and SSM to files on a tmpfs.
