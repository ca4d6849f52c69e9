//! `annals-verify` on deliveries of a real log: every mutation is found, every problem told at its place, and the program
//! says so by its exit status.

mod delivery;
mod mutations;
#[cfg(feature = "s3")]
mod program;
mod reports;
