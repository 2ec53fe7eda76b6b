//! An embedded cloud on one machine: the doubles of EC2, Auto Scaling, IMDSv2, S3 and their friends,
//! a VPC made of network namespaces, instances made of network, mount and pid namespaces, and a judge
//! that fails a case when it sees a forbidden act.
//!
//! ```text
//!  case ──▶ cloud (EC2, ASG, IMDS, secrets, STS) ──hot-plug──▶ vpc ──▶ machine (instance)
//!    │        s3, registry ───────────────────────────────────┘          │
//!    └──▶ faults ──▶ every double              ledger ◀── every double, every client, every disk
//!                                              judge  ◀── ledger
//! ```
//!
//! To add a behaviour: implement it in its double, and add a row to that module's `BEHAVIOURS` that says
//! how we know it (`documented`, `recorded`, `assumed`).

pub mod assumptions;
pub mod autoscaling;
pub mod case;
pub mod cloud;
pub mod ec2;
pub mod endpoint;
pub mod faults;
pub mod fixtures;
pub mod iam;
pub mod imds;
pub mod judge;
pub mod kill;
pub mod ledger;
pub mod machine;
pub mod registry;
pub mod rot;
pub mod s3;
pub mod secrets;
pub mod stage;
pub mod sts;
pub mod vm;
pub mod vpc;
