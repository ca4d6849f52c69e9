//! One file a resource: handlers read what they need of a call, ask a use case, and show what it gives.

pub mod audit;
pub mod destinations;
pub mod events;
pub mod health;
pub mod openapi;
pub mod organisations;
pub mod portal_links;
pub mod setup;
pub mod tokens;

use annals_core::token::Role;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Api, operation::Operations, schema::Href};

/// Who may record events.
pub const PRODUCERS: &[Role] = &[Role::Producer];
/// Who may read the audit log.
pub const READERS: &[Role] = &[Role::Auditor, Role::Admin];
/// Who may manage tokens and destinations.
pub const ADMINISTRATORS: &[Role] = &[Role::Admin];

/// The operations of the API function.
pub fn operations<O: Operations<Api>>(to: O) -> O {
    let to = health::operations(to);
    let to = openapi::operations(to);
    let to = organisations::operations(to);
    let to = events::operations(to);
    let to = audit::operations(to);
    let to = tokens::operations(to);
    let to = portal_links::operations(to);
    let to = destinations::operations(to);
    setup::operations(to)
}

/// Where something is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Link {
    /// An absolute URL.
    #[schemars(with = "Href")]
    pub(crate) href: String,
}
