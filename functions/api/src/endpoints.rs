//! The endpoints of the API function: one file each, named like its `operationId`, in folders by resource.
//!
//! A file has, in this order: the declaration, its documentation, the handler, and what only this endpoint sends or
//! receives. What several endpoints of a resource share is in the resource's own file.

mod audit;
mod destinations;
mod events;
mod organisations;
mod platform_tokens;
mod service;
mod sessions;
mod tokens;

use annals_core::portal::User;
use annals_http::{Services, endpoint::Endpoints, schema::Href};
use schemars::JsonSchema;
use serde::Serialize;

/// Adds the endpoints of the API function.
#[must_use]
pub fn add<E: Endpoints<Services>>(endpoints: E) -> E {
    let endpoints = service::add(endpoints);
    let endpoints = organisations::add(endpoints);
    let endpoints = events::add(endpoints);
    let endpoints = audit::add(endpoints);
    let endpoints = tokens::add(endpoints);
    let endpoints = sessions::add(endpoints);
    let endpoints = platform_tokens::add(endpoints);
    destinations::add(endpoints)
}

/// A link, as HAL writes it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Link {
    /// An absolute URL.
    #[schemars(with = "Href")]
    href: String,
}

/// A user of your product.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "User")]
struct UserView {
    /// The id in your product.
    id: String,
    name: String,
    /// The email address, or null if it is not known.
    email: Option<String>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self { id: user.id, name: user.name, email: user.email }
    }
}
