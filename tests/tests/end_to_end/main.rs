//! The system over HTTP as its users meet it, the programs as processes, and the adapters against the embedded cloud.

mod authorisation;
mod budget;
mod client;
mod collecting;
mod contention;
mod delivering;
mod destinations;
mod exporting;
mod failures;
mod filtering;
mod fixture;
mod functions;
mod hardening;
mod history;
mod limits;
mod local_program;
mod organisations;
mod reading;
mod recorded_by;
mod recording;
mod restarting;
mod setup;
mod signing;
mod tokens;
mod upgrade;
mod verify;
