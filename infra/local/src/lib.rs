//! The whole system in one process, on an embedded AWS. Owns the wiring. This crate is not deployed.
//!
//! - [`system`]: the functions, the schedule and the queue behind one address
//! - [`front_door`]: what a browser gets at `/`
//! - [`demonstration`]: the organisation, tokens, bucket and role to begin with
//! - [`demo`]: weeks of an invented company's events
//! - [`history`]: ten days of them, recorded and delivered

pub mod demo;
pub mod demonstration;
pub mod front_door;
mod history;
pub mod system;
