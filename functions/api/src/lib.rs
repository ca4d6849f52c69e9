//! The HTTP API: it maps requests to use cases. [`endpoints`] has one file per endpoint.
//!
//! Architecture invariant: handlers are wiring. The domain decides what is allowed and what is recorded.

pub mod endpoints;

use annals_http::{Services, with_fallbacks};
use axum::Router;

/// The OpenAPI document that is served, with its examples.
pub const DOCUMENT: &str = include_str!("../openapi.json");

/// Returns the router of the API function.
pub fn router(services: Services) -> Router {
    with_fallbacks(endpoints::add(Router::new())).with_state(services)
}
