//! The functions' binaries, invoked as Lambda and its event sources invoke them.

mod api;
mod console;
mod shipper;
mod test_connection;
