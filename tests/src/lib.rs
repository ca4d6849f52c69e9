//! The harness of the tests that need several crates. The tests themselves are in `tests/`, the measurements in
//! `benches/`, and checks of the repository's documents and structure among the unit tests of this library.
//!
//! - [`clock`], [`entropy`]: time and randomness that a test controls; [`seeds`]: which seeds a random test has
//! - [`memory`]: the in-memory store of log and registry
//! - [`faulty`], [`latency`]: decorators that let a store fail, crash or take time; [`log_layer`]: what others are made of
//! - [`partition`]: the throughput of a partition and transactions in progress; [`lambda`]: sandboxes and their limit
//! - [`capacity`]: the request units that DynamoDB reports
//! - [`sample`]: organisations, events and destinations
//! - [`signer`]: keys that sign checkpoints, and fail
//! - [`runtime_api`], [`gateway`]: Lambda and API Gateway for a function's process; [`process`]: any program
//! - [`deployment`], [`customer`]: a function's environment in the embedded cloud; [`dynamodb_proxy`]: its way to DynamoDB;
//!   [`sandbox`]: a process with both; [`lines`]: checks of delivered lines
//! - [`caller`]: a client of the API over HTTP; [`ministack`]: an AWS emulator besides the embedded cloud; [`account`]: AWS itself
//! - [`in_every_environment`]: tests that run in several environments
//! - [`keys`]: the simulation of idempotency keys, and the bugs that it must find
//! - [`model`]: the model test and its subjects; [`broken_logs`]: subjects that it must reject

pub mod account;
pub mod broken_logs;
pub mod bucket;
pub mod caller;
pub mod capacity;
pub mod clock;
pub mod customer;
pub mod deployment;
pub mod dynamodb_proxy;
pub mod entropy;
mod environments;
pub mod faulty;
pub mod gateway;
pub mod keys;
pub mod lambda;
pub mod latency;
pub mod lines;
pub mod log_layer;
pub mod memory;
pub mod ministack;
pub mod model;
pub mod partition;
pub mod permissions;
pub mod process;
pub mod queue;
pub mod runtime_api;
pub mod sample;
pub mod sandbox;
pub mod seeds;
pub mod shipping;
pub mod signer;
pub mod template;

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod documents;
