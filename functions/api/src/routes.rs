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

use schemars::JsonSchema;
use serde::Serialize;

use annals_http::{Services, operation::Operations, schema::Href};

/// The operations of the API function.
pub fn operations<O: Operations<Services>>(to: O) -> O {
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
