//! The whole system over HTTP, as its three users meet it: what is promised, each promise a test. The system is the one
//! that `cargo run` starts, in memory; customers' accounts are in its embedded cloud.

mod authorisation;
mod delivering;
mod destinations;
mod exporting;
mod filtering;
mod hardening;
mod history;
mod limits;
mod organisations;
mod reading;
mod recording;
mod restarting;
mod scene;
mod tokens;
