//! `annals-verify` on deliveries of a real log: mutations, the report of each problem, checkpoints, and the program with its
//! exit status.

mod adversaries;
mod auditing;
mod checkpoints;
mod delivery;
mod mutations;
#[cfg(feature = "s3")]
mod program;
mod renderings;
mod reports;
mod signing;
