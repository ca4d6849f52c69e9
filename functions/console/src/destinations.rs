//! The section "Audit Events": the bucket that an organisation's events are delivered to.

use annals_core::{delivery::try_out::TrialReport, organisation::Organisation, token::Role};
use axum::{Router, response::Response, routing::get};
use maud::html;

use crate::{Console, layout::Section, refusal::Refusal, ui, visit::Visit};

/// Who may manage destinations.
pub const ADMINISTRATORS: &[Role] = &[Role::Admin];

pub(crate) fn routes() -> Router<Console> {
    Router::new().route("/console/destinations", get(show))
}

/// `GET /console/destinations`: the destination, or how to make one.
async fn show(visit: Visit) -> Result<Response, Refusal> {
    let organisation = visit.organisation(ADMINISTRATORS).await?;
    let shell = visit.shell(&organisation, Section::Destinations);
    Ok(ui::page(shell.page("Audit Events", &html! { h1 { "Audit Events" } })))
}

/// The page with what a test of its destination found.
///
/// # Errors
/// Where the destination cannot be read.
pub async fn show_tested(
    _console: &Console,
    visit: &Visit,
    organisation: &Organisation,
    report: &TrialReport,
) -> Result<Response, Refusal> {
    let shell = visit.shell(organisation, Section::Destinations);
    Ok(ui::page(shell.page("Audit Events", &html! { h1 { "Audit Events" } p { (report.passed) } })))
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    vec![(
        "destinations",
        crate::every_page::shell(Section::Destinations).page("Destinations", &html! { h1 { "Destinations" } }),
    )]
}
