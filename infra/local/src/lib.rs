//! The whole system in one process, on embedded parts. Owns what stands in for AWS; nothing in here is deployed.

pub mod cloud;
pub mod demo;
