//! Shipping under test: the world that it happens in, everything that may go wrong there, and the judgement of what came
//! of it. The tests themselves are `tests/shipping_faults.rs` and `tests/shipping_simulation.rs`.
//!
//! - [`ports`]: everything that shipping needs of the world as one, and decorators of it
//! - [`world`]: store, buckets, queue, time and processes, and the witness of what was written
//! - [`gate`]: what happens to a call on its way
//! - [`judge`]: the promises, and whether they were kept
//! - [`scene`]: the scenes of the fault sweep
//! - [`story`]: the stories of the simulation; [`planted`]: bugs that they must find

pub mod gate;
pub mod judge;
pub mod planted;
pub mod ports;
pub mod scene;
pub mod story;
pub mod world;
