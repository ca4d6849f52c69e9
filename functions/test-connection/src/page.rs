//! `POST /console/destinations/{destination}/test`: the button "Test" of the organisation's page.

use annals_console::{destinations::show_tested, refusal::Refusal, visit::Visit};
use annals_http::ADMINISTRATORS;
use axum::{Router, extract::State, response::Response, routing::post};

use crate::TestConnection;

pub(crate) fn routes() -> Router<TestConnection> {
    Router::new().route("/console/destinations/{destination}/test", post(test))
}

/// Tries the destination, and shows the page with what was found.
async fn test(State(state): State<TestConnection>, visit: Visit) -> Result<Response, Refusal> {
    let organisation = visit.organisation(ADMINISTRATORS).await?;
    let id = visit.call.parsed("destination")?;
    let report = state.test(&organisation, &id, &visit.call).await?;
    show_tested(&visit, &organisation, &id, &report).await
}
