//! The harness of the tests that no single crate can have: end to end, model, contract, contention and budget. Owns the
//! doubles and the decorators; the tests themselves are in `tests/`, the measurement in `benches/`.
//!
//! - [`clock`], [`entropy`]: time and chance that a test sets
//! - [`memory`]: the in-memory store of log and registry
//! - [`faulty`], [`latency`]: what makes any store fail, crash or take its time
//! - [`sample`]: organisations, events and destinations to test with
//! - [`runtime_api`], [`gateway`]: Lambda and API Gateway as a function's process meets them; [`process`]: any program
//! - [`deployment`], [`customer`]: what such a function finds, in the embedded cloud; [`lines`]: what a customer gets
//! - [`caller`]: who calls the API over HTTP; [`ministack`]: another AWS than the embedded one
//! - [`in_every_environment`]: scenarios, run in every world that there is
//! - [`model`]: the model test, and the subjects that it is run on; [`broken_logs`]: subjects that it must find wanting

pub mod broken_logs;
pub mod bucket;
pub mod caller;
pub mod clock;
pub mod customer;
pub mod deployment;
pub mod entropy;
mod environments;
pub mod faulty;
pub mod gateway;
pub mod latency;
pub mod lines;
pub mod memory;
pub mod ministack;
pub mod model;
pub mod process;
pub mod queue;
pub mod runtime_api;
pub mod sample;
pub mod shipping;

#[cfg(test)]
mod documents;
