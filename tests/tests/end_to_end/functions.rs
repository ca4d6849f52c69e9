//! The functions' binaries, invoked as Lambda and its event sources invoke them.

mod api;
mod console;
mod instances;
mod shipper;
mod sizes;
mod test_connection;
