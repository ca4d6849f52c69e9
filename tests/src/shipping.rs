//! Shipping under test: the world that it happens in, everything that may go wrong there, and the judgement of what came
//! of it. The tests themselves are `tests/shipping_faults.rs` and `tests/shipping_simulation.rs`.
//!
//! - [`ports`]: everything that shipping needs of the world as one, and decorators of it
//! - [`world`]: store, buckets, queue, time and processes, and the witness of what was written
//! - [`gate`]: what happens to a call on its way
//! - [`checker`]: the promises, and whether they were kept
//! - [`fixture`]: the fixtures of the fault sweep
//! - [`scenario`]: the scenarios of the simulation; [`injected_bugs`]: bugs that they must find

pub mod checker;
pub mod fixture;
pub mod gate;
pub mod injected_bugs;
pub mod ports;
pub mod scenario;
pub mod world;
