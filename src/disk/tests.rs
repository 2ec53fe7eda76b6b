//! Tables and real disks.
