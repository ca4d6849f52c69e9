//! The domain of the audit log: events, how they are recorded, read and delivered.
//!
//! All decisions are made in this crate. It knows neither AWS nor HTTP nor an async runtime: storage, time, randomness,
//! queues and buckets are ports, which are traits that the crate `annals-aws` and the tests implement.
//!
//! Architecture invariant: time and randomness come in through [`time::Clock`] and [`entropy::Entropy`] only, so a test can
//! simulate weeks in a moment and repeat a failure.

pub mod administration;
pub mod admission;
pub mod audit;
pub mod brand;
pub mod caller;
pub mod change;
pub mod delivery;
pub mod destination;
pub mod diagnosis;
pub mod entropy;
pub mod event;
pub mod fault;
pub mod format;
pub mod hash;
pub mod health;
pub mod id;
pub mod input;
pub mod invisible;
pub mod json;
pub mod known;
pub mod limited;
pub mod line;
pub mod log;
pub mod operator;
pub mod organisation;
pub mod platform;
pub mod portal;
pub mod proof;
pub mod recorded_by;
pub mod registry;
pub mod service;
pub mod time;
pub mod token;
pub mod usage;
pub mod verifier_key;
