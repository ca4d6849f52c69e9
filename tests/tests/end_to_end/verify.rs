//! `annals-verify` on deliveries of a real log: it finds every mutation, reports the place of every problem, and sets
//! its exit status.

mod delivery;
mod mutations;
#[cfg(feature = "s3")]
mod program;
mod reports;
