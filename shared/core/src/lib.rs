//! The audit log's domain: what an event is, how it is recorded, read and delivered.
//!
//! This crate decides; everything else carries out. It knows no AWS type, no HTTP and no async runtime: storage, time,
//! randomness, queues and buckets are ports, traits that the `annals-aws` crate and the tests implement.
//!
//! Architecture invariant: time and randomness come in through [`time::Clock`] and [`entropy::Entropy`] alone, so that a
//! test can walk through weeks in a moment and replay what it saw.

pub mod administration;
pub mod admission;
pub mod audit;
pub mod caller;
pub mod change;
pub mod delivery;
pub mod destination;
pub mod entropy;
pub mod event;
pub mod fault;
pub mod format;
pub mod id;
pub mod input;
pub mod json;
pub mod log;
pub mod organisation;
pub mod portal;
pub mod registry;
pub mod service;
pub mod time;
pub mod token;
