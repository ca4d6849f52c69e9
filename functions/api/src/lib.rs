//! The HTTP API: which request is answered by which use case, and how. [`routes`] has one file a resource.
//!
//! Architecture invariant: handlers are wiring. What is allowed, what is recorded and what is answered is the domain's.

pub mod routes;

use annals_http::{Services, with_fallbacks};
use axum::Router;

/// The description that is served, with its examples.
pub const DOCUMENT: &str = include_str!("../openapi.json");

/// The routes of the API function.
pub fn router(services: Services) -> Router {
    with_fallbacks(routes::operations(Router::new()), &services).with_state(services)
}
