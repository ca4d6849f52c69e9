//! One file a resource: handlers read what they need of a call, ask a use case, and show what it gives.

pub mod audit;
pub mod destinations;
pub mod events;
pub mod health;
pub mod organisations;
pub mod setup;
pub mod tokens;

use annals_core::token::Role;

/// Who may record events.
pub const PRODUCERS: &[Role] = &[Role::Producer];
/// Who may read the audit log.
pub const READERS: &[Role] = &[Role::Auditor, Role::Admin];
/// Who may manage tokens and destinations.
pub const ADMINISTRATORS: &[Role] = &[Role::Admin];
