//! The section "Audit Events": the bucket that an organisation's events are delivered to.
//!
//! - [`page`]: the section's page, with a [`card`] for each destination
//! - [`connection_test`], [`advice`]: the result of a test, and what to change
//! - [`setup`]: what to set up in AWS
//! - [`deliveries`]: the last deliveries as a table and charts
//! - `change`: a change of bucket or role that is not in force yet
//! - [`new`], [`settings`], [`replay`], `confirm`, [`delete`]: the forms
//!
//! All routes are below `/console/destinations`: `GET` and `POST` on the section itself; `GET /{destination}/deliveries`;
//! `POST /{destination}/settings`, `/pause`, `/resume`, `/replay`, `/confirm` and `/withdraw`; `GET` and `POST /{destination}/delete`. `POST
//! /{destination}/test` belongs to the test-connection function, the only one that may assume customers' roles.

pub mod advice;
pub mod card;
mod change;
mod confirm;
pub mod connection_test;
pub mod delete;
pub mod deliveries;
#[cfg(test)]
mod fixtures;
pub mod new;
pub mod page;
pub mod replay;
pub mod settings;
pub mod setup;

use annals_core::destination::DestinationId;
use annals_http::{
    ADMINISTRATORS,
    console::{self, done},
};
use axum::{
    Router,
    routing::{get, post},
};

use self::page::Done;
use crate::{Console, prelude::*};

pub(crate) fn routes() -> Router<Console> {
    let one = |action: &str| format!("/console/destinations/{{destination}}/{action}");
    Router::new()
        .route("/console/destinations", get(page::show).post(new::create))
        .route(&one("deliveries"), get(deliveries::show))
        .route(&one("settings"), post(settings::change))
        .route(&one("pause"), post(pause))
        .route(&one("resume"), post(resume))
        .route(&one("replay"), post(replay::start))
        .route(&one("confirm"), post(confirm::confirm))
        .route(&one("withdraw"), post(change::withdraw))
        .route(&one("delete"), get(delete::ask).post(delete::delete))
}

/// `POST /console/destinations/{destination}/pause`
async fn pause(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id: DestinationId = request.call.path_parameter("destination")?;
    let administration = &request.call.services.administration;
    administration.pause_destination(&organisation, &id, &request.call.actor()).await.map_err(Problem::from)?;
    Ok(redirect(&request, Done::Paused, &id))
}

/// `POST /console/destinations/{destination}/resume`
async fn resume(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id: DestinationId = request.call.path_parameter("destination")?;
    let administration = &request.call.services.administration;
    administration.resume_destination(&organisation, &id, &request.call.actor()).await.map_err(Problem::from)?;
    Ok(redirect(&request, Done::Resumed, &id))
}

/// Redirects to the section's page, which says what was done to the destination `id`.
fn redirect(request: &ConsoleRequest, done: Done, id: &DestinationId) -> Response {
    let said = done::query(done.as_str(), request.call.services.clock.now());
    console::redirect(&format!("{}/console/destinations?destination={id}&{said}", request.call.base_path()))
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    [new::samples(), card::samples(), connection_test::samples(), deliveries::samples(), delete::samples()].concat()
}
