//! The console: the pages that administrators and auditors of an organisation see, as HTML rendered on the server.
//!
//! - [`sign_in`]: opening a portal link, and signing out
//! - [`events`]: the event viewer: the log, one event, and exports
//! - [`destinations`]: the section "Audit Events": the bucket that events are delivered to
//! - [`tokens`]: the organisation's tokens
//! - [`layout`], [`ui`], [`chart`], [`fields`], [`confirmation`]: the parts that pages are made of
//! - [`assets`]: the style sheet, the script and the icon
//!
//! Architecture invariants: pages call the same use cases as the API. Each page has a view model, a plain struct without
//! HTML; only functions that return [`Markup`](maud::Markup) write HTML, and they escape every value. Every page works
//! without its script.

pub mod assets;
pub mod chart;
pub mod confirmation;
pub mod destinations;
pub mod events;
pub mod fields;
pub mod layout;
mod prelude;
pub mod sign_in;
pub mod tokens;
pub mod ui;

#[cfg(test)]
mod every_page;

use annals_aws::settings::{self, SettingError};
use annals_http::{
    Services,
    console::{Embedding, protected, refusal::Refusal},
    with_request_log,
};
use axum::{Router, extract::FromRef, routing::any};

/// The state of the console's routes.
#[derive(Debug, Clone)]
pub struct Console {
    pub services: Services,
    pub embedding: Embedding,
}

impl FromRef<Console> for Services {
    fn from_ref(console: &Console) -> Self {
        console.services.clone()
    }
}

impl Console {
    /// Reads `CONSOLE_ORIGINS` and the variables of [`Services::from_environment`].
    ///
    /// # Errors
    /// Returns an error if a variable is missing or not valid.
    pub fn from_environment(config: &aws_config::SdkConfig) -> Result<Self, SettingError> {
        let services = Services::from_environment(config)?;
        let embedding = settings::parsed_or("CONSOLE_ORIGINS", Embedding::default())?;
        Ok(Self { embedding: embedding.with_brand(services.service.brand.clone()), services })
    }
}

/// Returns all routes of the console, complete with their layers.
pub fn router(console: Console) -> Router {
    with_request_log(protected(routes(), &console.embedding)).with_state(console)
}

/// Returns the routes alone, to be merged with others.
pub fn routes() -> Router<Console> {
    Router::new()
        .merge(sign_in::routes())
        .merge(events::routes())
        .merge(destinations::routes())
        .merge(tokens::routes())
        .merge(assets::routes())
        .route("/console/{*other}", any(async || Refusal::NotFound))
        .method_not_allowed_fallback(async || Refusal::MethodNotAllowed)
}
