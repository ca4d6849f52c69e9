//! The simulation of shipping: a simulated world, faults, and a check of all promises. Its tests are
//! `simulations/shipping_faults.rs` and `simulations/shipping_simulation.rs`.
//!
//! - [`ports`]: all ports of shipping as one, and decorators of them
//! - [`world`]: store, buckets, queue, time and processes, and a recorder of all writes
//! - [`gate`]: faults and delays of calls
//! - [`checker`]: the promises and the check of them
//! - [`fixture`]: the starting points of the fault sweep
//! - [`scenario`]: random weeks of shipping; [`injected_bugs`]: bugs that they must find

pub mod checker;
pub mod fixture;
pub mod gate;
pub mod injected_bugs;
pub mod ports;
pub mod scenario;
pub mod world;
