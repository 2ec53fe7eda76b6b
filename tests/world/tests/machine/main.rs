//! The VPC and the instances, with real packets, disks and containers. Needs root: without it the tests fail.

mod door;
mod lives;
mod reach;
mod remains;
