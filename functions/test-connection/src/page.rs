//! `POST /console/destinations/{destination}/test`: the button "Test" of the organisation's page.

use annals_console::destinations::page::show_tested;
use annals_http::{
    ADMINISTRATORS,
    console::{refusal::Refusal, session::ConsoleRequest},
};
use axum::{Router, extract::State, response::Response, routing::post};

use crate::TestConnectionState;

pub(crate) const PATH: &str = "/console/destinations/{destination}/test";

pub(crate) fn routes() -> Router<TestConnectionState> {
    Router::new().route(PATH, post(test))
}

/// Tries the destination, and shows the page with what was found.
async fn test(State(state): State<TestConnectionState>, request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id = request.call.path_parameter("destination")?;
    let report = state.test(&organisation, &id, &request.call).await?;
    show_tested(&request, &organisation, &id, &report).await
}
