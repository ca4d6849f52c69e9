//! The whole system in one process, on embedded parts. Owns what stands in for AWS, and what starts and joins the
//! functions; nothing in here is deployed.
//!
//! - [`system`]: the functions over them, the schedule and the queue's poller, behind one address
//! - [`demonstration`]: the organisation, tokens, bucket and role to begin with
//! - [`demo`]: weeks of a company's events

pub mod demo;
pub mod demonstration;
pub mod system;
